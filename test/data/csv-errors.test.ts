import assert from "node:assert/strict";
import { join } from "node:path";
import { describe, it } from "node:test";
import { deflateRawSync, gzipSync } from "node:zlib";
import { type CsvOptions, loadCsv } from "../../src/data/csv.ts";
import { UsageError } from "../../src/errors.ts";
import { lines, scratch } from "./scratch.ts";

const { folder, write } = scratch();

/** Loading must fail with exactly this line, in which `FILE` stands for the path. */
async function refuses(content: string | Uint8Array, message: string, options?: CsvOptions): Promise<void> {
  const path = write("weather.csv", content);
  const expected = message.replaceAll("FILE", path);
  assert.ok(!expected.includes("\n"), "one line");
  await assert.rejects(loadCsv(path, options), new UsageError(expected));
}

const good = (index: number) => `${index},${index % 7},${index / 2}`;
/** Sixty good rows, of which row `at` (line `at` + 2) is replaced. */
const spoiled = (at: number, row: string) =>
  `time,Humidity,y\n${lines(60, (index) => (index === at ? row : good(index)))}\n`;

describe("a file that cannot be read", () => {
  it("is not there", async () => {
    const path = join(folder, "nowhere.csv");
    await assert.rejects(loadCsv(path), new UsageError(`no such file: ${path}`));
  });

  it("is a directory", () =>
    assert.rejects(loadCsv(folder), new UsageError(`${folder} is a directory (name a file in it)`)));

  it("is empty, or blank", async () => {
    await refuses("", "FILE is empty");
    await refuses(" \n\r\n\n", "FILE is empty");
    await refuses(gzipSync(""), "FILE is empty");
  });

  it("has a header and no rows", () => refuses("a,b,c\n", "FILE has a header and no rows"));

  it("is cut off gzip", async () => {
    const packed = gzipSync(spoiled(-1, ""));
    await refuses(packed.subarray(0, 200), "FILE: the gzip file is cut off; fetch or copy it again");
  });

  it("is damaged gzip", async () => {
    const packed = gzipSync(spoiled(-1, ""));
    packed[packed.length - 6] ^= 0xff;
    await refuses(packed, "FILE: the gzip file is damaged (incorrect data check); fetch or copy it again");
  });

  it("is not text", async () => {
    await refuses(Buffer.from([1, 0, 2, 0, 0, 7]), "FILE is not a text file (it has zero bytes)");
    const zip = Buffer.concat([Buffer.from("PK\x03\x04", "latin1"), deflateRawSync("a,b\n1,2")]);
    await refuses(zip, "FILE is a zip archive (unpack it and name the CSV file)");
  });
});

describe("a file that is no table", () => {
  it("has a row with too few cells, or too many", async () => {
    const remedy = "(mend the line; a cell that contains the delimiter must be in quotes)";
    await refuses(spoiled(15, "1,2"), `FILE line 17 has 2 cells and the header 3 ${remedy}`);
    await refuses(spoiled(15, "1,2,3,4"), `FILE line 17 has 4 cells and the header 3 ${remedy}`);
    await refuses("1,2\n3,4\n5\n", `FILE line 3 has 1 cell and the first row 2 ${remedy}`);
  });

  it("has one column", () =>
    refuses(
      "a\n1\n2\n",
      'FILE has one column and at least two are needed, an input and a target (is the delimiter "," right?)',
    ));

  it("has a quote left open, or one inside a quoted cell", async () => {
    const message =
      "FILE line 17: the quotes do not match (a quoted cell ends with a quote before the delimiter; write a quote " +
      "inside it twice)";
    await refuses(spoiled(15, '1,"2,3'), message);
    await refuses(spoiled(15, '1,"2"x,3'), message);
  });

  it("has too few rows", () =>
    refuses("x,y\n1,2\n3,5\n", "FILE has 2 rows, too few to keep 20 % for validation"));
});

describe("a cell that does not fit", () => {
  const remedy = "(mend it, leave the cell empty if the value is unknown, or drop the column)";

  it("is a text in a numeric column", async () => {
    await refuses(
      spoiled(15, "15,abc,7.5"),
      `FILE line 17, column "Humidity": "abc" is not a number ${remedy}`,
    );
    await refuses(
      spoiled(15, "15,0x1f,7.5"),
      `FILE line 17, column "Humidity": "0x1f" is not a number ${remedy}`,
    );
    await refuses("x,y\n1,2\nabc,5\n3,4.5\n7,3", `FILE line 3, column "x": "abc" is not a number ${remedy}`);
  });

  it("is a text in a long column, far from the top", async () => {
    const text = `x,y\n${lines(5000, (row) => `${row === 4000 ? "12.5m" : row},${row / 2}`)}`;
    await refuses(text, `FILE line 4002, column "x": "12.5m" is not a number ${remedy}`);
  });

  it("is a text in a numeric target", () =>
    refuses(spoiled(15, "15,1,high"), `FILE line 17, column "y": "high" is not a number ${remedy}`));

  it("is infinite", async () => {
    const infinite = "is not finite (mend it, or leave the cell empty if the value is unknown)";
    await refuses(spoiled(15, "15,inf,7.5"), `FILE line 17, column "Humidity": Infinity ${infinite}`);
    await refuses(spoiled(15, "15,1,-Infinity"), `FILE line 17, column "y": -Infinity ${infinite}`);
    await refuses(spoiled(15, "15,1e999,7.5"), `FILE line 17, column "Humidity": Infinity ${infinite}`);
  });

  it("is counted from the top of the file, cells of several lines included", () => {
    const text = `note,x,y\n${lines(40, (row) => `"a\nb${row % 2}",${row === 9 ? "abc" : row},${row / 2}`)}`;
    return refuses(text, `FILE line 20, column "x": "abc" is not a number ${remedy}`);
  });

  it("has no logarithm", () =>
    refuses(
      spoiled(15, "15,1,-3"),
      'FILE line 2, column "y": 0 has no logarithm (logTarget needs targets above 0)',
      { logTarget: true },
    ));
});

describe("a target that cannot be predicted", () => {
  it("is below 0 where counts are to be predicted", () =>
    refuses(
      spoiled(15, "15,1,-3"),
      'FILE line 17, column "y": -3 is no count (task "count" needs targets from 0 on)',
      {
        task: "count",
      },
    ));

  it("is no column, with the nearest one named", async () => {
    const text = spoiled(-1, "");
    await refuses(text, 'FILE has no column "Humidty"; did you mean "Humidity"?', { target: "Humidty" });
    await refuses(text, 'FILE has no column "precipitation"; its columns: time, Humidity, y', {
      target: "precipitation",
    });
    await refuses(text, "FILE has no column 3; its columns: time, Humidity, y", { target: 3 });
    await refuses(text, 'FILE has no column "humidty"; did you mean "Humidity"?', { drop: ["humidty"] });
  });

  it("has one class or one value", async () => {
    const row = (end: string) => (index: number) => `${index},${end}`;
    await refuses(
      `x,y\n${lines(30, row("yes"))}`,
      'FILE: target "y" is "yes" in every row: nothing to predict',
    );
    await refuses(
      `x,y\n${lines(30, row("2.5"))}`,
      'FILE: target "y" is 2.5 in every training row: nothing to predict',
    );
    await refuses(`x,y\n${lines(30, row("1"))}`, 'FILE: target "y" is "1" in every row: nothing to predict');
  });

  it("is missing in every row", () =>
    refuses(`x,y\n${lines(30, (row) => `${row},NaN`)}`, 'FILE: target "y" is missing in every row', {
      task: "regression",
    }));

  it("is dropped, named twice, or all there is", async () => {
    const text = spoiled(-1, "");
    await refuses(text, 'column "y" is both the target and dropped', { target: "y", drop: ["y"] });
    await refuses(text, 'target "y" is named twice', { target: ["y", 2] });
    await refuses(text, "FILE has no usable input column (only the target)", { drop: ["time", "Humidity"] });
    await refuses(
      `x,y\n${lines(30, (row) => `5,${row / 2}`)}`,
      'FILE has no usable input column (left out column "x": constant)',
    );
  });

  it("does not suit the task", async () => {
    const text = `x,three,y\n${lines(30, (row) => `${row},${"abc"[row % 3]},${row / 2}`)}`;
    await refuses(
      text,
      'FILE: target "three" has 3 classes and the binary task takes two (use task "classification")',
      { target: "three", task: "binary" },
    );
    await refuses(
      text,
      'several targets ("three", "y") can only be predicted by regression or as counts, not by classification',
      {
        target: ["three", "y"],
        task: "classification",
      },
    );
    await refuses(text, "logTarget is for regression, not for binary", { task: "binary", logTarget: true });
    await refuses(
      text,
      'FILE line 2, column "three": "a" is not a number (mend it, leave the cell empty if the value is unknown, or drop ' +
        "the column)",
      { target: "three", task: "regression" },
    );
    await refuses(
      `x,y\n${lines(1200, (row) => `${row},${row}`)}`,
      'FILE: target "y" has more than 1000 distinct numbers, too many for classes (use task "regression")',
      { task: "classification" },
    );
  });
});

describe("an option out of range", () => {
  for (const [options, message] of [
    [{ validation: 0 }, "invalid validation: 0 (must be between 0 and 1)"],
    [{ seed: 0.5 }, "invalid seed: 0.5 (must be an integer)"],
    [{ dtype: "float16" as "float32" }, 'invalid dtype: "float16" (must be "float32" or "float64")'],
    [
      { task: "ranking" as "binary" },
      'invalid task: "ranking" (must be regression, count, classification, binary)',
    ],
    [{ delimiter: "" }, 'invalid delimiter: "" (must be a text without quotes)'],
    [{ target: [] }, 'invalid target: "[]" (must be at least one column)'],
  ] satisfies [CsvOptions, string][]) {
    it(message, () => refuses(spoiled(-1, ""), message, options));
  }
});
