/** Tuning is quick because trials share programs: learning rate and damping are inputs of them. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { createOptimizer, methods } from "../../src/optimizers/index.ts";
import { openRuntime } from "../../src/runtime/runtime.ts";
import type { Runtime } from "../../src/runtime/session.ts";
import { shareSessions } from "../../src/runtime/session-cache.ts";
import { networkOf, randomBatch, trainerOf } from "../conformance/networks.ts";

describe("programs of one method with another learning rate and damping", () => {
  let runtime: Runtime;
  before(async () => {
    runtime = await openRuntime();
  });
  after(() => runtime.dispose());

  for (const { name, options, defaults, likelihood = "categorical" } of methods) {
    const network = networkOf({
      ...{ features: 3, hidden: [5, 4], outputs: 2, bias: true, activation: "tanh", samples: 6 },
      ...{ likelihood, seed: 1 },
    });
    it(`${name}: nothing is compiled a second time`, async () => {
      let compiled = 0;
      const { kind, device, threads } = runtime;
      const counted = shareSessions({
        ...{ kind, device, threads, describe: () => [], dispose() {} },
        load(model) {
          compiled++;
          return runtime.load(model);
        },
      });
      const train = async (learningRate: number, damping: number) => {
        const tuned = Object.entries({ learningRate, damping }).filter(([key]) => options.includes(key));
        const optimizer = createOptimizer(name, { ...defaults, ...Object.fromEntries(tuned) });
        const trainer = await trainerOf(counted, network, optimizer);
        for (let step = 0; step < 3; step++) await trainer.step(randomBatch(network, 6, step));
        trainer.dispose();
        return compiled;
      };
      const first = await train(0.01, 0.1);
      assert.ok(first > 0);
      assert.equal(await train(0.003, 1), first);
    });
  }
});
