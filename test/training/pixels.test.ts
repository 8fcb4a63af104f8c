/** Images that are kept as bytes train, evaluate and predict as the numbers that they stand for. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { batches } from "../../src/data/batches.ts";
import type { Dataset } from "../../src/data/dataset.ts";
import { UsageError } from "../../src/errors.ts";
import { smallConvNet } from "../../src/models/index.ts";
import { categorical } from "../../src/nn/index.ts";
import { adam } from "../../src/optimizers/index.ts";
import { fitImageScaling, isPixels, type Pixels } from "../../src/pixels.ts";
import { Random } from "../../src/random.ts";
import { createTrainer } from "../../src/training/create-trainer.ts";
import type { Trainer } from "../../src/training/trainer.ts";

const classes = 3;
const shape = [20, 2, 8, 8];
const random = new Random(3);
const data = Uint8Array.from({ length: 20 * 2 * 64 }, () => random.integer(256));
const inputs: Pixels = { shape, data, scaling: fitImageScaling(shape, data), dtype: "float64" };
const targets = { shape: [20], data: Int32Array.from({ length: 20 }, (_, row) => row % classes) };
const pictures: Dataset = {
  ...{ name: "pictures", inputs, targets, imageShape: [2, 8, 8], inputNames: [], notices: [] },
  task: { kind: "classification", targetNames: ["class"], classNames: ["a", "b", "c"] },
};
const [{ inputs: numbers }] = batches(pictures, { batchSize: 20 });

const start = () =>
  createTrainer({
    model: smallConvNet({ filters: 2, classes }),
    inputShape: [2, 8, 8],
    likelihood: categorical(),
    optimizer: adam({ learningRate: 0.01 }),
    dtype: "float64",
    batchSize: 8,
  });

describe("images kept as bytes", () => {
  let trainer: Trainer;
  let other: Trainer;
  before(async () => {
    [trainer, other] = [await start(), await start()];
  });
  after(() => {
    trainer.dispose();
    other.dispose();
  });

  it("stand for numbers of mean 0 and variance 1 in each channel", () => {
    assert.ok(!isPixels(numbers) && numbers.data instanceof Float64Array);
    for (const channel of [0, 1]) {
      const own = [...numbers.data].filter((_, at) => Math.floor(at / 64) % 2 === channel);
      const mean = own.reduce((sum, value) => sum + value) / own.length;
      const variance = own.reduce((sum, value) => sum + (value - mean) ** 2, 0) / own.length;
      assert.ok(Math.abs(mean) < 1e-12 && Math.abs(variance - 1) < 1e-12, `${mean}, ${variance}`);
    }
  });

  it("train, evaluate and predict as those do", async () => {
    for await (const _ of trainer.fit(pictures, { epochs: 2 }));
    for await (const _ of other.fit({ ...pictures, inputs: numbers }, { epochs: 2 }));
    assert.deepEqual(trainer.getParameters(), other.getParameters());
    assert.equal((await trainer.step(pictures)).loss, (await other.step({ inputs: numbers, targets })).loss);
    assert.deepEqual(await trainer.evaluate(pictures), await other.evaluate({ inputs: numbers, targets }));
    assert.deepEqual(await trainer.predict(inputs), await other.predict(numbers));
  });

  it("are refused when they are of another size than the model takes", async () => {
    const large = { inputs: { ...inputs, shape: [5, 2, 16, 16] }, targets: { ...targets, shape: [5] } };
    const expected = new UsageError("invalid inputs: shape (5, 2, 16, 16) (must be (N, 2, 8, 8))");
    await assert.rejects(trainer.step(large), expected);
    await assert.rejects(trainer.evaluate(large), expected);
    assert.throws(() => trainer.fit(large, { epochs: 1 }), expected);
  });
});
