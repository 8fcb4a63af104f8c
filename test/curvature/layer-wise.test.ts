/** Layer-wise, wood-fisher and unit-wise structures: identities over random networks, refusals. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import fc from "fast-check";
import { createOptimizer, dense, type NamedTensors, sequential, tanh } from "../../src/index.ts";
import { openRuntime } from "../../src/runtime/runtime.ts";
import type { Runtime } from "../../src/runtime/session.ts";
import { type Network, networkOf, networkPlans, randomBatch, trainerOf } from "../conformance/networks.ts";
import { assertNear, flatten, layoutOf } from "../conformance/reference.ts";

let runtime: Runtime;
before(async () => {
  runtime = await openRuntime();
});
after(() => runtime?.dispose());

async function directionOf(network: Network, name: string, options: object): Promise<NamedTensors> {
  const trainer = await trainerOf(runtime, network, createOptimizer(name, { ...options }));
  const batch = randomBatch(network, network.samples, network.seed);
  const sampledTargets = [randomBatch(network, network.samples, network.seed + 1).targets];
  const direction = await trainer.direction(batch, { sampledTargets });
  trainer.dispose();
  return direction;
}

const deep = (layers: number): Network => ({
  ...networkOf({
    ...{ features: 3, hidden: [], outputs: 2, bias: true, activation: "tanh", samples: 4 },
    ...{ likelihood: "gaussian", seed: 1 },
  }),
  model: sequential([...Array.from({ length: layers - 1 }, () => [dense(3), tanh()]).flat(), dense(2)]),
});

describe("layer-wise", () => {
  for (const fisher of ["exact", "empirical", "monte-carlo"]) {
    it(`coupling by ones = the exact Fisher, ${fisher}`, async () => {
      await fc.assert(
        fc.asyncProperty(networkPlans(), async (plan) => {
          const network = networkOf(plan);
          const options = { fisher, damping: 0.05 };
          const exact = await directionOf(network, "exactNgd", { ...options, solver: "dense" });
          const layout = layoutOf(exact);
          for (const solver of ["gram", "dense"]) {
            const coupled = await directionOf(network, "layerwiseNgd", { ...options, solver, sigma: "ones" });
            assertNear(flatten(layout, coupled), flatten(layout, exact), 1e-8, solver);
          }
        }),
        { numRuns: 10, seed: 1 },
      );
    });
  }

  it("the identity is handed to the block-diagonal solver", async () => {
    const network = deep(3);
    const sigma = [
      [1, 0, 0],
      [0, 1, 0],
      [0, 0, 1],
    ];
    const own = await directionOf(network, "blockDiagonalNgd", { damping: 0.1 });
    for (const given of ["identity", sigma]) {
      assert.deepEqual(await directionOf(network, "layerwiseNgd", { damping: 0.1, sigma: given }), own);
    }
    const trainer = await trainerOf(runtime, network, createOptimizer("layerwiseNgd", { sigma }));
    assert.deepEqual(
      trainer.curvature(4).map(({ structure }) => structure),
      ["block-diagonal", "block-diagonal", "block-diagonal"],
    );
    trainer.dispose();
  });

  it("damping 0 is refused where sigma is singular, and only there", async () => {
    for (const layers of [2, 5]) {
      await assert.rejects(directionOf(deep(layers), "blockTridiagonalNgd", { damping: 0 }), {
        name: "UsageError",
        message: new RegExp(`singular with ${layers} layers; .* 3s \\+ 2 layers, Lemma 4\\.3`),
      });
    }
    for (const layers of [1, 3, 4]) {
      const network = { ...deep(layers), samples: 2 };
      const direction = await directionOf(network, "blockTridiagonalNgd", {
        damping: 0,
        fisher: "empirical",
      });
      for (const { data } of direction.values()) assert.ok(data.every(Number.isFinite));
    }
  });

  it("sigma is checked at the door, its order where the layers are known", async () => {
    for (const [sigma, message] of [
      [
        "banded",
        /^invalid sigma: "banded" \(must be identity \| tridiagonal \| ones or a symmetric matrix\)$/,
      ],
      [3, /^invalid sigma: 3 /],
      [[[1, 2]], /^invalid sigma: 1 rows, the 1\. of 2 numbers /],
      [
        [
          [1, Number.NaN],
          [0, 1],
        ],
        /^invalid sigma: NaN at \(0, 1\) /,
      ],
      [
        [
          [1, 2],
          [3, 1],
        ],
        /^invalid sigma: 2 at \(0, 1\) and 3 at \(1, 0\) /,
      ],
    ] as const) {
      assert.throws(() => createOptimizer("layerwiseNgd", { sigma }), { name: "UsageError", message });
    }
    const wrong = directionOf(deep(3), "layerwiseNgd", {
      sigma: [
        [1, 0.5],
        [0.5, 1],
      ],
    });
    await assert.rejects(wrong, /^UsageError: invalid sigma: 2 × 2 \(must be 3 × 3, one row for each layer/);
  });
});

describe("wood-fisher", () => {
  it("rank-one updates = TENGraD", async () => {
    await fc.assert(
      fc.asyncProperty(networkPlans(), async (plan) => {
        const network = networkOf(plan);
        const [recursion, tengrad] = await Promise.all(
          ["woodFisher", "tengrad"].map((name) => directionOf(network, name, { damping: 0.05 })),
        );
        const layout = layoutOf(tengrad);
        assertNear(flatten(layout, recursion), flatten(layout, tengrad), 1e-9, "direction");
      }),
      { numRuns: 10, seed: 1 },
    );
  });
});

describe("unit-wise", () => {
  it("sample space = parameter space, every Fisher", async () => {
    await fc.assert(
      fc.asyncProperty(networkPlans(), async (plan) => {
        const network = networkOf(plan);
        for (const fisher of ["exact", "empirical", "monte-carlo"]) {
          const [gram, parameters] = await Promise.all(
            ["gram", "dense"].map((solver) =>
              directionOf(network, "unitwiseNgd", { solver, fisher, damping: 0.05 }),
            ),
          );
          const layout = layoutOf(gram);
          assertNear(flatten(layout, gram), flatten(layout, parameters), 1e-8, fisher);
        }
      }),
      { numRuns: 10, seed: 1 },
    );
  });

  it("systems have the order of the samples, whatever the number of outputs", async () => {
    const trainer = await trainerOf(runtime, deep(1), createOptimizer("unitwiseNgd", { fisher: "exact" }));
    assert.deepEqual(
      [2, 50].map((samples) =>
        trainer.curvature(samples).map(({ dimension, solver }) => [dimension, solver]),
      ),
      [[[2, "sample space, 2 systems"]], [[4, "parameter space, 2 systems"]]],
    );
    trainer.dispose();
  });

  it("lets the event loop breathe over many systems", async () => {
    const network = { ...deep(1), model: sequential([dense(400), tanh(), dense(2)]), inputShape: [120] };
    const trainer = await trainerOf(runtime, network, createOptimizer("unitwiseNgd", {}));
    const batch = randomBatch(network, 100, 1);
    await trainer.step(batch);
    let turns = 0;
    let running = true;
    const count = () => {
      turns++;
      if (running) setImmediate(count);
    };
    setImmediate(count);
    const { status } = await trainer.step(batch);
    running = false;
    assert.equal(status, "ok");
    assert.ok(turns > 1, `${turns} turns`);
    trainer.dispose();
  });
});

describe("memory", () => {
  for (const [name, what] of [
    ["unitwiseNgd", "unit-wise block of 2 systems of order 4"],
    ["blockTridiagonalNgd", "layer-wise block of order 16"],
    ["woodFisher", "wood-fisher block of 12 parameters"],
  ]) {
    it(`${name} refuses what does not fit, with the number`, async () => {
      const options = { refreshEvery: 2 };
      const network = deep(name === "unitwiseNgd" ? 1 : 2);
      const trainer = await trainerOf(runtime, network, createOptimizer(name, options), { memoryLimit: 100 });
      const message = new RegExp(`^UsageError: the ${what} needs .*, the limit is 100 B \\(use `);
      await assert.rejects(trainer.step(randomBatch(network, 4, 1)), message);
      trainer.dispose();
    });
  }
});
