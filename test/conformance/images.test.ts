/** Every method on a convolutional network with everything in it: learning, resuming, refusing in words. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import {
  batchNorm,
  categorical,
  concat,
  conv2d,
  createOptimizer,
  dense,
  dropout,
  findMethod,
  flatten,
  gaussian,
  globalAvgPool,
  maxPool,
  methods,
  Random,
  relu,
  residual,
  resumeTrainer,
  sequential,
  type TrainerConfig,
  tanh,
  tensor,
} from "../../src/index.ts";
import { openRuntime } from "../../src/runtime/runtime.ts";
import type { Runtime } from "../../src/runtime/session.ts";
import { createTrainer } from "../../src/training/create-trainer.ts";
import { assertFinite, assertSameBits, isOneLine, normal } from "./networks.ts";

let runtime: Runtime;
before(async () => {
  runtime = await openRuntime();
});
after(() => runtime.dispose());

const plain = () => [conv2d(3, { padding: 1 }), tanh(), maxPool(2), flatten(), dense(3)];
/** Normalization, dropped units, branches, groups: what keeps state or does not see all channels. */
const everything = () => [
  ...[conv2d(4, { padding: 1, bias: false }), batchNorm(), relu()],
  residual([conv2d(4, { padding: 1, groups: 2 }), batchNorm()]),
  concat([[], [conv2d(2, { kernel: 1 }), tanh()]]),
  ...[dropout(0.1), conv2d(4, { stride: 2 }), tanh(), globalAvgPool(), dense(3)],
];
const networks = { plain, everything };

const random = new Random(5);
const images = Array.from({ length: 4 }, () => normal(random, [8, 2, 6, 6]));
const classes = images.map((inputs) => ({
  inputs,
  targets: tensor(Int32Array.from({ length: 8 }, () => random.integer(3))),
}));
const numbers = images.map((inputs) => ({ inputs, targets: normal(random, [8, 3]) }));
const batchesOf = (name: string) => (findMethod(name).likelihood === "gaussian" ? numbers : classes);

/** Methods that compare losses of one and the same function, in whose networks nothing may change by itself. */
const refusals: Readonly<Record<string, RegExp>> = {
  lbfgs: /batch normalization|dropout/,
  levenbergMarquardt: /batch normalization|dropout/,
};

const configOf = (name: string, network: keyof typeof networks, options = {}): TrainerConfig => ({
  model: sequential(networks[network]()),
  inputShape: [2, 6, 6],
  likelihood: findMethod(name).likelihood === "gaussian" ? gaussian() : categorical(),
  optimizer: createOptimizer(name, options),
  dtype: "float64",
});

const refused = (name: string, network: string) => name in refusals && network !== "plain";

for (const { name } of methods) {
  describe(`${name} on images`, () => {
    const batches = batchesOf(name);
    for (const network of ["plain", "everything"] as const) {
      if (refused(name, network)) {
        it(`refuses the network "${network}" in words`, async () => {
          const attempt = async () => {
            const trainer = await createTrainer(configOf(name, network), { runtime });
            await trainer.step(batches[0]).finally(() => trainer.dispose());
          };
          await assert.rejects(
            attempt,
            (error: Error) => isOneLine(error) && refusals[name].test(error.message),
          );
        });
        continue;
      }

      it(`learns a batch, network "${network}"`, async () => {
        const { options } = findMethod(name);
        const damped = options.includes("damping") ? { damping: 0.1 } : {};
        const trainer = await createTrainer(configOf(name, network, { learningRate: 0.02, ...damped }), {
          runtime,
        });
        const { loss: first } = await trainer.evaluate(batches[0]);
        for (let k = 0; k < 60; k++) {
          const { accepted, status } = await trainer.step(batches[0]);
          assert.ok(accepted, status);
        }
        assertFinite(trainer.getParameters(), "parameters");
        const { loss: last } = await trainer.evaluate(batches[0]);
        assert.ok(last < first, `the loss went from ${first} to ${last}`);
        trainer.dispose();
      });

      it(`resumes with the same bits in the middle of a refresh interval, network "${network}"`, async () => {
        const { options } = findMethod(name);
        const config = configOf(name, network, options.includes("refreshEvery") ? { refreshEvery: 3 } : {});
        const whole = await createTrainer(config, { runtime });
        const half = await createTrainer(config, { runtime });
        for (const batch of batches) await whole.step(batch);
        for (const batch of batches.slice(0, 2)) await half.step(batch);
        const later = await resumeTrainer(half.toBytes(), config, { runtime });
        for (const batch of batches.slice(2)) await later.step(batch);
        assertSameBits(later.getParameters(), whole.getParameters());
        assertSameBits(later.getBuffers(), whole.getBuffers());
        for (const trainer of [whole, half, later]) trainer.dispose();
      });
    }
  });
}
