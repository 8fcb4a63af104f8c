/** Identities of the natural gradient over random convolutional networks; float32 by ONNX's Conv against float64 by patches. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import fc from "fast-check";
import {
  avgPool,
  type Batch,
  batchNorm,
  categorical,
  conv2d,
  createOptimizer,
  dense,
  flatten as flattenLayer,
  gaussian,
  globalAvgPool,
  type Layer,
  maxPool,
  type Optimizer,
  residual,
  sequential,
  sgd,
  tanh,
} from "../../src/index.ts";
import { openRuntime } from "../../src/runtime/runtime.ts";
import type { Runtime } from "../../src/runtime/session.ts";
import type { NamedTensors } from "../../src/tensor.ts";
import { type Network, randomBatch, trainerOf } from "../conformance/networks.ts";
import { assertNear, flatten, layoutOf, type Matrix, project, solve } from "../conformance/reference.ts";
import { covariance, eigen, inBasis, kfacMatrix, kronecker, outerProduct } from "./kronecker-reference.ts";

let runtime: Runtime;
before(async () => {
  runtime = await openRuntime();
});
after(() => runtime.dispose());

interface Plan {
  readonly channels: number;
  readonly filters: readonly number[];
  readonly kernel: number;
  readonly stride: number;
  readonly padding: number;
  readonly dilation: number;
  /** Of the last convolution: as many groups as channels is depthwise. */
  readonly groups: "one" | "two" | "depthwise";
  readonly bias: boolean;
  readonly pooling: "max" | "average" | "global";
  readonly samples: number;
  readonly seed: number;
}

const upTo = (max: number, min = 1) => fc.integer({ min, max });
const plans: fc.Arbitrary<Plan> = fc.record({
  channels: upTo(2),
  filters: fc.array(fc.constantFrom(2, 4), { minLength: 1, maxLength: 2 }),
  kernel: upTo(3),
  stride: upTo(2),
  padding: upTo(1, 0),
  dilation: upTo(2),
  groups: fc.constantFrom("one", "two", "depthwise"),
  bias: fc.boolean(),
  pooling: fc.constantFrom("max", "average", "global"),
  samples: upTo(6, 2),
  seed: upTo(1e6),
});

function networkOf(plan: Plan): Network {
  const { channels, filters, kernel, stride, padding, dilation, groups, bias, pooling, samples, seed } = plan;
  const pool = { max: maxPool(2), average: avgPool(2), global: globalAvgPool() }[pooling];
  const layers: Layer[] = filters.flatMap((count, l) => {
    const first = l === 0;
    const cut = first ? 1 : { one: 1, two: 2, depthwise: filters[l - 1] }[groups];
    const shape = first ? { kernel, stride, padding, dilation } : { kernel: 2 };
    return [
      conv2d(groups === "depthwise" && !first ? 2 * filters[l - 1] : count, { ...shape, groups: cut, bias }),
      tanh(),
    ];
  });
  return {
    model: sequential([...layers, pool, ...(pooling === "global" ? [] : [flattenLayer()]), dense(2)]),
    ...{ likelihood: categorical(), inputShape: [channels, 9, 9], outputs: 2, samples, seed },
  };
}

async function directionOf(network: Network, batch: Batch, optimizer: Optimizer): Promise<Float64Array> {
  const trainer = await trainerOf(runtime, network, optimizer);
  const direction = flatten(layoutOf(trainer.getParameters()), await trainer.direction(batch));
  trainer.dispose();
  return direction;
}

const holds = (property: (network: Network, batch: Batch) => Promise<void>, numRuns: number) =>
  fc.assert(
    fc.asyncProperty(plans, async (plan) => {
      const network = networkOf(plan);
      await property(network, randomBatch(network, network.samples, network.seed));
    }),
    { numRuns, seed: 11 },
  );

const damping = 0.05;

describe("natural gradients of convolutional networks", () => {
  it("exact: elimination = push-through = conjugate gradients = matrix-free products", async () => {
    await holds(async (network, batch) => {
      const trainer = await trainerOf(runtime, network, sgd({ learningRate: 1 }));
      const layout = layoutOf(trainer.getParameters());
      const fisher = project(await trainer.fisher(batch, "exact"), layout, "full");
      const expected = solve(fisher, flatten(layout, await trainer.gradient(batch)), damping);
      trainer.dispose();
      const tolerance = 1e-12;
      for (const solver of ["dense", "gram", { type: "cg", tolerance }]) {
        const direction = await directionOf(network, batch, createOptimizer("exactNgd", { solver, damping }));
        assertNear(direction, expected, 1e-8, JSON.stringify(solver));
      }
      for (const preconditioner of ["none", "diagonal"]) {
        const options = { damping, tolerance, preconditioner };
        const direction = await directionOf(network, batch, createOptimizer("hessianFree", options));
        assertNear(direction, expected, 1e-8, `matrix-free, preconditioner ${preconditioner}`);
      }
    }, 5);
  });

  it("TENGraD = blocks by elimination, also as a step by the Woodbury form", async () => {
    await holds(async (network, batch) => {
      const trainer = await trainerOf(runtime, network, sgd({ learningRate: 1 }));
      const layout = layoutOf(trainer.getParameters());
      const fisher = project(await trainer.fisher(batch, "empirical"), layout, "block-diagonal");
      const expected = solve(fisher, flatten(layout, await trainer.gradient(batch)), damping);
      trainer.dispose();
      for (const solver of ["auto", "gram"]) {
        const direction = await directionOf(network, batch, createOptimizer("tengrad", { solver, damping }));
        assertNear(direction, expected, 1e-8, solver);
      }
      // A first step of rate 0 refreshes the curvature; the second, at the same place, is by the Woodbury form.
      const learningRate = { schedule: "piecewise", initial: 1e-150, milestones: [1], factor: 1e150 };
      const options = { learningRate, refreshEvery: 2, solver: "gram", damping, momentum: 0 };
      const stale = await trainerOf(runtime, network, createOptimizer("tengrad", options));
      const start = flatten(layout, stale.getParameters());
      for (let k = 0; k < 2; k++) await stale.step(batch);
      const end = flatten(layout, stale.getParameters());
      stale.dispose();
      assertNear(
        start.map((value, p) => value - end[p]),
        expected,
        1e-8,
        "Woodbury",
      );
    }, 6);
  });
});

describe("Kronecker factors of a convolution", () => {
  const [samples, channels, filters, size, kernel, classes] = [9, 1, 2, 5, 2, 2];
  const width = size - kernel + 1;
  const positions = width ** 2;

  /** δ and ā of every sample and position, and the layer's gradient, by loops; the network is linear. */
  function byLoops(bias: boolean, batch: Batch, parameters: NamedTensors, residuals: Float64Array) {
    const dense = parameters.get("2.weight")!.data;
    const columns = channels * kernel ** 2 + (bias ? 1 : 0);
    return Array.from({ length: samples }, (_, n) => {
      const inputs = Array.from({ length: positions }, (_, t) => {
        const [y, x] = [Math.floor(t / width), t % width];
        return Float64Array.from({ length: columns }, (_, i) => {
          const [row, column] = [y + Math.floor(i / kernel), x + (i % kernel)];
          return i === kernel ** 2 ? 1 : batch.inputs.data[(n * size + row) * size + column];
        });
      });
      const deltas = Array.from({ length: positions }, (_, t) =>
        Float64Array.from({ length: filters }, (_, o) => {
          let total = 0;
          for (let c = 0; c < classes; c++) {
            total += residuals[n * classes + c] * dense[c * filters * positions + o * positions + t];
          }
          return total;
        }),
      );
      return { inputs, deltas };
    });
  }

  const sumOf = (rows: readonly Float64Array[], factor = 1) =>
    rows[0].map((_, k) => factor * rows.reduce((total, row) => total + row[k], 0));

  for (const bias of [true, false]) {
    it(`expand and reduce, ${bias ? "with" : "without"} bias: K-FAC, its eigen form and EKFAC`, async () => {
      const network: Network = {
        model: sequential([conv2d(filters, { kernel, bias }), flattenLayer(), dense(classes)]),
        ...{ likelihood: gaussian(), inputShape: [channels, size, size], outputs: classes, samples, seed: 3 },
      };
      const batch = randomBatch(network, samples, 3);
      const probe = await trainerOf(runtime, network, sgd({ learningRate: 1 }));
      const parameters = probe.getParameters();
      const layout = layoutOf(parameters);
      const { end } = layout.layers[0];
      const gradient = flatten(layout, await probe.gradient(batch)).slice(0, end);
      const predicted = (await probe.predict(batch.inputs)).data;
      probe.dispose();
      const residuals = Float64Array.from(predicted, (value, k) => value - batch.targets.data[k]);
      const rows = byLoops(bias, batch, parameters, residuals);
      const scores = rows.map(({ inputs, deltas }) =>
        sumOf(inputs.map((a, t) => outerProduct(deltas[t], a))),
      );
      assertNear(sumOf(scores, 1 / samples), gradient, 1e-10, "the loops' gradient");

      const factors = {
        expand: {
          a: covariance(rows.flatMap(({ inputs }) => inputs)).map((row) => row.map((x) => x * positions)),
          g: covariance(rows.flatMap(({ deltas }) => deltas)),
        },
        reduce: {
          a: covariance(rows.map(({ inputs }) => sumOf(inputs, 1 / positions))),
          g: covariance(rows.map(({ deltas }) => sumOf(deltas))),
        },
      };
      for (const convolution of ["expand", "reduce"] as const) {
        const { a, g } = factors[convolution];
        const options = { fisher: "empirical", damping, convolution };
        const close = async (name: string, more: object, matrix: Matrix, shift: number) => {
          const direction = await directionOf(network, batch, createOptimizer(name, { ...options, ...more }));
          const expected = solve(matrix, gradient, shift);
          assertNear(direction.slice(0, end), expected, 1e-8, `${name}, ${convolution}`);
        };
        await close("kfac", {}, kfacMatrix(g, a, damping), 0);
        await close("kfac", { form: "eigen" }, kronecker(g, a), damping);
        const [outer, inner] = [eigen(g).vectors, eigen(a).vectors];
        const basis = outer.flatMap((u) => inner.map((v) => outerProduct(u, v)));
        const scale = Float64Array.from(basis, (w) => {
          const along = scores.map((row) => row.reduce((total, x, k) => total + x * w[k], 0));
          return along.reduce((total, x) => total + x * x, 0) / samples;
        });
        await close("ekfac", {}, inBasis(outer, inner, scale), damping);
      }
    });
  }
});

describe("float32 by ONNX's Conv against float64 by patches", () => {
  const layers = () => [
    ...[conv2d(4, { stride: 2, padding: 1, bias: false }), batchNorm(), tanh()],
    ...[residual([conv2d(4, { padding: 1, groups: 2 })]), conv2d(6, { dilation: 2 }), tanh()],
    ...[conv2d(6, { kernel: 2, groups: 6 }), avgPool(2), flattenLayer(), dense(3)],
  ];
  const network: Network = {
    model: sequential(layers()),
    ...{ likelihood: categorical(), inputShape: [2, 16, 16], outputs: 3, samples: 16, seed: 8 },
  };

  for (const name of ["sgd", "exactNgd", "tengrad", "kfac", "ekfac", "kbfgs"]) {
    it(`${name}: a direction and three steps`, async () => {
      const trainers = await Promise.all(
        (["float64", "float32"] as const).map((dtype) =>
          trainerOf(runtime, network, optimizerOf(name), { dtype }),
        ),
      );
      const start = trainers[1].getParameters(); // numbers of float32
      const results = [];
      for (const trainer of trainers) {
        trainer.setParameters(start);
        const layout = layoutOf(start);
        const direction = flatten(layout, await trainer.direction(randomBatch(network, 16, 8)));
        for (let k = 0; k < 3; k++) {
          const { accepted, status } = await trainer.step(randomBatch(network, 16, k));
          assert.ok(accepted, status);
        }
        results.push({ direction, end: flatten(layout, trainer.getParameters()) });
        trainer.dispose();
      }
      const [wide, narrow] = results;
      assertNear(narrow.direction, wide.direction, 1e-4, "direction");
      // K-BFGS learns from differences of two passes, which have fewer digits than either.
      assertNear(narrow.end, wide.end, name === "kbfgs" ? 1e-3 : 1e-4, "parameters after three steps");
    });
  }

  function optimizerOf(name: string): Optimizer {
    const kronecker = name === "kfac" || name === "ekfac";
    const natural = name === "sgd" ? {} : { damping: 0.1 };
    return createOptimizer(name, {
      learningRate: 0.03,
      ...natural,
      ...(kronecker && { fisher: "empirical" }),
    });
  }
});
