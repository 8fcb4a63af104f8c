/** K-FAC and EKFAC against dense references that know only per-sample gradients. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import fc from "fast-check";
import {
  type Batch,
  createOptimizer,
  createTrainer,
  dense,
  ekfac,
  gaussian,
  kfac,
  type MethodInfo,
  sequential,
  sgd,
  tensor,
} from "../../src/index.ts";
import { openRuntime } from "../../src/runtime/runtime.ts";
import type { Runtime } from "../../src/runtime/session.ts";
import { type Network, networkOf, networkPlans, randomBatch, trainerOf } from "../conformance/networks.ts";
import { assertNear, flatten, layoutOf, project, solve } from "../conformance/reference.ts";
import { covariance, kfacMatrix, kronecker, scoreRows } from "./kronecker-reference.ts";

let runtime: Runtime;
before(async () => {
  runtime = await openRuntime();
});
after(() => runtime?.dispose());

const withBias = networkPlans().map((plan) => ({ ...plan, bias: true }));

/** The direction of one batch. */
async function directionOf(network: Network, batch: Batch, name: MethodInfo["name"], options: object) {
  const trainer = await trainerOf(runtime, network, createOptimizer(name, { ...options }));
  const direction = flatten(layoutOf(trainer.getParameters()), await trainer.direction(batch));
  trainer.dispose();
  return direction;
}

describe("K-FAC is the exact block", () => {
  it("for one sample: G ⊗ A is the block of the Fisher matrix", async () => {
    await fc.assert(
      fc.asyncProperty(withBias, async (plan) => {
        const network = networkOf({ ...plan, samples: 1 });
        const batch = randomBatch(network, 1, network.seed);
        const probe = await trainerOf(runtime, network, sgd({ learningRate: 1 }));
        const layout = layoutOf(probe.getParameters());
        const fisher = project(await probe.fisher(batch, "empirical"), layout, "block-diagonal");
        const rows = await scoreRows(probe, batch, layout);
        layout.layers.forEach(({ start, end }, l) => {
          const [a, g] = [covariance([rows[l][0].inputs]), covariance([rows[l][0].delta])];
          const block = fisher.slice(start, end).flatMap((row) => [...row.slice(start, end)]);
          assertNear(
            kronecker(g, a).flatMap((row) => [...row]),
            block,
            1e-9,
            "G ⊗ A",
          );
        });
        const gradient = flatten(layout, await probe.gradient(batch));
        const actual = await directionOf(network, batch, "kfac", { damping: 0.03, fisher: "empirical" });
        layout.layers.forEach(({ start, end }, l) => {
          const [a, g] = [covariance([rows[l][0].inputs]), covariance([rows[l][0].delta])];
          const expected = solve(kfacMatrix(g, a, 0.03), gradient.slice(start, end));
          assertNear(actual.slice(start, end), expected, 1e-8, `layer ${l}`);
        });
        probe.dispose();
      }),
      { numRuns: 12, seed: 1 },
    );
  });

  it("and so is EKFAC, damped alike", async () => {
    await fc.assert(
      fc.asyncProperty(withBias, async (plan) => {
        const network = networkOf({ ...plan, samples: 1 });
        const batch = randomBatch(network, 1, network.seed);
        const options = { damping: 0.03, fisher: "empirical" };
        const expected = await directionOf(network, batch, "blockDiagonalNgd", options);
        assertNear(await directionOf(network, batch, "ekfac", options), expected, 1e-6, "EKFAC");
      }),
      { numRuns: 12, seed: 1 },
    );
  });

  for (const bias of [true, false]) {
    it(`for a linear layer with a gaussian likelihood, ${bias ? "with" : "without"} bias`, async () => {
      for (const seed of [1, 2, 3]) {
        const network: Network = {
          ...{ model: sequential([dense(2, { bias })]), likelihood: gaussian(), inputShape: [4] },
          ...{ outputs: 2, samples: 20, seed },
        };
        const batch = randomBatch(network, 20, seed);
        const undamped = { damping: 0, fisher: "exact" };
        const expected = await directionOf(network, batch, "exactNgd", { ...undamped, solver: "dense" });
        assertNear(await directionOf(network, batch, "kfac", undamped), expected, 1e-10, "K-FAC");
        assertNear(await directionOf(network, batch, "ekfac", undamped), expected, 1e-6, "EKFAC");
        const damped = { damping: 0.2, fisher: "exact" };
        const other = await directionOf(network, batch, "exactNgd", damped);
        assertNear(await directionOf(network, batch, "ekfac", damped), other, 1e-6, "EKFAC, damped");
      }
    });
  }

  it("of order above 256, where the host lets the event loop breathe", async () => {
    const network: Network = {
      ...{ model: sequential([dense(2)]), likelihood: gaussian(), inputShape: [270] },
      ...{ outputs: 2, samples: 40, seed: 1 },
    };
    const batch = randomBatch(network, 40, 1);
    const exact = { damping: 0.2, fisher: "exact" };
    const expected = await directionOf(network, batch, "exactNgd", exact);
    assertNear(await directionOf(network, batch, "ekfac", exact), expected, 1e-6, "EKFAC");
    // G = I: with π = 1 K-FAC's matrix is (1 + √λ)(A + √λ I), the exact one with damping √λ but for the factor.
    const root = Math.sqrt(0.2);
    const similar = await directionOf(network, batch, "exactNgd", { damping: root, fisher: "exact" });
    const actual = await directionOf(network, batch, "kfac", { ...exact, piDamping: false });
    assertNear(
      actual.map((value) => value * (1 + root)),
      similar,
      1e-9,
      "K-FAC",
    );
  });
});

it("EKFAC in the parameters' own basis is the diagonal", async () => {
  // Each sample has one input, each size once: A is diagonal with distinct entries; G = I.
  const network: Network = {
    ...{ model: sequential([dense(2, { bias: false })]), likelihood: gaussian(), inputShape: [3] },
    ...{ outputs: 2, samples: 3, seed: 1 },
  };
  const { targets } = randomBatch(network, 3, 1);
  const batch = { inputs: tensor([1, 0, 0, 0, 2, 0, 0, 0, 3], [3, 3]), targets };
  const options = { damping: 0.1, fisher: "exact" };
  const expected = await directionOf(network, batch, "diagonalNgd", options);
  assertNear(await directionOf(network, batch, "ekfac", options), expected, 1e-12, "direction");
});

describe("K-FAC", () => {
  it("goes through the gradient's factors on small batches, to the same direction", async () => {
    for (const bias of [true, false]) {
      const network = networkOf({
        ...{ features: 8, hidden: [8], outputs: 6, bias, activation: "tanh", samples: 2 },
        ...{ likelihood: "bernoulli", seed: 3 },
      });
      const batch = randomBatch(network, 2, 3);
      // The same rows many times over: the same A, G and gradient.
      const many = ({ shape: [samples, width], data }: Batch["inputs"]) =>
        tensor(
          Float64Array.from({ length: 10 * data.length }, (_, k) => data[k % data.length]),
          [10 * samples, width],
        );
      const repeated = { inputs: many(batch.inputs), targets: many(batch.targets) };
      const options = { damping: 0.01, fisher: "exact" };
      const expected = await directionOf(network, repeated, "kfac", options);
      assertNear(await directionOf(network, batch, "kfac", options), expected, 1e-10, `bias: ${bias}`);
    }
  });

  it("inverts at once when the damping was raised, and waits when it was lowered", async () => {
    const network: Network = {
      ...{ model: sequential([dense(1)]), likelihood: gaussian(), inputShape: [2] },
      ...{ outputs: 1, samples: 8, seed: 1 },
    };
    const batch = randomBatch(network, 8, 1);
    // A linear model: the quadratic model is right, so that the damping falls at each measurement.
    const policy = { policy: "levenberg-marquardt", initial: 1, every: 1, factor: 0.5 } as const;
    const falling = await trainerOf(
      runtime,
      network,
      kfac({ learningRate: 0.1, damping: policy, fisher: "exact", refreshEvery: 3 }),
    );
    const used = [];
    for (let k = 0; k < 6; k++) used.push((await falling.step(batch)).damping);
    assert.deepEqual(used, [1, 1, 1, 1 / 8, 1 / 8, 1 / 8]);
    falling.dispose();
    // Steps far too long: the loss would rise, each is taken back with more damping, which the next has to use.
    const rising = await trainerOf(
      runtime,
      network,
      kfac({ learningRate: 40, damping: policy, fisher: "exact", refreshEvery: 100 }),
    );
    let last = 0;
    for (let k = 0; k < 4; k++) {
      const { damping, status } = await rising.step(batch);
      assert.match(status, /^rejected: the loss would rise/);
      assert.ok(damping! > last, `${damping} after ${last}`);
      last = damping!;
    }
    rising.dispose();
  });

  it("refuses a layer beyond the memory limit, with the number", async () => {
    const model = sequential([dense(4)]);
    for (const [optimizer, message] of [
      [
        kfac(),
        "the kfac block of 0.weight needs 624 B, the limit is 500 B (use a narrower layer or tengrad); no batch is small enough",
      ],
      [
        ekfac(),
        "the ekfac block of 0.weight needs 924 B, the limit is 500 B (use a narrower layer or tengrad); no batch is small enough",
      ],
    ] as const) {
      const trainer = await createTrainer(
        { model, likelihood: gaussian(), inputShape: [5], optimizer, memoryLimit: 500 },
        { runtime },
      );
      const batch = {
        inputs: tensor(new Float64Array(15), [3, 5]),
        targets: tensor(new Float64Array(12), [3, 4]),
      };
      await assert.rejects(trainer.step(batch), { name: "UsageError", message });
      trainer.dispose();
    }
  });

  it("names an option out of range", () => {
    const refused = (create: () => unknown, message: string) =>
      assert.throws(create, { name: "UsageError", message });
    refused(() => kfac({ decay: 1 }), "invalid decay: 1 (must be in [0, 1))");
    refused(() => ekfac({ decay: -0.1 }), "invalid decay: -0.1 (must be in [0, 1))");
    refused(() => kfac({ piDamping: 1 as never }), "invalid piDamping: 1 (must be true or false)");
    refused(() => kfac({ refreshEvery: 0 }), "invalid refreshEvery: 0 (must be a positive integer)");
    refused(() => ekfac({ refreshEvery: 1.5 }), "invalid refreshEvery: 1.5 (must be a positive integer)");
    const divisor = "invalid scaleEvery: 3 (must be a divisor of refreshEvery, which is 4)";
    refused(() => ekfac({ refreshEvery: 4, scaleEvery: 3 }), divisor);
    refused(
      () => kfac({ refreshEvery: 4, statisticsEvery: 3 }),
      divisor.replace("scaleEvery", "statisticsEvery"),
    );
    refused(() => kfac({ form: "dense" as never }), 'invalid form: "dense" (must be inverse | eigen)');
  });
});
