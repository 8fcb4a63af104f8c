import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { batchCount, batches } from "../../src/data/batches.ts";
import {
  type Dataset,
  splitDataset,
  splitRows,
  toOriginalUnits,
  validateDataset,
} from "../../src/data/dataset.ts";
import { UsageError } from "../../src/errors.ts";
import { Random } from "../../src/random.ts";
import { tensor } from "../../src/tensor.ts";

/** Row i has the inputs (i, i + ½, …) and the target −i. */
function counting(rows: number, width = 2): Dataset {
  const inputs = Float32Array.from(
    { length: rows * width },
    (_, at) => Math.floor(at / width) + (at % width) / 2,
  );
  return {
    name: "counting",
    inputs: tensor(inputs, [rows, width]),
    targets: tensor(
      Float32Array.from({ length: rows }, (_, row) => -row),
      [rows, 1],
    ),
    task: {
      kind: "regression",
      targetNames: ["y"],
      scaling: { mean: [0], deviation: [1], log: false },
    },
    inputNames: Array.from({ length: width }, (_, index) => `x${index}`),
    notices: [],
  };
}

const copyOf = (batch: { inputs: { data: ArrayLike<number> }; targets: { data: ArrayLike<number> } }) => [
  Array.from(batch.inputs.data),
  Array.from(batch.targets.data),
];

describe("splitting", () => {
  it("puts every row in exactly one part, in order, by seed", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 5, max: 300 }),
        fc.double({ min: 0.1, max: 0.6, noNaN: true }),
        fc.integer(),
        (count, validation, seed) => {
          const { training, validation: held } = splitRows(count, "data", { validation, seed });
          assert.equal(held.length, Math.round(count * validation));
          assert.deepEqual(
            [...training, ...held].sort((a, b) => a - b),
            Array.from({ length: count }, (_, row) => row),
          );
          assert.deepEqual(training, training.slice().sort());
          assert.deepEqual(splitRows(count, "data", { validation, seed }).training, training);
        },
      ),
    );
    assert.notDeepEqual(splitRows(50, "data", { seed: 1 }), splitRows(50, "data", { seed: 2 }));
  });

  it("keeps inputs beside their targets", () => {
    const { training, validation } = splitDataset(counting(20, 40), { validation: 0.25 });
    assert.deepEqual(validation.inputs.shape, [5, 40]);
    assert.deepEqual(training.targets.shape, [15, 1]);
    for (const part of [training, validation]) {
      part.targets.data.forEach((value: number, row: number) => {
        assert.equal(part.inputs.data[row * 40], -value);
        assert.equal(part.inputs.data[row * 40 + 39], -value + 19.5);
      });
    }
  });

  it("refuses too few rows and fractions outside (0, 1)", () => {
    assert.throws(
      () => splitRows(2, "tiny.csv", { validation: 0.2 }),
      new UsageError("tiny.csv has 2 rows, too few to keep 20 % for validation"),
    );
    assert.throws(
      () => splitRows(9, "tiny.csv", { validation: 1.5 }),
      new UsageError("invalid validation: 1.5 (must be between 0 and 1)"),
    );
  });
});

describe("batches", () => {
  it("visit every row once per epoch, whatever the sizes", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 80 }),
        fc.integer({ min: 1, max: 80 }),
        fc.integer({ min: 1, max: 40 }),
        (rows, batchSize, width) => {
          fc.pre(batchSize <= rows);
          const options = { batchSize, random: new Random(rows), epoch: 3, dropLast: false };
          const seen: number[] = [];
          let count = 0;
          for (const { inputs, targets } of batches(counting(rows, width), options)) {
            count++;
            assert.equal(inputs.shape[0], targets.shape[0]);
            assert.equal(inputs.data.length, inputs.shape[0] * width);
            targets.data.forEach((value: number, row: number) => {
              assert.equal(inputs.data[row * width], -value);
              seen.push(-value);
            });
          }
          assert.equal(count, batchCount(rows, options));
          assert.deepEqual(
            seen.sort((a, b) => a - b),
            Array.from({ length: rows }, (_, row) => row),
          );
        },
      ),
    );
  });

  it("drop a smaller last batch unless told otherwise", () => {
    const sizes = (dropLast?: boolean) =>
      Array.from(batches(counting(10), { batchSize: 4, dropLast }), ({ inputs }) => inputs.shape[0]);
    assert.deepEqual(sizes(), [4, 4]);
    assert.deepEqual(sizes(false), [4, 4, 2]);
  });

  it("are written into two arrays in turn, so that one keeps its numbers while the next is asked for", () => {
    const given = Array.from(batches(counting(12), { batchSize: 3 }), ({ inputs }) => inputs.data);
    assert.equal(new Set(given).size, 2);
    const order = batches(counting(12), { batchSize: 3 })[Symbol.iterator]();
    const { inputs } = order.next().value!;
    const before = [...inputs.data];
    order.next();
    assert.deepEqual([...inputs.data], before);
  });

  it("continue in the middle of an epoch with the same batches, whatever was drawn meanwhile", () => {
    const dataset = counting(37);
    const whole = Array.from(batches(dataset, { batchSize: 5, random: new Random(7), epoch: 2 }), copyOf);
    const used = new Random(7);
    used.normal();
    const state = used.state();
    const rest = Array.from(batches(dataset, { batchSize: 5, random: used, epoch: 2, start: 3 }), copyOf);
    assert.deepEqual(rest, whole.slice(3));
    assert.deepEqual(used.state(), state, "the run's own generator is not advanced");
  });

  it("come in another order in another epoch, and in stored order without a generator", () => {
    const order = (epoch: number) =>
      Array.from(batches(counting(30), { batchSize: 15, random: new Random(1), epoch }), copyOf);
    assert.notDeepEqual(order(0), order(1));
    const [whole] = batches(counting(4), { batchSize: 4, random: new Random(1) });
    assert.deepEqual(Array.from(whole.targets.data), [-0, -1, -2, -3], "nor where one batch has all rows");
    const [stored] = batches(counting(4), { batchSize: 4 });
    assert.deepEqual([...stored.targets.data], [-0, -1, -2, -3]);
  });

  it("refuse a batch larger than the data, at once", () => {
    assert.throws(
      () => batches(counting(336), { batchSize: 512 }),
      new UsageError("invalid batchSize: 512 (must be at most 336, the rows of counting)"),
    );
    assert.throws(
      () => batches(counting(3), { batchSize: 0 }),
      new UsageError("invalid batchSize: 0 (must be a positive integer)"),
    );
  });
});

describe("original units", () => {
  it("undo standardization and logarithm", () => {
    const scaling = { mean: [2, 0], deviation: [3, 1], log: false };
    const task = { kind: "regression", targetNames: ["a", "b"], scaling } as const;
    assert.deepEqual([...toOriginalUnits(task, tensor([0, 1, -1, 5], [2, 2])).data], [2, 1, -1, 5]);
    const log = { ...task, targetNames: ["a"], scaling: { mean: [1], deviation: [2], log: true } };
    assert.deepEqual([...toOriginalUnits(log, tensor([0, 0.5], [2, 1])).data], [Math.E, Math.exp(2)]);
  });
});

describe("validateDataset", () => {
  const good = counting(4);
  const classes: Dataset = {
    ...good,
    targets: tensor(new Int32Array([0, 1, 1, 0])),
    task: { kind: "classification", targetNames: ["kind"], classNames: ["a", "b"] },
  };
  const withInput = (value: number): Dataset => {
    const data = Float32Array.from(good.inputs.data);
    data[5] = value;
    return { ...good, inputs: tensor(data, [4, 2]) };
  };

  it("accepts what the loaders make", () => {
    validateDataset(good);
    validateDataset(classes);
  });

  for (const [what, dataset, message] of [
    ["NaN inputs", withInput(Number.NaN), 'counting: input "x1" of row 2 is NaN (must be finite)'],
    [
      "infinite inputs",
      withInput(Number.NEGATIVE_INFINITY),
      'counting: input "x1" of row 2 is -Infinity (must be finite)',
    ],
    [
      "more classes than outputs",
      { ...classes, targets: tensor(new Int32Array([0, 1, 2, 0])) },
      "counting: row 2 has class 2 (must be an integer from 0 to 1)",
    ],
    [
      "targets of another length",
      { ...good, targets: tensor(new Float32Array(3), [3, 1]) },
      "counting: targets of shape (3, 1) do not fit 4 rows (must be (4, 1))",
    ],
    ["no rows", { ...good, inputs: tensor(new Float32Array(0), [0, 2]) }, "counting has no rows"],
  ] as const) {
    it(`refuses ${what}`, () => assert.throws(() => validateDataset(dataset), new UsageError(message)));
  }
});
