/** Evaluation of networks on images: a bounded number at a time, by running statistics. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import {
  batchNorm,
  categorical,
  conv2d,
  createTrainer,
  dense,
  dropout,
  flatten,
  maxPool,
  sequential,
  sgd,
  type Trainer,
  threeC1F,
  wideResNet,
} from "../../src/index.ts";
import type { Problem } from "../../src/optimizers/optimizer.ts";
import { DoubleBuffer } from "../../src/optimizers/program/double-buffer.ts";
import { openRuntime } from "../../src/runtime/runtime.ts";
import type { Runtime } from "../../src/runtime/session.ts";
import { Evaluator } from "../../src/training/evaluation.ts";
import { firstRows } from "../../src/training/fit.ts";
import { randomBatch } from "../conformance/networks.ts";

let runtime: Runtime;
before(async () => {
  runtime = await openRuntime();
});
after(() => runtime.dispose());

describe("evaluation", () => {
  const rowsOf = (problem: Pick<Problem, "model" | "dtype">) =>
    new Evaluator({ ...problem, likelihood: categorical() } as Problem, new DoubleBuffer(new Map()))
      .rowsAtOnce;

  it("takes as many images at once as 56 MiB for the largest activation allow", () => {
    const table = sequential([dense(1000), dense(10)]).build([784]);
    assert.equal(rowsOf({ model: table, dtype: "float64" }), 1024);
    const pixels = 28 * 28 * 128;
    const images = threeC1F().build([1, 28, 28]);
    const limit = 56 * 2 ** 20;
    assert.equal(rowsOf({ model: images, dtype: "float32" }), Math.floor(limit / (4 * pixels)));
    assert.equal(rowsOf({ model: images, dtype: "float64" }), Math.floor(limit / (8 * 9 * pixels))); // unfolded
    const deep = wideResNet({ depth: 10, widen: 4 }).build([3, 32, 32]);
    assert.equal(rowsOf({ model: deep, dtype: "float32" }), 224);
  });

  describe("in several pieces", () => {
    const samples = 180;
    const network = { inputShape: [1, 28, 28], likelihood: categorical() };
    const examples = randomBatch({ ...network, outputs: 3 }, samples, 1);
    let trainer: Trainer;
    before(async () => {
      const model = sequential([
        ...[conv2d(128, { padding: 1, bias: false }), batchNorm(), maxPool(4), dropout(0.5), flatten()],
        dense(3),
      ]);
      trainer = await createTrainer({ ...network, model, optimizer: sgd() }, { runtime });
      const { shape } = trainer.getBuffers().get("1.running_mean")!;
      trainer.setBuffers({ "1.running_mean": { shape, data: new Float64Array(shape[0]).fill(0.3) } });
    });
    after(() => trainer.dispose());

    it("gives every image what it has alone, without noise and by the running statistics", async () => {
      const logits = await trainer.predict(examples.inputs);
      for (const row of [0, 145, 146, samples - 1]) {
        const data = examples.inputs.data.slice(row * 784, (row + 1) * 784);
        const alone = await trainer.predict({ shape: [1, 1, 28, 28], data });
        for (let c = 0; c < 3; c++)
          assert.ok(Math.abs(alone.data[c] - logits.data[3 * row + c]) < 1e-5, `row ${row}`);
      }
    });

    it("is the mean of the parts", async () => {
      const whole = await trainer.evaluate(examples);
      const front = await trainer.evaluate(firstRows(examples, 100));
      const data = examples.inputs.data.subarray(100 * 784);
      const rest = await trainer.evaluate({
        inputs: { shape: [80, 1, 28, 28], data },
        targets: { shape: [80], data: examples.targets.data.subarray(100) },
      });
      assert.deepEqual([whole.samples, front.samples, rest.samples], [180, 100, 80]);
      const mean = (a: number, b: number) => (100 * a + 80 * b) / 180;
      assert.ok(Math.abs(whole.loss - mean(front.loss, rest.loss)) < 1e-6 * whole.loss);
      assert.ok(Math.abs(whole.metric.value - mean(front.metric.value, rest.metric.value)) < 1e-12);
    });
  });
});
