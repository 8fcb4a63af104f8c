import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { loadDataset } from "../../src/data/index.ts";
import { denseNetwork, type Setting, trainBeside } from "../../src/experiments/train-beside.ts";
import { openRuntime } from "../../src/runtime/runtime.ts";

async function withSetting(use: (setting: Setting) => Promise<void>): Promise<void> {
  const { training, validation } = await loadDataset("friedman1", { rows: 100 });
  const runtime = await openRuntime();
  const { signal } = new AbortController();
  const limits = { batchSize: 16, steps: 12, looks: 4, runtime, signal };
  await use({ ...limits, data: training, heldOut: validation, model: denseNetwork(training, [4]) }).finally(
    () => runtime.dispose(),
  );
}

describe("trainings side by side", () => {
  it("start from the same weights, and are the same when done again", () =>
    withSetting(async (setting) => {
      const sgd = await trainBeside(setting, "sgd", { learningRate: 0.1 }, 3);
      const again = await trainBeside(setting, "sgd", { learningRate: 0.1 }, 3);
      const natural = await trainBeside(setting, "tengrad", { learningRate: 0.1 }, 3);
      assert.deepEqual(sgd, again);
      assert.deepEqual(natural.looks[0], sgd.looks[0]);
      assert.notEqual(natural.loss, sgd.loss);
      const other = await trainBeside(setting, "sgd", { learningRate: 0.1 }, 4);
      assert.notEqual(other.looks[0].loss, sgd.looks[0].loss);
    }));

  it("look at the loss evenly, last at the end, and at the rows held out", () =>
    withSetting(async (setting) => {
      const { looks, loss, heldOut } = await trainBeside(setting, "sgd", { learningRate: 0.05 }, 0);
      assert.deepEqual(
        looks.map(({ step }) => step),
        [0, 3, 6, 9, 12],
      );
      assert.equal(looks.at(-1)!.epoch, (12 * 16) / 80);
      assert.equal(looks.at(-1)!.loss, loss);
      assert.equal(heldOut!.samples, 20);
    }));

  it("have no loss when they break down", () =>
    withSetting(async (setting) => {
      const long = { ...setting, steps: 400, looks: 1 };
      const { loss, heldOut, looks } = await trainBeside(long, "sgd", { learningRate: 1e6 }, 0);
      assert.ok(Number.isNaN(loss) && heldOut === undefined);
      assert.ok(looks.every((look) => Number.isFinite(look.loss)));
    }));
});
