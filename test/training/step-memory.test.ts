/** The memory of a step, estimated before it runs. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import {
  categorical,
  conv2d,
  createOptimizer,
  createTrainer,
  dense,
  flatten,
  maxPool,
  Random,
  sequential,
  type TrainerConfig,
  tanh,
  tensor,
} from "../../src/index.ts";
import { openRuntime } from "../../src/runtime/runtime.ts";
import type { Runtime } from "../../src/runtime/session.ts";
import { availableMemory } from "../../src/training/step-memory.ts";
import { isOneLine, normal } from "../conformance/networks.ts";

let runtime: Runtime;
before(async () => {
  runtime = await openRuntime();
});
after(() => runtime.dispose());

const random = new Random(2);
const batch = (samples: number) => ({
  inputs: normal(random, [samples, 3, 12, 12]),
  targets: tensor(Int32Array.from({ length: samples }, () => random.integer(4))),
});

const configOf = (name: string, memoryLimit?: number): TrainerConfig => ({
  model: sequential([conv2d(8, { padding: 1 }), tanh(), conv2d(16), tanh(), maxPool(5), flatten(), dense(4)]),
  ...{ inputShape: [3, 12, 12], likelihood: categorical(), optimizer: createOptimizer(name, {}) },
  ...{ batchSize: 64, memoryLimit },
});

async function peakOf(name: string, samples: number): Promise<number> {
  const trainer = await createTrainer(configOf(name), { runtime });
  await trainer.prepare(samples);
  trainer.dispose();
  return trainer.peakBytes;
}

describe("memory of a step", () => {
  for (const name of ["sgd", "tengrad", "kfac", "ekfac", "kbfgs", "shampoo"]) {
    it(`${name}: refused beyond the limit, by name of a batch that fits`, async () => {
      const [half, whole] = [await peakOf(name, 32), await peakOf(name, 64)];
      assert.ok(half < whole, `${half} bytes for 32 samples, ${whole} for 64`);
      const trainer = await createTrainer(configOf(name, half), { runtime });
      const refused = (error: Error) =>
        isOneLine(error) &&
        /takes .* MiB, the limit is .* MiB; a batch of 32 fits in place of 64$/.test(error.message);
      await assert.rejects(trainer.prepare(), refused);
      await assert.rejects(trainer.step(batch(64)), refused);
      const { accepted, status } = await trainer.step(batch(32));
      assert.ok(accepted, status);
      trainer.dispose();
    });
  }

  it("counts what structures keep: explicit scores of every layer", async () => {
    const [few, many] = [await peakOf("tengrad", 16), await peakOf("tengrad", 32)];
    const trainer = await createTrainer(configOf("tengrad"), { runtime });
    const scores = 4 * 16 * (trainer.parameterCount - 4 * 65);
    assert.ok(many - few > scores, `${many - few} bytes for 16 more samples, ${scores} of them scores`);
    const kept = trainer.curvature(32).reduce((total, { memoryBytes }) => total + memoryBytes, 0);
    assert.ok(many > kept, `a step of ${many} bytes, ${kept} of them curvature`);
    trainer.dispose();
  });

  it("without a limit is what the machine has left", () => {
    assert.ok(availableMemory() > 2 ** 20);
  });
});
