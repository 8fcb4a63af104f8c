/** SPRING's momentum against the paper's formula on dense matrices, and against the regularized least squares it solves. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { type Batch, createOptimizer, exactNgd, kfac, type Trainer, tensor } from "../../src/index.ts";
import { openRuntime } from "../../src/runtime/runtime.ts";
import type { Runtime } from "../../src/runtime/session.ts";
import { classifier, randomBatch, trainerOf } from "../conformance/networks.ts";
import {
  assertNear,
  dot,
  flatten,
  type Layout,
  layoutOf,
  type Matrix,
  product,
  project,
  solve,
} from "../conformance/reference.ts";

let runtime: Runtime;
before(async () => {
  runtime = await openRuntime();
});
after(() => runtime?.dispose());

const network = classifier();

const [damping, momentum, learningRate] = [0.02, 0.9, 0.1];
const spring = { damping, momentum, learningRate, momentumRule: "spring" };

/** ∇ℓ of every sample, (N, P). */
async function sampleGradients(trainer: Trainer, layout: Layout, { inputs, targets }: Batch) {
  const rows: Float64Array[] = [];
  for (let n = 0; n < inputs.shape[0]; n++) {
    const one = {
      inputs: tensor(inputs.data.slice(3 * n, 3 * n + 3) as Float64Array, [1, 3]),
      targets: tensor(targets.data.slice(n, n + 1) as Int32Array),
    };
    rows.push(flatten(layout, await trainer.gradient(one)));
  }
  return rows;
}

/** Rows restricted to each group of parameters in turn, zero elsewhere. */
function groups(layout: Layout, name: string): [number, number][] {
  return name === "exactNgd" ? [[0, layout.size]] : layout.layers.map(({ start, end }) => [start, end]);
}

/** φ = Oᵀ(OOᵀ + λI)⁻¹(ε − μOφ₋) + μφ₋ with O = S/√N and ε = 1/√N, each group of parameters for itself. */
function paper(rows: Matrix, previous: Float64Array, parts: [number, number][]): Float64Array {
  const root = Math.sqrt(rows.length);
  const result = new Float64Array(previous.length);
  for (const [start, end] of parts) {
    const o = rows.map((row) => row.slice(start, end).map((value) => value / root));
    const before = previous.slice(start, end).map((value) => momentum * value);
    const gram = o.map((a) => Float64Array.from(o, (b) => dot(a, b)));
    const target = Float64Array.from(o, (row) => 1 / root - dot(row, before));
    const weights = solve(gram, target, damping);
    for (let p = start; p < end; p++) {
      result[p] = before[p - start];
      for (let n = 0; n < o.length; n++) result[p] += o[n][p - start] * weights[n];
    }
  }
  return result;
}

describe("spring", () => {
  for (const name of ["exactNgd", "blockDiagonalNgd", "tengrad"]) {
    for (const solver of ["gram", "dense"]) {
      it(`${name}, empirical Fisher, ${solver}: the paper's formula`, async () => {
        const options = { ...spring, solver, fisher: "empirical", weightDecay: 0.01 };
        const trainer = await trainerOf(runtime, network, createOptimizer(name, options));
        const layout = layoutOf(trainer.getParameters());
        let previous: Float64Array = new Float64Array(layout.size);
        for (let k = 0; k < 5; k++) {
          const batch = randomBatch(network, 6, k);
          const parameters = flatten(layout, trainer.getParameters());
          previous = paper(await sampleGradients(trainer, layout, batch), previous, groups(layout, name));
          assertNear(flatten(layout, await trainer.direction(batch)), previous, 1e-8, `direction ${k}`);
          assert.equal((await trainer.step(batch)).status, "ok");
          const expected = parameters.map((value, p) => value - learningRate * (previous[p] + 0.01 * value));
          assertNear(flatten(layout, trainer.getParameters()), expected, 1e-10, `step ${k}`);
        }
        trainer.dispose();
      });

      it(`${name}, exact Fisher, ${solver}: regularized towards the last direction, stale or not`, async () => {
        const options = {
          ...spring,
          solver,
          fisher: "exact",
          refreshEvery: 3,
          stepRule: { trustRegion: 1e-3 },
        };
        const trainer = await trainerOf(runtime, network, createOptimizer(name, options));
        const layout = layoutOf(trainer.getParameters());
        let previous: Float64Array = new Float64Array(layout.size);
        let matrix: Matrix = [];
        for (const [k, samples] of [6, 6, 4, 5, 6, 5, 6].entries()) {
          const batch = randomBatch(network, samples, k);
          const parameters = flatten(layout, trainer.getParameters());
          const gradient = flatten(layout, await trainer.gradient(batch));
          const structure = name === "exactNgd" ? "full" : "block-diagonal";
          const fisher = await trainer.fisher(batch, "exact");
          if (k % 3 === 0) matrix = project(fisher, layout, structure);
          // The minimum of (1/N)‖Sφ − ρ‖² + λ‖φ − μφ₋‖²; what is shortened is the step, not the direction kept.
          const target = gradient.map((value, p) => value + damping * momentum * previous[p]);
          previous = solve(matrix, target, damping);
          const curvature = dot(previous, product(project(fisher, layout, "full"), previous));
          const scale = Math.min(1, Math.sqrt(2e-3 / (learningRate ** 2 * curvature)));
          assert.equal((await trainer.step(batch)).status, "ok");
          const after = flatten(layout, trainer.getParameters());
          const step = parameters.map((value, p) => (value - after[p]) / learningRate);
          assertNear(
            step,
            previous.map((value) => scale * value),
            1e-8,
            `step ${k}`,
          );
        }
        trainer.dispose();
      });
    }
  }

  it("takes Monte-Carlo targets, and chooses its learning rate by the quadratic model", async () => {
    const options = { ...spring, fisher: { type: "monte-carlo", samples: 2 }, stepRule: "quadratic-model" };
    const trainer = await trainerOf(runtime, network, createOptimizer("blockDiagonalNgd", options));
    const layout = layoutOf(trainer.getParameters());
    const draws = [20, 21].map((seed) => randomBatch(network, 6, seed).targets);
    const batch = randomBatch(network, 6, 1);
    await trainer.step(batch);
    const gradient = flatten(layout, await trainer.gradient(batch));
    const drawn = { sampledTargets: draws };
    const matrix = await trainer.fisher(batch, { type: "monte-carlo", samples: 2 }, drawn);
    const direction = flatten(layout, await trainer.direction(batch, drawn));
    // (F + λI)φ − g = λμφ₋ whatever was drawn.
    const curved = project(matrix, layout, "block-diagonal");
    const carried = product(curved, direction).map(
      (value, p) => value + damping * direction[p] - gradient[p],
    );
    const other = [22, 23].map((seed) => randomBatch(network, 6, seed).targets);
    const again = flatten(layout, await trainer.direction(batch, { sampledTargets: other }));
    const otherMatrix = await trainer.fisher(
      batch,
      { type: "monte-carlo", samples: 2 },
      { sampledTargets: other },
    );
    const otherCurved = project(otherMatrix, layout, "block-diagonal");
    const carriedAgain = product(otherCurved, again).map(
      (value, p) => value + damping * again[p] - gradient[p],
    );
    assertNear(carriedAgain, carried, 1e-8, "λμφ₋");
    trainer.dispose();
  });

  it("is refused in words where nothing carries it", () => {
    assert.throws(() => kfac({ momentumRule: "spring" } as never), {
      name: "UsageError",
      message:
        'invalid momentumRule: "spring" (must be heavy-ball here: spring is for exactNgd, blockDiagonalNgd and tengrad)',
    });
    assert.throws(() => exactNgd({ momentumRule: "spring", solver: "cg" }), {
      message: 'invalid momentumRule: "spring" (must be heavy-ball with solver cg)',
    });
    assert.throws(() => exactNgd({ momentumRule: "spring", momentum: 0 }), {
      message: "invalid momentum: 0 (must be > 0 with momentumRule spring)",
    });
    assert.throws(() => exactNgd({ momentumRule: "spring", momentum: 0.9, nesterov: true }), {
      message: "invalid nesterov: true (must be false with momentumRule spring)",
    });
    assert.throws(() => exactNgd({ momentumRule: "spring", klClip: 0.01 }), {
      message: "invalid klClip: 0.01 (must be left out with momentumRule spring: use trustRegion)",
    });
    assert.throws(() => exactNgd({ momentumRule: "kaczmarz" as never }), {
      message: 'invalid momentumRule: "kaczmarz" (must be heavy-ball | spring)',
    });
  });
});
