/** The improved empirical Fisher matrix against its paper's formula, and where it meets the others. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import fc from "fast-check";
import { exactNgd, tensor } from "../../src/index.ts";
import { openRuntime } from "../../src/runtime/runtime.ts";
import type { Runtime } from "../../src/runtime/session.ts";
import { assertFinite, networkOf, networkPlans, randomBatch, trainerOf } from "../conformance/networks.ts";
import { assertNear, dot, flatten, layoutOf, solve } from "../conformance/reference.ts";

let runtime: Runtime;
before(async () => {
  runtime = await openRuntime();
});
after(() => runtime?.dispose());

const options = { fisher: "improved-empirical", solver: "gram" } as const;
const plan = { features: 4, hidden: [5], bias: true, activation: "tanh", samples: 4, seed: 1 } as const;

describe("the improved empirical Fisher", () => {
  it("gives the update Gᵀ(GGᵀ)⁻¹s, s_n = ‖∂ℓ_n/∂f_n‖² [Wu24]", async () => {
    for (const likelihood of ["gaussian", "categorical", "bernoulli", "poisson"] as const) {
      const network = networkOf({ ...plan, outputs: 3, likelihood });
      const batch = randomBatch(network, network.samples, 2);
      const trainer = await trainerOf(runtime, network, exactNgd({ ...options, damping: 1e-11 }));
      const layout = layoutOf(trainer.getParameters());
      const rows: Float64Array[] = [];
      const norms: number[] = [];
      for (let n = 0; n < network.samples; n++) {
        const cut = ({ shape, data }: typeof batch.inputs) => {
          const width = data.length / shape[0];
          return tensor(data.slice(n * width, (n + 1) * width), [1, ...shape.slice(1)]);
        };
        const one = { inputs: cut(batch.inputs), targets: cut(batch.targets) };
        const gradient = await trainer.gradient(one);
        rows.push(flatten(layout, gradient));
        // The gradient for the last layer's bias is ∂ℓ/∂f.
        const { data } = gradient.get("2.bias")!;
        norms.push(dot(data, data));
      }
      const gram = rows.map((a) => Float64Array.from(rows, (b) => dot(a, b)));
      const weights = solve(gram, Float64Array.from(norms));
      const expected = rows[0].map((_, p) => rows.reduce((sum, row, n) => sum + weights[n] * row[p], 0));
      assertNear(flatten(layout, await trainer.direction(batch)), expected, 1e-6, likelihood);
      trainer.dispose();
    }
  });

  it("is the exact Fisher with one gaussian output", async () => {
    await fc.assert(
      fc.asyncProperty(networkPlans(["gaussian"]), async (random) => {
        const network = networkOf({ ...random, outputs: 1 });
        const batch = randomBatch(network, network.samples, random.seed);
        const trainer = await trainerOf(runtime, network, exactNgd());
        const [improved, exact] = [
          await trainer.fisher(batch, "improved-empirical"),
          await trainer.fisher(batch, "exact"),
        ];
        assertNear(improved.data, exact.data, 1e-12, "F");
        trainer.dispose();
      }),
      { numRuns: 10, seed: 1 },
    );
  });

  it("leaves out a sample without a gradient and stays finite, down to float32", async () => {
    for (const dtype of ["float32", "float64"] as const) {
      const network = networkOf({ ...plan, outputs: 2, likelihood: "gaussian" });
      const trainer = await trainerOf(runtime, network, exactNgd({ ...options, damping: 1e-3 }), { dtype });
      const batch = randomBatch(network, 4, 3);
      const fitted = await trainer.predict(batch.inputs);
      batch.targets.data.set(fitted.data.slice(0, 4));
      const rest = {
        inputs: tensor(batch.inputs.data.slice(8), [2, 4]),
        targets: tensor(batch.targets.data.slice(4), [2, 2]),
      };
      const layout = layoutOf(trainer.getParameters());
      const direction = await trainer.direction(batch);
      assertFinite(direction, dtype);
      // Half the samples with the same rows: F and g are half of the rest's, so damping weighs twice.
      const half = await trainerOf(runtime, network, exactNgd({ ...options, damping: 2e-3 }), { dtype });
      half.setParameters(trainer.getParameters());
      const expected = flatten(layout, await half.direction(rest));
      assertNear(flatten(layout, direction), expected, dtype === "float64" ? 1e-9 : 1e-2, dtype);
      batch.targets.data.set(fitted.data);
      assertFinite(await trainer.direction(batch), "all fitted");
      assert.ok((await trainer.step(batch)).accepted);
      trainer.dispose();
      half.dispose();
    }
  });
});
