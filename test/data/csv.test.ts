import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { gzipSync } from "node:zlib";
import fc from "fast-check";
import { openRows } from "../../src/data/csv/rows.ts";
import { readTable } from "../../src/data/csv/table.ts";
import { type CsvOptions, loadCsv } from "../../src/data/csv.ts";
import { type Dataset, toOriginalUnits, validateDataset } from "../../src/data/dataset.ts";
import { lines, scratch } from "./scratch.ts";

const { write } = scratch();

async function rowsOf(path: string, delimiter?: string): Promise<{ cells: string[][]; lines: number[] }> {
  const cells: string[][] = [];
  const at: number[] = [];
  for await (const block of (await openRows(path, delimiter)).blocks()) {
    cells.push(...block.rows.map((row) => [...row]));
    at.push(...Array.from(block.lines));
  }
  return { cells, lines: at };
}

/** Column `name` of the inputs of both parts, put back into one list sorted by value. */
function inputColumn(dataset: Dataset, name: string): number[] {
  const index = dataset.inputNames.indexOf(name);
  assert.notEqual(index, -1, `no input "${name}" among ${dataset.inputNames.join(", ")}`);
  const width = dataset.inputs.shape[1];
  return Array.from(
    { length: dataset.inputs.shape[0] },
    (_, row) => dataset.inputs.data[row * width + index],
  );
}

describe("rows of a CSV file", () => {
  it("are what was written, quotes, delimiters and line ends in the cells included, with their lines", async () => {
    const cell = fc.stringMatching(/^[a-z0-9 ,;"\n|]{1,6}$/).filter((text) => text.trim() !== "");
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(cell, cell, cell), { minLength: 1, maxLength: 20 }),
        fc.constantFrom(",", ";", "\t", "|"),
        fc.constantFrom("\n", "\r\n", "\r"),
        fc.boolean(),
        async (rows, delimiter, lineEnd, finished) => {
          const quoted = (text: string) => `"${text.replaceAll('"', '""')}"`;
          const text =
            rows.map((row) => row.map(quoted).join(delimiter)).join(lineEnd) + (finished ? lineEnd : "");
          const read = await rowsOf(write("any.csv", text), delimiter);
          assert.deepEqual(read.cells, rows);
          let line = 1;
          rows.forEach((row, index) => {
            assert.equal(read.lines[index], line);
            line += row.join("").split("\n").length;
          });
        },
      ),
      { numRuns: 60 },
    );
  });

  it("survive the borders between pieces", async () => {
    const text = `a,b\r\n${lines(30_000, (row) => `${row},"Ä ""${row}"" \r\n ö"`).replaceAll(/(?<!\r)\n/g, "\r\n")}\r\n`;
    const { cells, lines: at } = await rowsOf(write("long.csv", text));
    assert.equal(cells.length, 30_001);
    cells.slice(1).forEach((row, index) => {
      assert.deepEqual(row, [`${index}`, `Ä "${index}" \n ö`]);
      assert.equal(at[index + 1], 2 + 2 * index);
    });
  });

  it("are cut at the delimiter that is found", async () => {
    for (const [delimiter, name] of [
      [",", ","],
      [";", ";"],
      ["\t", "\t"],
      ["|", "|"],
      ["   ", "whitespace"],
    ]) {
      const path = write(
        "found.csv",
        lines(5, (row) => [`name${row}`, "1.5", "x y".replace(" ", "_")].join(delimiter)),
      );
      assert.equal((await openRows(path)).delimiter, name);
      assert.deepEqual((await rowsOf(path)).cells[4], ["name4", "1.5", "x_y"]);
    }
  });

  it("may have decimal commas between semicolons", async () => {
    for (const header of ["x;y\n", ""]) {
      const path = write("comma.csv", header + lines(20, (row) => `${row},5;${row % 4},25`));
      const table = await readTable(path);
      assert.deepEqual(
        table.columns.map((column) => [...column.values.slice(0, 3)]),
        [
          [0.5, 1.5, 2.5],
          [0.25, 1.25, 2.25],
        ],
      );
    }
  });

  it("are cut rightly in spite of one bad row, which is then named", async () => {
    const path = write("bad.csv", `x;y\n${lines(10, (row) => (row === 5 ? "5;1,5;2" : `${row};1,5`))}`);
    assert.equal((await openRows(path)).delimiter, ";");
  });

  it("can be cut at any text, and at runs of spaces of any length", async () => {
    assert.deepEqual((await rowsOf(write("d.txt", "1::2\n3::4"), "::")).cells[1], ["3", "4"]);
    assert.deepEqual((await rowsOf(write("d.txt", "  1  2\t 3 \n\n4 5 6"), "whitespace")).cells, [
      ["1", "2", "3"],
      ["4", "5", "6"],
    ]);
    assert.deepEqual((await rowsOf(write("d.txt", "1\t\t3\n4\t5\t6"), "tab")).cells[0], ["1", "", "3"]);
  });

  it("are read from gzip, UTF-8 with a mark, UTF-16 and Windows-1252 alike", async () => {
    const text = "größe,y\n1,2\n3,4\n";
    const utf16 = Buffer.concat([Buffer.from([0xff, 0xfe]), Buffer.from(text, "utf16le")]);
    for (const content of [
      Buffer.from(text),
      gzipSync(text),
      Buffer.concat([gzipSync("größe,y\n1,2\n"), gzipSync("3,4\n")]),
      Buffer.from(`\ufeff${text}`),
      utf16,
      Buffer.from(text, "latin1"),
    ]) {
      const { cells } = await rowsOf(write("encoded.csv", content));
      assert.deepEqual(cells, [
        ["größe", "y"],
        ["1", "2"],
        ["3", "4"],
      ]);
    }
    const { notices } = await readTable(write("latin.csv", Buffer.from(text, "latin1")));
    assert.match(notices[0], /latin\.csv is not UTF-8; it is read as Windows-1252$/);
  });
});

describe("the header", () => {
  const names = async (text: string, header?: boolean) =>
    (await readTable(write("h.csv", text), { header })).columns.map((column) => column.name);

  it("is found by its looks", async () => {
    assert.deepEqual(await names("a,b\n1,x\n2,y"), ["a", "b"]);
    assert.deepEqual(await names("colour,shape\nred,round\nblue,long"), ["colour", "shape"]);
    assert.deepEqual(await names("1,x\n2,y"), ["column 1", "column 2"]);
    assert.deepEqual(await names("red,round\nred,long\nblue,round"), ["column 1", "column 2"]);
  });

  it("can be told", async () => {
    assert.deepEqual(await names("2010,2011\n1,2", true), ["2010", "2011"]);
    assert.equal((await readTable(write("h.csv", "a,b\nc,d"), { header: false })).rowCount, 2);
  });

  it("gets names for blank cells, and distinct ones", async () => {
    assert.deepEqual(await names(",a,a\n0,1,2\n1,3,4"), ["unnamed 1", "a", "a (2)"]);
  });
});

describe("inputs", () => {
  const load = (text: string, options?: CsvOptions) =>
    loadCsv(write("inputs.csv", text), { dtype: "float64", ...options });

  it("are standardized on the training rows alone", async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 0, max: 1000 }), async (seed) => {
        const text = `x,y\n${lines(50, (row) => `${Math.sin(row) * 1000},${row * 0.5}`)}`;
        const { training, validation } = await load(text, { seed, validation: 0.3 });
        for (const values of [inputColumn(training, "x"), [...training.targets.data]]) {
          const mean = values.reduce((a, b) => a + b) / values.length;
          const square = values.reduce((a, b) => a + b * b, 0) / values.length;
          assert.ok(
            Math.abs(mean) < 1e-12 && Math.abs(square - 1) < 1e-12,
            `mean ${mean}, mean square ${square}`,
          );
        }
        const { task } = training;
        assert.ok(task.kind === "regression");
        const original = [training, validation].flatMap((part) => [
          ...toOriginalUnits(task, part.targets).data,
        ]);
        original
          .sort((a, b) => a - b)
          .forEach((value, row) => {
            assert.ok(Math.abs(value - row * 0.5) < 1e-9);
          });
      }),
      { numRuns: 20 },
    );
  });

  it("that validation rows alone have change nothing", async () => {
    const base = (row: number) => `${row % 7},${row % 3 ? "red" : "blue"},${row * 0.5}`;
    const text = `x,colour,y\n${lines(40, base)}`;
    const { validation } = await load(text);
    assert.ok(validation.task.kind === "regression");
    const held = Math.round(toOriginalUnits(validation.task, validation.targets).data[0] * 2);
    const changed = `x,colour,y\n${lines(40, (row) => (row === held ? `1e6,green,${row * 0.5}` : base(row)))}`;
    const before = await load(text);
    const after = await load(changed);
    assert.deepEqual(after.training, before.training);
    assert.deepEqual(inputColumn(after.validation, "colour = red")[0], 0);
    assert.deepEqual(inputColumn(after.validation, "colour = blue")[0], 0);
    assert.ok(inputColumn(after.validation, "x")[0] > 1e4);
  });

  it("have missing numbers filled with the training mean, and no one for missing categories", async () => {
    const marks = ["", "NA", "NaN", "null", "?", " n/a "];
    const row = (index: number) => {
      const mark = marks[index] ?? "";
      return index < marks.length
        ? `${mark},${mark},${index / 2}`
        : `${index},${index % 2 ? "a" : "b"},${index / 2}`;
    };
    const { training, validation, notices } = await load(`x,kind,y\n${lines(40, row)}`);
    assert.deepEqual(training.inputNames, ["x", "kind = a", "kind = b"]);
    let filled = 0;
    for (const part of [training, validation]) {
      const x = inputColumn(part, "x");
      const a = inputColumn(part, "kind = a");
      const b = inputColumn(part, "kind = b");
      x.forEach((value, index) => {
        assert.equal(a[index] + b[index], value === 0 ? 0 : 1);
        if (value === 0) filled++;
      });
    }
    assert.equal(filled, marks.length);
    assert.match(notices[0], /^filled 6 missing values of column "x" with the training mean [\d.]+$/);
  });

  it("leave out identifiers, constants, empty columns and texts without end, and say so", async () => {
    const header = "id,name,same,blank,essay,x,y";
    const row = (index: number) => `${9000 - index},n${index},5,,t${index % 80},${index % 7},${index / 2}`;
    const { training, notices } = await load(`${header}\n${lines(200, row)}`);
    assert.deepEqual(training.inputNames, ["x"]);
    assert.deepEqual(notices, [
      'left out column "id": an identifier',
      'left out column "name": an identifier (every text is different)',
      'left out column "same": constant',
      'left out column "blank": empty',
      'left out column "essay": 80 different texts (at most 50 become categories)',
    ]);
  });

  it("keep a counting column that is not named like an identifier, and names that only end in -id", async () => {
    const { training } = await load(`humid,x,y\n${lines(30, (row) => `${row},${row * 2},${row / 2}`)}`);
    assert.deepEqual(training.inputNames, ["humid", "x"]);
  });

  it("turn dates into numbers", async () => {
    const row = (index: number) =>
      `201${index % 4}-07-${10 + index} ${index % 24}:00:00.000 +0200,${index / 2}`.replace(
        / (\d):/,
        " 0$1:",
      );
    const { training, notices } = await load(`when,y\n${lines(20, row)}`);
    assert.deepEqual(training.inputNames, [
      "when (year)",
      "when (season sine)",
      "when (season cosine)",
      "when (hour sine)",
      "when (hour cosine)",
    ]);
    assert.deepEqual(notices, ['turned the dates of column "when" into year, season, hour']);
    const plain = await load(`when,y\n${lines(20, (index) => `201401${10 + index}T000000,${index / 2}`)}`);
    assert.deepEqual(plain.notices, ['turned the dates of column "when" into year, season']);
  });

  it("leave out what is dropped", async () => {
    const { training } = await load(`a,b,y\n${lines(20, (row) => `${row},${row * row},${row / 2}`)}`, {
      drop: ["a"],
    });
    assert.deepEqual(training.inputNames, ["b"]);
  });

  it("are float32 unless asked for float64", async () => {
    const path = write("types.csv", `x,y\n${lines(20, (row) => `${row},${row / 2}`)}`);
    const single = (await loadCsv(path)).training;
    assert.ok(single.inputs.data instanceof Float32Array && single.targets.data instanceof Float32Array);
    const double = (await loadCsv(path, { dtype: "float64" })).training;
    assert.ok(double.inputs.data instanceof Float64Array && double.targets.data instanceof Float64Array);
  });
});

describe("targets", () => {
  const file = () => {
    const row = (index: number) =>
      `${index},${Math.sin(index)},${index % 3},${index % 2 ? "yes" : "no"},${Math.exp(index / 9)}`;
    return write("targets.csv", `t,wave,count,answer,price\n${lines(60, row)}`);
  };
  const task = async (options: CsvOptions) => (await loadCsv(file(), options)).training.task;

  it("are the last column unless named, by name or index", async () => {
    assert.deepEqual((await task({})).targetNames, ["price"]);
    assert.deepEqual((await task({ target: "wave" })).targetNames, ["wave"]);
    assert.deepEqual((await task({ target: 1 })).targetNames, ["wave"]);
    assert.deepEqual((await task({ target: -2 })).targetNames, ["answer"]);
  });

  it("tell the task", async () => {
    assert.equal((await task({ target: "wave" })).kind, "regression");
    assert.equal((await task({ target: "count" })).kind, "classification");
    assert.equal((await task({ target: "count", task: "regression" })).kind, "regression");
    assert.equal((await task({ target: "answer" })).kind, "classification");
    const { notices } = await loadCsv(file(), { target: "count" });
    assert.match(notices[0], /^target "count" has 3 distinct integers, so they are taken for classes/);
  });

  it("can be several", async () => {
    const { training } = await loadCsv(file(), { target: ["wave", "price"] });
    assert.deepEqual(training.targets.shape, [48, 2]);
    assert.deepEqual(training.inputNames, ["t", "count", "answer = no", "answer = yes"]);
  });

  it("become class indices in a fixed order, or zeros and ones", async () => {
    const { training } = await loadCsv(file(), { target: "answer", dtype: "float64" });
    assert.ok(training.task.kind === "classification" && training.targets.data instanceof Int32Array);
    assert.deepEqual(training.task.classNames, ["no", "yes"]);
    const binary = (await loadCsv(file(), { target: "answer", task: "binary", dtype: "float64" })).training;
    assert.ok(binary.targets.data instanceof Float64Array);
    assert.deepEqual(binary.targets.shape, [48, 1]);
    assert.deepEqual([...binary.targets.data], [...training.targets.data]);
    const numbers = write("numbers.csv", `x,y\n${lines(60, (row) => `${row},${[10, 9, -1][row % 3]}`)}`);
    const { task } = (await loadCsv(numbers)).training;
    assert.ok(task.kind === "classification");
    assert.deepEqual(task.classNames, ["-1", "9", "10"]);
  });

  it("can be taken on the log scale", async () => {
    const { training } = await loadCsv(file(), { target: "price", logTarget: true, dtype: "float64" });
    assert.ok(training.task.kind === "regression" && training.task.scaling.log);
    const t = inputColumn(training, "t");
    const log = [...training.targets.data];
    t.forEach((value, row) => {
      assert.ok(Math.abs(value - log[row]) < 1e-9, "the logarithm of exp(t/9) is linear in t");
    });
    const prices = toOriginalUnits(training.task, training.targets).data;
    assert.ok(Math.min(...prices) >= 1 - 1e-9 && Math.max(...prices) <= Math.exp(59 / 9) + 1e-6);
  });

  it("can be counts, as multiples of their mean on the training rows", async () => {
    const options = { target: ["count", "price"], task: "count", dtype: "float64" } as const;
    const { training } = await loadCsv(file(), options);
    assert.ok(training.task.kind === "count");
    const { mean } = training.task;
    const [counts, prices] = [0, 1].map((column) =>
      Array.from({ length: 48 }, (_, row) => training.targets.data[2 * row + column]),
    );
    for (const values of [counts, prices]) {
      assert.ok(Math.abs(values.reduce((a, b) => a + b) / 48 - 1) < 1e-12, "their mean is 1");
      assert.ok(values.every((value) => value >= 0));
    }
    const levels = new Set(counts.map((value) => Math.round(1e9 * value * mean[0]) / 1e9));
    assert.deepEqual([...levels].sort(), [0, 1, 2]);
    assert.doesNotThrow(() => validateDataset(training));
    training.targets.data[5] = -1;
    assert.throws(() => validateDataset(training), /: row 2 has the count -1 \(must be at least 0\)$/);
  });

  it("that are missing cost their rows, with a notice", async () => {
    const path = write("gaps.csv", `x,y\n${lines(30, (row) => `${row},${row % 10 ? row / 2 : ""}`)}`);
    const { training, validation, notices } = await loadCsv(path);
    assert.equal(training.inputs.shape[0] + validation.inputs.shape[0], 27);
    assert.deepEqual(notices, ['left out 3 rows without target "y"']);
  });
});
