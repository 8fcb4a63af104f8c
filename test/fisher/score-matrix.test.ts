/** Products with the score matrix from its factors, against the matrix itself and against gradients of single samples. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import fc from "fast-check";
import { requireLinear } from "../../src/curvature/images.ts";
import {
  flattenVector,
  gramMatrix,
  parseFisher,
  scoreMatrix,
  scoreProduct,
  splitVector,
  traceScores,
  transposedProduct,
  unflattenVector,
} from "../../src/fisher/index.ts";
import * as graph from "../../src/graph/index.ts";
import { dense, gaussian, sequential, sgd, tanh } from "../../src/index.ts";
import { Random } from "../../src/random.ts";
import { evaluate } from "../../src/runtime/program.ts";
import { openRuntime } from "../../src/runtime/runtime.ts";
import type { Runtime } from "../../src/runtime/session.ts";
import {
  type Network,
  networkOf,
  networkPlans,
  normal,
  randomBatch,
  trainerOf,
} from "../conformance/networks.ts";
import { assertNear, flatten, layoutOf } from "../conformance/reference.ts";

let runtime: Runtime;
before(async () => {
  runtime = await openRuntime();
});
after(() => runtime?.dispose());

const fishers = ["empirical", "improved-empirical", "exact", { type: "monte-carlo", samples: 3 }] as const;

/** Everything about the score matrix of a network's random batch. */
async function compute(network: Network, option: (typeof fishers)[number]) {
  const { model, likelihood, inputShape, outputs, samples } = network;
  const trainer = await trainerOf(runtime, network, sgd({ learningRate: 1 }));
  const values = trainer.getParameters();
  const parameters = new Map(
    [...values].map(([name, { shape, data }]) => [name, graph.constant(data, shape, "float64")] as const),
  );
  const batch = randomBatch(network, samples, 1);
  const draws = [2, 3, 4].map((seed) => randomBatch(network, samples, seed).targets);
  const node = ({ shape, data }: typeof batch.targets) =>
    graph.constant(data, shape, likelihood.targets(samples, outputs).dtype === "int32" ? "int32" : "float64");
  const forward = model.build(inputShape).forward(float64(batch.inputs), parameters);
  const scores = requireLinear(
    "the test",
    traceScores(forward, likelihood, node(batch.targets), parseFisher(option), draws.map(node)),
  );
  const rows = scores.layers[0].deltas.shape[0];
  const random = new Random(network.seed);
  const u = normal(random, [rows]);
  const results = await evaluate(
    runtime,
    Object.fromEntries(
      scores.layers.flatMap((layer, l) => {
        const matrix = scoreMatrix(layer);
        const v = normal(random, [matrix.shape[1]]);
        const [flatV, flatU] = [float64(v), float64(u)];
        const column = (x: graph.SymbolicTensor) => graph.reshape(x, [-1, 1]);
        return [
          [`${l} matrix`, matrix],
          [`${l} gram`, gramMatrix(layer)],
          [`${l} gram expected`, graph.matmul(matrix, matrix, { transposeB: true })],
          [`${l} product`, scoreProduct(layer, unflattenVector(layer, flatV))],
          [`${l} product expected`, graph.reshape(graph.matmul(matrix, column(flatV)), [-1])],
          [`${l} transposed`, flattenVector(transposedProduct(layer, flatU))],
          [
            `${l} transposed expected`,
            graph.reshape(graph.matmul(matrix, column(flatU), { transposeA: true }), [-1]),
          ],
          ...(scores.residual
            ? [[`${l} gradient`, flattenVector(transposedProduct(layer, scores.residual))] as const]
            : []),
        ] as const;
      }),
    ),
  );
  return { network, trainer, batch, scores, results, rows };

  function float64({ shape, data }: { shape: readonly number[]; data: ArrayLike<number> }) {
    return graph.constant(data, shape, "float64");
  }
}

describe("score matrix", () => {
  for (const option of fishers) {
    it(`${JSON.stringify(option)}: SSᵀ, S v and Sᵀu without S`, async () => {
      await fc.assert(
        fc.asyncProperty(networkPlans(), async (plan) => {
          const { scores, results, trainer } = await compute(networkOf(plan), option);
          for (const l of scores.layers.keys()) {
            for (const what of ["gram", "product", "transposed"]) {
              assertNear(results[`${l} ${what}`].data, results[`${l} ${what} expected`].data, 1e-12, what);
            }
          }
          trainer.dispose();
        }),
        { numRuns: 10, seed: 1 },
      );
    });
  }

  for (const option of ["empirical", "improved-empirical", "exact"] as const) {
    it(`${option}: g = (1/N) Sᵀρ`, async () => {
      await fc.assert(
        fc.asyncProperty(networkPlans(), async (plan) => {
          const { scores, results, trainer, batch, network } = await compute(networkOf(plan), option);
          const layout = layoutOf(trainer.getParameters());
          const expected = flatten(layout, await trainer.gradient(batch));
          const actual = [...scores.layers.keys()].flatMap((l) =>
            Array.from(results[`${l} gradient`].data, (value) => value / network.samples),
          );
          assertNear(actual, expected, 1e-11, "gradient");
          trainer.dispose();
        }),
        { numRuns: 10, seed: 2 },
      );
    });
  }

  it("has the gradients of single samples as its empirical rows, NTK scaling included", async () => {
    const ntk = { sigmaW: 1.4, sigmaB: 0.3 };
    const network: Network = {
      ...{ model: sequential([dense(3, { ntk }), tanh(), dense(2, { ntk })]), likelihood: gaussian() },
      ...{ inputShape: [2], outputs: 2, samples: 4, seed: 1 },
    };
    const { results, trainer, batch } = await compute(network, "empirical");
    const layout = layoutOf(trainer.getParameters());
    for (let n = 0; n < 4; n++) {
      const one = {
        inputs: { shape: [1, 2], data: batch.inputs.data.slice(2 * n, 2 * n + 2) },
        targets: { shape: [1, 2], data: batch.targets.data.slice(2 * n, 2 * n + 2) },
      };
      const expected = flatten(layout, await trainer.gradient(one));
      for (const [l, { start, end }] of layout.layers.entries()) {
        const width = end - start;
        const row = results[`${l} matrix`].data.slice(n * width, (n + 1) * width);
        assertNear(row, expected.slice(start, end), 1e-12, `sample ${n}, layer ${l}`);
      }
    }
    trainer.dispose();
  });

  it("vectors of several layers are cut where the layers end", async () => {
    const plan = { features: 2, hidden: [3], outputs: 2, bias: true, samples: 2, seed: 1 };
    const network = networkOf({ ...plan, activation: "tanh", likelihood: "gaussian" });
    const { scores, trainer } = await compute(network, "empirical");
    const flat = Float64Array.from({ length: 17 }, (_, k) => k);
    const parts = splitVector(scores.layers, graph.constant(flat, [17], "float64"));
    const { again } = await evaluate(runtime, { again: graph.concatenate(parts.map(flattenVector)) });
    assert.deepEqual([...again.data], [...flat]);
    trainer.dispose();
  });
});

describe("parseFisher", () => {
  it("counts draws for Monte-Carlo only", () => {
    assert.deepEqual(parseFisher("exact"), { type: "exact", draws: 0 });
    assert.deepEqual(parseFisher("monte-carlo"), { type: "monte-carlo", draws: 1 });
    assert.deepEqual(parseFisher({ type: "monte-carlo", samples: 4 }), { type: "monte-carlo", draws: 4 });
    assert.deepEqual(parseFisher({ type: "empirical", samples: 4 }), { type: "empirical", draws: 0 });
  });
});
