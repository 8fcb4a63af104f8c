/** Products with the whole matrix, and metrics that users bring, against dense matrices and against exactNgd. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import fc from "fast-check";
import * as graph from "../../src/graph/index.ts";
import { customMetric, exactNgd, hessianFree, type Optimizer } from "../../src/index.ts";
import { conjugateGradient } from "../../src/linalg/index.ts";
import { openRuntime } from "../../src/runtime/runtime.ts";
import type { Runtime } from "../../src/runtime/session.ts";
import {
  type Network,
  type NetworkPlan,
  networkOf,
  networkPlans,
  randomBatch,
  trainerOf,
} from "../conformance/networks.ts";
import { assertNear, flatten, layoutOf, product, project } from "../conformance/reference.ts";

let runtime: Runtime;
before(async () => {
  runtime = await openRuntime();
});
after(() => runtime?.dispose());

async function directionOf(network: Network, optimizer: Optimizer): Promise<Float64Array> {
  const trainer = await trainerOf(runtime, network, optimizer);
  const batch = randomBatch(network, network.samples, network.seed);
  const direction = flatten(layoutOf(trainer.getParameters()), await trainer.direction(batch));
  trainer.dispose();
  return direction;
}

/** A network's directions by two optimizers are the same. */
async function agree(
  plans: fc.Arbitrary<NetworkPlan>,
  actual: () => Optimizer,
  expected: () => Optimizer,
): Promise<void> {
  await fc.assert(
    fc.asyncProperty(plans, async (plan) => {
      const network = networkOf(plan);
      assertNear(await directionOf(network, actual()), await directionOf(network, expected()), 1e-8, "");
    }),
    { numRuns: 8, seed: 1 },
  );
}

const damping = 0.03;
const exact = () => exactNgd({ damping, solver: "dense" });

describe("hessianFree", () => {
  it("has exactNgd's direction when it has converged, with and without a preconditioner", async () => {
    await agree(networkPlans(), () => hessianFree({ damping }), exact);
    await agree(networkPlans(), () => hessianFree({ damping, preconditioner: "diagonal" }), exact);
  });

  it("stops by iterations, says so, and by relative progress without a word", async () => {
    const plan = { features: 4, hidden: [4], outputs: 3, bias: true, samples: 7, seed: 1 } as const;
    const network = networkOf({ ...plan, activation: "tanh", likelihood: "categorical" });
    const batch = randomBatch(network, 7, 1);
    const statuses: string[] = [];
    for (const options of [{ iterations: 2 }, { relativeProgress: 0.5 }]) {
      const trainer = await trainerOf(runtime, network, hessianFree({ damping: 1e-6, ...options }));
      statuses.push((await trainer.step(batch)).status);
      trainer.dispose();
    }
    assert.deepEqual(statuses, ["conjugate gradients stopped after 2 iterations", "ok"]);
    const full = await directionOf(network, hessianFree({ damping: 1e-6 }));
    const early = await directionOf(network, hessianFree({ damping: 1e-6, relativeProgress: 0.5 }));
    assert.ok(
      full.some((value, k) => Math.abs(value - early[k]) > 1e-3),
      "the test stopped the solve early",
    );
  });

  it("starts from the last solution, so that solves cut short get further from step to step", async () => {
    const plan = { features: 3, hidden: [4], outputs: 2, bias: true, samples: 6, seed: 2 } as const;
    const network = networkOf({ ...plan, activation: "tanh", likelihood: "gaussian" });
    const batch = randomBatch(network, 6, 1);
    for (const warmStart of [0, 1]) {
      // A rate that moves no parameter: every step solves the same system.
      const options = { learningRate: 1e-150, damping: 0.01, tolerance: 1e-2, iterations: 3, warmStart };
      const trainer = await trainerOf(runtime, network, hessianFree(options));
      const statuses: string[] = [];
      for (let k = 0; k < 20; k++) statuses.push((await trainer.step(batch)).status);
      assert.equal(statuses[0], "conjugate gradients stopped after 3 iterations");
      assert.equal(statuses[19] === "ok", warmStart === 1, `warm start ${warmStart}: ${statuses[19]}`);
      trainer.dispose();
    }
  });

  it("follows the iterates of conjugate gradients on the dense matrix, where it is cut short", async () => {
    const plan = { features: 4, hidden: [5], outputs: 3, bias: true, samples: 7, seed: 3 } as const;
    const network = networkOf({ ...plan, activation: "tanh", likelihood: "categorical" });
    const batch = randomBatch(network, network.samples, network.seed);
    const trainer = await trainerOf(runtime, network, exact());
    const layout = layoutOf(trainer.getParameters());
    const gradient = flatten(layout, await trainer.gradient(batch));
    const fisher = project(await trainer.fisher(batch, "exact"), layout, "full");
    trainer.dispose();
    const apply = (vector: Float64Array) => product(fisher, vector);
    for (const iterations of [1, 2, 5, 9]) {
      const { solution } = await conjugateGradient(apply, gradient, {
        maxIterations: iterations,
        shift: damping,
      });
      assertNear(
        await directionOf(network, hessianFree({ damping, iterations })),
        solution,
        1e-7,
        `${iterations}`,
      );
    }
  });

  it("stands still where the gradient is zero, whatever it starts from", async () => {
    const plan = { features: 3, hidden: [], outputs: 2, bias: true, samples: 6, seed: 2 } as const;
    const network = networkOf({ ...plan, activation: "tanh", likelihood: "gaussian" });
    const trainer = await trainerOf(
      runtime,
      network,
      hessianFree({ learningRate: 0.1, damping, momentum: 0 }),
    );
    const batch = randomBatch(network, 6, 1);
    assert.ok((await trainer.step(batch)).stepNorm > 0);
    const { stepNorm, accepted } = await trainer.step({
      ...batch,
      targets: await trainer.predict(batch.inputs),
    });
    assert.deepEqual([stepNorm, accepted], [0, true]);
    trainer.dispose();
  });

  it("checks its options", () => {
    assert.throws(
      () => hessianFree({ iterations: 0 }),
      /^UsageError: invalid iterations: 0 \(must be > 0\)$/,
    );
    assert.throws(() => hessianFree({ warmStart: 2 }), /invalid warmStart: 2 \(must be 0 to 1\)/);
    assert.throws(() => hessianFree({ relativeProgress: 0 }), /invalid relativeProgress/);
    assert.throws(() => hessianFree({ preconditioner: "jacobi" as never }), /invalid preconditioner/);
  });
});

describe("customMetric", () => {
  const likelihood = (name: NetworkPlan["likelihood"][number]) => networkPlans([name as "gaussian"]);
  const kl = (f: graph.SymbolicTensor, other: graph.SymbolicTensor) => {
    const difference = graph.subtract(graph.logSoftmax(f), graph.logSoftmax(other));
    return graph.sum(graph.multiply(graph.softmax(f), difference), [1]);
  };
  const euclidean = (f: graph.SymbolicTensor, other: graph.SymbolicTensor) =>
    graph.multiply(graph.sum(graph.square(graph.subtract(f, other)), [1]), 0.5);

  it("with the Kullback-Leibler divergence is the natural gradient, either way round", async () => {
    await agree(networkPlans(), () => customMetric({ damping, metric: "kl" }), exact);
    for (const divergence of [kl, (f: graph.SymbolicTensor, g: graph.SymbolicTensor) => kl(g, f)]) {
      await agree(likelihood("categorical"), () => customMetric({ damping, metric: { divergence } }), exact);
    }
  });

  it("with ½‖f − f′‖² is Gauss-Newton, the natural gradient of the gaussian likelihood", async () => {
    await agree(likelihood("gaussian"), () => customMetric({ damping }), exact);
    const own = () => customMetric({ damping, metric: { divergence: euclidean } });
    await agree(networkPlans(), own, () => customMetric({ damping, metric: "euclidean" }));
  });

  it("takes the output Hessian itself", async () => {
    const hessian = (f: graph.SymbolicTensor) => {
      const [samples, outputs] = f.shape;
      const p = graph.softmax(f);
      const column = graph.reshape(p, [samples, outputs, 1]);
      const row = graph.reshape(p, [samples, 1, outputs]);
      const identity = Array.from({ length: outputs ** 2 }, (_, k) => (k % (outputs + 1) === 0 ? 1 : 0));
      const unit = graph.constant(identity, [1, outputs, outputs], f.dtype);
      return graph.subtract(graph.multiply(column, unit), graph.matmul(column, row));
    };
    await agree(likelihood("categorical"), () => customMetric({ damping, metric: { hessian } }), exact);
  });

  it("stops where the user's matrix is not positive definite, and says so", async () => {
    const plan = { features: 3, hidden: [4], outputs: 2, bias: true, samples: 6, seed: 2 } as const;
    const network = networkOf({ ...plan, activation: "tanh", likelihood: "gaussian" });
    const divergence = (f: graph.SymbolicTensor, other: graph.SymbolicTensor) =>
      graph.negate(euclidean(f, other));
    const trainer = await trainerOf(
      runtime,
      network,
      customMetric({ damping: 1e-3, metric: { divergence } }),
    );
    const before = flatten(layoutOf(trainer.getParameters()), trainer.getParameters());
    const { accepted, status } = await trainer.step(randomBatch(network, 6, 1));
    assert.equal(accepted, false);
    assert.equal(status, "rejected: conjugate gradients broke down: not positive definite");
    assert.deepEqual(flatten(layoutOf(trainer.getParameters()), trainer.getParameters()), before);
    trainer.dispose();
  });

  it("refuses what is no metric", async () => {
    for (const metric of ["fisher", {}, { divergence: 1 }, { distance: () => {} }, null]) {
      assert.throws(() => customMetric({ metric: metric as never }), /^UsageError: invalid metric: /);
    }
    const plan = { features: 3, hidden: [], outputs: 2, bias: true, samples: 6, seed: 2 } as const;
    const network = networkOf({ ...plan, activation: "tanh", likelihood: "gaussian" });
    await assert.rejects(
      directionOf(network, customMetric({ metric: { divergence: (f) => f } })),
      /^UsageError: invalid metric: divergence returns shape \(6, 2\) \(must be \(6\)\)$/,
    );
  });
});
