import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { type CsvOptions, loadCsv } from "../../src/data/csv.ts";
import { type DataSplit, type Dataset, selectRows, splitRows } from "../../src/data/dataset.ts";
import type { TableEncoding } from "../../src/data/encoding.ts";
import { decodeOutputs, encodeCsv, loadDataset } from "../../src/data/index.ts";
import { UsageError } from "../../src/errors.ts";
import { tensor } from "../../src/tensor.ts";
import { lines, scratch } from "./scratch.ts";

const { write } = scratch();

/** As it is after it was written to a file and read again. */
const stored = ({ encoding }: DataSplit) => JSON.parse(JSON.stringify(encoding)) as TableEncoding;
const numbersOf = ({ inputs, targets, inputNames }: Dataset) => ({ inputs, targets, inputNames });

/** Encoding the file of a split gives the split's tensors, row for row. */
async function assertSameRows(path: string, split: DataSplit, options: CsvOptions): Promise<void> {
  const { known, inputs } = await encodeCsv(path, stored(split));
  assert.ok(known);
  const count = known.inputs.shape[0];
  assert.ok(inputs.shape[0] >= count);
  const rows = splitRows(count, path, options);
  for (const part of ["training", "validation"] as const) {
    assert.deepEqual(numbersOf(selectRows(known, rows[part])), numbersOf(split[part]));
    assert.deepEqual(known.task, split[part].task);
  }
}

const flats = `size,quarter,built,price\n${lines(
  60,
  (row) =>
    `${20 + ((row * 37) % 83)},${["north", "south", "west"][row % 3]},20${10 + (row % 9)}-0${1 + (row % 7)}-11,${1000 + 17 * row}`,
)}\n`;
const flatsOptions = { target: "price", dtype: "float64" } as const;
const trainedOn = async (options: CsvOptions = flatsOptions, text = flats) =>
  stored(await loadCsv(write("trained.csv", text), options));

const taskOf = { class: "classification", count: "count" } as const;

describe("rows of another file", () => {
  it("are encoded as the rows trained on: the same file gives the same tensors", async () => {
    const cell = fc.oneof(fc.integer({ min: -50, max: 50 }).map(String), fc.constantFrom("", "NA", "0.25"));
    const row = fc.record({
      x: cell,
      word: fc.constantFrom("red", "green", "blue", "3", ""),
      day: fc.constantFrom("2006-04-01", "2007-12-31 23:30", "2011-06-15T12:00:00Z", ""),
      number: fc.oneof(fc.integer({ min: 1, max: 1000 }).map(String), fc.constant("")),
      class: fc.constantFrom("yes", "no", "never", "NA"),
    });
    await fc.assert(
      fc.asyncProperty(
        fc.array(row, { minLength: 30, maxLength: 60 }),
        fc.constantFrom(...["number", "log", "class", "two", "count"]),
        fc.constantFrom(",", ";", "\t"),
        fc.integer({ min: 0, max: 9 }),
        async (rows, target, delimiter, seed) => {
          const text = lines(rows.length, (index) => {
            const { x, word, day, number, class: kind } = rows[index];
            return [x, index / 7, word, day, number, kind].join(delimiter);
          });
          const header = ["x", "place", "word", "day", "number", "class"].join(delimiter);
          const path = write("property.csv", `${header}\n${text}\n`);
          const options: CsvOptions = {
            ...{ target: target === "class" ? "class" : target === "two" ? ["number", "place"] : "number" },
            ...{ logTarget: target === "log", task: taskOf[target as keyof typeof taskOf] ?? "regression" },
            ...{ seed, delimiter },
          };
          let split: DataSplit;
          try {
            split = await loadCsv(path, options);
          } catch (error) {
            fc.pre(!(error instanceof UsageError)); // a target that is constant on the training rows
            throw error;
          }
          await assertSameRows(path, split, options);
        },
      ),
      { numRuns: 40 },
    );
  });

  it("of a file without header are found by their places, with the target or without it", async () => {
    const text = lines(40, (row) => `${row % 5},${row},${row % 2 ? "a" : "b"},${row * 0.5}`);
    const options = { target: 1, drop: ["column 4"] };
    const path = write("bare.csv", text);
    const split = await loadCsv(path, options);
    await assertSameRows(path, split, options);
    const whole = await encodeCsv(path, stored(split));
    const features = lines(40, (row) => `${row % 5},${row % 2 ? "a" : "b"},${row * 0.5}`);
    const bare = await encodeCsv(write("features.csv", features), stored(split));
    assert.deepEqual(bare.inputs, whole.inputs);
    assert.equal(bare.known, undefined);
    await assert.rejects(
      encodeCsv(write("two.csv", "1,a\n2,b\n"), stored(split)),
      /two\.csv has 2 columns, and the file trained on, which names none, has 4 \(give as many .*, or the 3 without/,
    );
  });

  it("may have other columns, another order, another delimiter, and no target", async () => {
    const encoding = await trainedOn();
    const plain = await encodeCsv(write("plain.csv", flats), encoding);
    const [, ...rows] = flats.trimEnd().split("\n");
    const turned = rows.map((row) => {
      const [size, quarter, built] = row.split(",");
      return `note;${built};${quarter};${size}`;
    });
    const path = write("turned.csv", ["remark;built;quarter;size", ...turned].join("\n"));
    const other = await encodeCsv(path, encoding);
    assert.deepEqual(other.inputs, plain.inputs);
    assert.equal(other.known, undefined);
    assert.deepEqual(other.notices, []);
  });

  it("may be a file of one column, or of one row", async () => {
    const text = `x,y\n${lines(30, (row) => `${row},${row * row + 0.5}`)}`;
    const encoding = await trainedOn({ target: "y", dtype: "float64" }, text);
    const { mean, deviation } = encoding.inputs[0] as { mean: number; deviation: number };
    const { inputs } = await encodeCsv(write("one.csv", "x\n4\n"), encoding);
    assert.deepEqual(inputs, { shape: [1, 1], data: Float64Array.of((4 - mean) / deviation) });
  });

  it("have the training mean for a missing number, and none of the categories for a new one, and it is said", async () => {
    const encoding = await trainedOn();
    const text = "size,quarter,built\n,east,2011-03-04\n30,,\n40,centre,2011-03-04\n";
    const { inputs, notices } = await encodeCsv(write("gaps.csv", text), encoding);
    const width = inputs.shape[1];
    assert.equal(inputs.data[0], 0);
    for (const row of [0, 1, 2]) {
      assert.deepEqual([...inputs.data.subarray(row * width + 1, row * width + 4)], [0, 0, 0]);
    }
    assert.deepEqual([...inputs.data.subarray(width + 4, 2 * width)], new Array(width - 4).fill(0));
    assert.match(notices[0], /^filled 1 missing value of column "size" with the training mean \d/);
    assert.equal(
      notices[1],
      'took 2 cells of column "quarter" for no category (not trained on: "east", "centre")',
    );
    assert.equal(notices.length, 2);
  });

  it("remember texts beyond a thousand in a column of categories", async () => {
    const text = `kind,y\n${lines(60, (row) => `${["1", "2", "x"][row % 3]},${row + 0.5}`)}`;
    const encoding = await trainedOn({ target: "y" }, text);
    const many = `kind\n${lines(1500, (row) => `${row + 10}`)}\n2\n`;
    const { inputs } = await encodeCsv(write("many.csv", many), encoding);
    assert.deepEqual([...inputs.data.subarray(-6)], [0, 0, 0, 0, 1, 0]);
  });

  it("are evaluated where their targets are known: rows without one, or of a new class, are not", async () => {
    const text = `x,kind\n${lines(30, (row) => `${row},${["ash", "oak", "yew"][row % 3]}`)}`;
    const encoding = await trainedOn({ target: "kind" }, text);
    const path = write("kinds.csv", "kind,x\noak,1\nfir,2\n,3\nash,4\n");
    const { inputs, known, notices } = await encodeCsv(path, encoding);
    assert.equal(inputs.shape[0], 4);
    assert.deepEqual(known?.targets, { shape: [2], data: Int32Array.of(1, 0) });
    assert.deepEqual(
      known.inputs.data,
      inputs.data.filter((_, row) => row === 0 || row === 3),
    );
    assert.deepEqual(notices, ['left 1 row out of the metrics (classes of "kind" not trained on: "fir")']);
    const empty = await encodeCsv(write("unknown.csv", "kind,x\n,1\n?,2\n"), encoding);
    assert.equal(empty.known, undefined);
  });

  const mistakes: [what: string, text: string, message: RegExp][] = [
    ["an empty file", "", /^wrong\.csv is empty$/],
    ["a header alone", "size,quarter,built\n", /has a header and no rows/],
    [
      "a missing column",
      "sise,quarter,built\n1,north,2011-01-01\n",
      /no column "size"; did you mean "sise"\?$/,
    ],
    [
      "one that looks like another of the model's",
      "quarter,built\nnorth,2011-01-01\n",
      /no column "size"; its columns: quarter, built$/,
    ],
    [
      "a text for a number",
      "size,quarter,built\n1,north,2011-01-01\nbig,north,2011-01-01\n",
      /line 3, column "size": "big" is not a number \(mend it, or leave/,
    ],
    [
      "an infinity",
      "size,quarter,built\n1e999,north,2011-01-01\n",
      /line 2, column "size": Infinity is not finite/,
    ],
    [
      "a text for a date",
      "size,quarter,built\n1,north,2011-01-01\n1,north,soon\n",
      /line 3, column "built": "soon" is not a date/,
    ],
    [
      "a number for a date",
      "size,quarter,built\n1,north,20110101\n",
      /line 2, column "built": "20110101" is not a date/,
    ],
    [
      "a text for a target",
      "size,quarter,built,price\n1,north,2011-01-01,much\n",
      /line 2, column "price": "much" is not a number/,
    ],
    [
      "a row that is too long",
      "size,quarter,built\n1,north,2011-01-01,5\n",
      /line 2 has 4 cells and the header 3/,
    ],
  ];
  for (const [what, text, message] of mistakes) {
    it(`${what}: one line`, async () => {
      const path = write("wrong.csv", text);
      await assert.rejects(encodeCsv(path, await trainedOn()), (error) => {
        assert.ok(error instanceof UsageError);
        assert.doesNotMatch(error.message, /\n/);
        assert.match(error.message.replace(`${path.slice(0, -"wrong.csv".length)}`, ""), message);
        return true;
      });
    });
  }

  it("a target without a logarithm is refused where logarithms were predicted", async () => {
    const encoding = await trainedOn({ ...flatsOptions, logTarget: true });
    const path = write("negative.csv", "size,quarter,built,price\n1,north,2011-01-01,-3\n");
    await assert.rejects(encodeCsv(path, encoding), /line 2, column "price": -3 has no logarithm/);
  });
});

describe("the encoding of a dataset by name", () => {
  it("of a synthetic task, takes files with its columns", async () => {
    const split = await loadDataset("friedman1", { rows: 50 });
    const names = split.training.inputNames;
    assert.deepEqual(stored(split), split.encoding);
    const path = write("drawn.csv", `${names.join(",")}\n${names.map(() => 0.5).join(",")}\n`);
    const { inputs } = await encodeCsv(path, stored(split));
    const expected = split.encoding!.inputs.map((input) => {
      assert.equal(input.kind, "number");
      return (0.5 - input.mean) / input.deviation;
    });
    assert.deepEqual(inputs.data, Float32Array.from(expected));
  });

  it("is absent where the inputs are images", async () => {
    assert.equal((await loadDataset("glyphs", { rows: 50 })).encoding, undefined);
  });
});

describe("outputs, decoded", () => {
  it("are the file's numbers again: decoding targets gives what was written", async () => {
    const [, ...rows] = flats.trimEnd().split("\n");
    const prices = rows.map((row) => Number(row.split(",")[3]));
    for (const logTarget of [false, true]) {
      const encoding = await trainedOn({ ...flatsOptions, logTarget });
      const { known } = await encodeCsv(write("again.csv", flats), encoding);
      const decoded = decodeOutputs(encoding.task, known!.targets);
      assert.equal(decoded.kind, "regression");
      decoded.values.data.forEach((value, row) => {
        assert.ok(Math.abs(value - prices[row]) < 1e-9 * prices[row]);
      });
    }
  });

  it("are expected counts where counts were predicted: those of log rates", async () => {
    const prices = flats
      .trimEnd()
      .split("\n")
      .slice(1)
      .map((row) => Number(row.split(",")[3]));
    const encoding = await trainedOn({ ...flatsOptions, task: "count" });
    const { known } = await encodeCsv(write("counts.csv", flats), encoding);
    const logRates = Float64Array.from(known!.targets.data, Math.log);
    const decoded = decodeOutputs(encoding.task, tensor(logRates, known!.targets.shape));
    assert.equal(decoded.kind, "count");
    decoded.values.data.forEach((value, row) => {
      assert.ok(Math.abs(value - prices[row]) < 1e-9 * prices[row]);
    });
    const path = write(
      "negative.csv",
      `${flats.split("\n")[0]}\n${flats.split("\n")[1].replace(/[^,]*$/, "-2")}\n`,
    );
    await assert.rejects(encodeCsv(path, encoding), /line 2, column "price": -2 is no count/);
  });

  it("are classes with probabilities that add up to 1", () => {
    const task = {
      kind: "classification",
      targetNames: ["kind"],
      classNames: ["ash", "oak", "yew"],
    } as const;
    const decoded = decodeOutputs(task, tensor([0, Math.log(2), 0, 1000, 0, -1000], [2, 3]));
    assert.equal(decoded.kind, "classification");
    assert.deepEqual(decoded.classes, ["oak", "ash"]);
    [0.25, 0.5, 0.25, 1, 0, 0].forEach((value, index) => {
      assert.ok(Math.abs(decoded.probabilities.data[index] - value) < 1e-15);
    });
  });

  it("of one logit are the probabilities of both classes", () => {
    const task = { kind: "binary", targetNames: ["ill"], classNames: ["no", "yes"] } as const;
    const decoded = decodeOutputs(task, tensor([Math.log(3), -1000], [2, 1]));
    assert.equal(decoded.kind, "binary");
    assert.deepEqual(decoded.classes, ["yes", "no"]);
    assert.deepEqual(decoded.probabilities.shape, [2, 2]);
    [0.25, 0.75, 1, 0].forEach((value, index) => {
      assert.ok(Math.abs(decoded.probabilities.data[index] - value) < 1e-15);
    });
  });

  it("of another number are refused", () => {
    const task = { kind: "binary", targetNames: ["ill"], classNames: ["no", "yes"] } as const;
    assert.throws(() => decodeOutputs(task, tensor([1, 2], [1, 2])), /shape \(1, 2\) \(must be \(N, 1\)\)/);
  });
});
