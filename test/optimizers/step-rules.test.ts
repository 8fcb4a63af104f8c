/** Step rules against computations by hand: the quadratic model's coefficients, trust regions, steps taken back. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { type Batch, createOptimizer, type Trainer } from "../../src/index.ts";
import { trustRegionPolicy } from "../../src/optimizers/step-rules/trust-region.ts";
import { openRuntime } from "../../src/runtime/runtime.ts";
import type { Runtime } from "../../src/runtime/session.ts";
import {
  assertSameBits,
  classifier,
  linearRegression,
  randomBatch,
  trainerOf,
} from "../conformance/networks.ts";
import {
  assertNear,
  dot,
  flatten,
  layoutOf,
  type Matrix,
  product,
  project,
} from "../conformance/reference.ts";

let runtime: Runtime;
before(async () => {
  runtime = await openRuntime();
});
after(() => runtime?.dispose());

const network = classifier();
const linear = linearRegression();

interface Rule {
  readonly damping?: number;
  readonly weightDecay?: number;
  readonly momentum?: number;
  readonly solver?: string;
}

/** What a batch looks like from the parameters that a trainer has. */
async function surroundings(trainer: Trainer, batch: Batch) {
  const layout = layoutOf(trainer.getParameters());
  return {
    parameters: flatten(layout, trainer.getParameters()),
    gradient: flatten(layout, await trainer.gradient(batch)),
    matrix: project(await trainer.fisher(batch, "exact"), layout, "full"),
  };
}

/** The step taken, θ − θ', from the parameters before. */
function taken(trainer: Trainer, before: Float64Array): Float64Array {
  const after = flatten(layoutOf(trainer.getParameters()), trainer.getParameters());
  return before.map((value, p) => value - after[p]);
}

const combine = (a: number, x: Float64Array, b: number, y: Float64Array) =>
  x.map((value, p) => a * value + b * y[p]);

/** (α, μ) by Cramer's rule, from the dense matrix A. */
function coefficients(matrix: Matrix, target: Float64Array, delta: Float64Array, before: Float64Array) {
  const [a, b, c] = [
    dot(delta, product(matrix, delta)),
    dot(delta, product(matrix, before)),
    dot(before, product(matrix, before)),
  ];
  const [x, y] = [dot(target, delta), dot(target, before)];
  if (c === 0) return [x / a, 0];
  const determinant = a * c - b * b;
  return [(x * c - b * y) / determinant, (a * y - b * x) / determinant];
}

const shifted = (matrix: Matrix, shift: number): Matrix =>
  matrix.map((row, i) => row.map((value, j) => (i === j ? value + shift : value)));

describe("quadratic model", () => {
  it("takes the steps of preconditioned conjugate gradients on a quadratic loss", async () => {
    const options = { stepRule: "quadratic-model", damping: 0, fisher: "exact" };
    const trainer = await trainerOf(runtime, linear, createOptimizer("diagonalNgd", options));
    const batch = randomBatch(linear, 12, 4);
    const { parameters: x, gradient, matrix } = await surroundings(trainer, batch);
    const scale = matrix.map((row, p) => row[p]);
    let residual = gradient;
    let direction: Float64Array | undefined;
    let along = 0;
    for (let k = 0; k < 6; k++) {
      const preconditioned = residual.map((value, p) => value / scale[p]);
      const product1 = dot(residual, preconditioned);
      direction = direction ? combine(1, preconditioned, product1 / along, direction) : preconditioned;
      along = product1;
      const image = product(matrix, direction);
      const step = product1 / dot(direction, image);
      for (let p = 0; p < x.length; p++) x[p] -= step * direction[p];
      residual = combine(1, residual, -step, image);
      const { status } = await trainer.step(batch);
      assert.equal(status, "ok");
      const own = flatten(layoutOf(trainer.getParameters()), trainer.getParameters());
      assertNear(own, x, 1e-8, `step ${k}`);
    }
    trainer.dispose();
  });

  it("is at the minimum after one full natural-gradient step, and stays there", async () => {
    const options = { stepRule: "quadratic-model", damping: 0 };
    const trainer = await trainerOf(runtime, linear, createOptimizer("exactNgd", options));
    const batch = randomBatch(linear, 12, 4);
    const { learningRate, momentum } = await trainer.step(batch);
    assertNear([learningRate], [1], 1e-10, "learning rate");
    assert.equal(momentum, 0);
    const { gradient } = await surroundings(trainer, batch);
    assert.ok(Math.sqrt(dot(gradient, gradient)) < 1e-12);
    trainer.dispose();
  });

  const cases: [string, string | undefined, Rule][] = [
    ["exactNgd", "exact", { momentum: 0 }],
    ["exactNgd", "empirical", { solver: "cg" }],
    ["blockDiagonalNgd", "monte-carlo", { weightDecay: 0.02 }],
    ["tengrad", "empirical", { weightDecay: 0.02, momentum: 0 }],
    ["diagonalNgd", "exact", {}],
    ["unitwiseNgd", "exact", { weightDecay: 0.1 }],
    ["layerwiseNgd", "exact", { damping: 1 }],
    ["kfac", "exact", { weightDecay: 0.02 }],
    ["ekfac", "exact", {}],
    ["hessianFree", undefined, {}],
    ["kbfgs", undefined, {}],
  ];
  for (const [name, fisher, extra] of cases) {
    it(`solves the 2 × 2 system: ${name} ${fisher ?? ""} ${JSON.stringify(extra)}`, async () => {
      const { damping = 0.05, weightDecay = 0, momentum } = extra;
      const options = { stepRule: "quadratic-model", damping, ...(fisher && { fisher }), ...extra };
      const trainer = await trainerOf(runtime, network, createOptimizer(name, options));
      const batch = randomBatch(network, 6, 2);
      let before: Float64Array = new Float64Array(26);
      for (let k = 0; k < 5; k++) {
        const { parameters, gradient, matrix } = await surroundings(trainer, batch);
        const layout = layoutOf(trainer.getParameters());
        const remembers = fisher === "monte-carlo" || ["kfac", "ekfac", "kbfgs"].includes(name);
        const natural = remembers ? undefined : flatten(layout, await trainer.direction(batch));
        const used = await trainer.step(batch);
        assert.equal(used.status, "ok");
        const step = taken(trainer, parameters);
        const target = combine(1, gradient, weightDecay, parameters);
        const curved = shifted(matrix, damping + weightDecay);
        if (natural) {
          const delta = combine(1, natural, weightDecay, parameters);
          const [alpha, mu] = coefficients(
            curved,
            target,
            delta,
            momentum === 0 ? delta.map(() => 0) : before,
          );
          assertNear([used.learningRate, used.momentum!], [alpha, mu], 1e-7, `coefficients of step ${k}`);
          assertNear(step, combine(alpha, delta, mu, before), 1e-8, `step ${k}`);
        }
        // A minimum over the span: what is left of the gradient is orthogonal to the step, and to the one before.
        const rest = combine(1, target, -1, product(curved, step));
        for (const along of momentum === 0 ? [step] : [step, before]) {
          const scale = Math.sqrt(dot(target, target) * dot(along, along)) || 1;
          assert.ok(Math.abs(dot(rest, along)) < 1e-9 * scale, `stationary at step ${k}`);
        }
        before = step;
      }
      trainer.dispose();
    });
  }

  it("reports a number as the learning rate of a step that has none", async () => {
    for (const name of ["exactNgd", "diagonalNgd", "kfac"]) {
      const options = { stepRule: "quadratic-model", damping: 0.05 };
      const trainer = await trainerOf(runtime, linear, createOptimizer(name, options));
      const batch = randomBatch(linear, 12, 4);
      batch.inputs.data[3] = Number.POSITIVE_INFINITY;
      const { accepted, learningRate, momentum = 0 } = await trainer.step(batch);
      assert.equal(accepted, false);
      assert.ok(Number.isFinite(learningRate) && Number.isFinite(momentum), name);
      trainer.dispose();
    }
  });

  it("judges steps by stale curvature on their own batch, of whatever size", async () => {
    for (const solver of ["gram", "cg"]) {
      const options = { stepRule: "quadratic-model", damping: 0.05, refreshEvery: 3, solver };
      const trainer = await trainerOf(runtime, network, createOptimizer("exactNgd", options));
      let before: Float64Array = new Float64Array(26);
      for (const [k, samples] of [6, 4, 6, 5, 5, 6, 4].entries()) {
        const batch = randomBatch(network, samples, k);
        const { parameters, gradient, matrix } = await surroundings(trainer, batch);
        assert.equal((await trainer.step(batch)).accepted, true);
        const step = taken(trainer, parameters);
        const rest = combine(1, gradient, -1, product(shifted(matrix, 0.05), step));
        for (const along of [step, before]) {
          const scale = Math.sqrt(dot(gradient, gradient) * dot(along, along)) || 1;
          assert.ok(Math.abs(dot(rest, along)) < 1e-9 * scale, `${solver}, step ${k}`);
        }
        before = step;
      }
      trainer.dispose();
    }
  });
});

describe("trust region", () => {
  for (const [name, extra] of [
    ["exactNgd", { momentum: 0.9, nesterov: true }],
    ["tengrad", { momentum: 0.9, weightDecay: 0.1 }],
    ["quasiDiagonalNgd", {}],
    ["kfac", { fisher: "exact", momentum: 0.5 }],
    ["customMetric", {}],
  ] as const) {
    it(`is met by the whole step: ${name} ${JSON.stringify(extra)}`, async () => {
      const radius = 1e-3;
      const options = { learningRate: 1, damping: 0.05, momentum: 0, ...extra };
      const bound = { ...options, stepRule: { trustRegion: radius } };
      const trainer = await trainerOf(runtime, network, createOptimizer(name, bound));
      const batch = randomBatch(network, 6, 2);
      for (let k = 0; k < 4; k++) {
        const { parameters, matrix } = await surroundings(trainer, batch);
        assert.equal((await trainer.step(batch)).trustRegion, radius);
        const step = taken(trainer, parameters);
        assertNear([dot(step, product(matrix, step)) / 2], [radius], 1e-8, `step ${k}`);
      }
      trainer.dispose();
    });
  }

  it("leaves steps within it alone", async () => {
    const batch = randomBatch(network, 6, 2);
    const parameters = [];
    for (const stepRule of ["given", { trustRegion: 100 }]) {
      const trainer = await trainerOf(
        runtime,
        network,
        createOptimizer("exactNgd", { momentum: 0.9, stepRule }),
      );
      for (let k = 0; k < 4; k++) await trainer.step(batch);
      parameters.push(flatten(layoutOf(trainer.getParameters()), trainer.getParameters()));
      trainer.dispose();
    }
    assertNear(parameters[1], parameters[0], 1e-12, "parameters");
  });

  it("bounds the quadratic model's step as well", async () => {
    const stepRule = { coefficients: "quadratic-model", trustRegion: 1e-3 };
    const trainer = await trainerOf(runtime, network, createOptimizer("blockDiagonalNgd", { stepRule }));
    const batch = randomBatch(network, 6, 2);
    for (let k = 0; k < 4; k++) {
      const { parameters, matrix } = await surroundings(trainer, batch);
      await trainer.step(batch);
      const step = taken(trainer, parameters);
      assertNear([dot(step, product(matrix, step)) / 2], [1e-3], 1e-8, `step ${k}`);
    }
    trainer.dispose();
  });

  it("adapts its radius as Algorithm 4.1 does, within bounds", () => {
    const { adapt } = trustRegionPolicy({ initial: 1, minimum: 0.01, maximum: 10 });
    assert.equal(adapt(1, { ratio: 0.9, divergence: 1, bounded: true }), 4);
    assert.equal(adapt(4, { ratio: 0.9, divergence: 4, bounded: true }), 10);
    assert.equal(adapt(1, { ratio: 0.9, divergence: 0.5, bounded: false }), 1);
    assert.equal(adapt(1, { ratio: 0.5, divergence: 1, bounded: true }), 1);
    assert.equal(adapt(1, { ratio: 0.2, divergence: 1, bounded: true }), 1 / 16);
    assert.equal(adapt(1, { ratio: 0, divergence: 0.32, bounded: false }), 0.02);
    assert.equal(adapt(0.1, { ratio: -1, divergence: 0.1, bounded: true }), 0.01);
    assert.equal(adapt(1, { ratio: Number.NaN, divergence: 0, bounded: false }), 1);
  });

  it("measures the reduction ratio of every step, and takes back what raises the loss", async () => {
    const seen = { grew: 0, shrank: 0, kept: 0, rejected: 0 };
    for (const [initial, learningRate] of [
      [1e-4, 1],
      [10, 8],
    ]) {
      const stepRule = { trustRegion: { initial } };
      const options = { learningRate, damping: 0.05, stepRule };
      const trainer = await trainerOf(runtime, network, createOptimizer("blockDiagonalNgd", options));
      const batch = randomBatch(network, 6, 2);
      let expected = initial;
      for (let k = 0; k < 12; k++) {
        const { parameters, gradient, matrix } = await surroundings(trainer, batch);
        const bits = trainer.getParameters();
        const natural = flatten(layoutOf(bits), await trainer.direction(batch));
        const { loss, accepted, status, trustRegion } = await trainer.step(batch);
        assertNear([trustRegion!], [expected], 1e-8, `radius of step ${k}`);
        const full = natural.map((value) => learningRate * value);
        const quadratic = dot(full, product(matrix, full));
        const scale = Math.min(1, Math.sqrt((2 * expected) / quadratic));
        const divergence = (scale ** 2 * quadratic) / 2;
        if (!accepted) {
          assert.match(status, /^rejected: the loss would rise from \S+ to \S+; trust region \S+ → \S+$/);
          assertSameBits(trainer.getParameters(), bits);
          expected = Math.min(expected, divergence) / 16;
          seen.rejected++;
          continue;
        }
        assertNear(
          taken(trainer, parameters),
          full.map((value) => scale * value),
          1e-8,
          `step ${k}`,
        );
        const { loss: reached } = await trainer.evaluate(batch);
        const ratio = (reached - loss) / (-scale * dot(gradient, full) + divergence);
        const last = expected;
        if (ratio < 0.25) expected = Math.min(expected, divergence) / 16;
        else if (ratio > 0.75 && scale < 1) expected *= 4;
        seen[expected > last ? "grew" : expected < last ? "shrank" : "kept"]++;
      }
      trainer.dispose();
    }
    assert.ok(seen.grew > 0 && seen.rejected > 0 && seen.kept > 0, JSON.stringify(seen));
  });
});

describe("rejectIncrease", () => {
  it("takes back a step that raises the loss, with its momentum, under constant damping", async () => {
    const options = { learningRate: 30, damping: 0.05, momentum: 0.9, stepRule: { rejectIncrease: true } };
    const trainer = await trainerOf(runtime, network, createOptimizer("exactNgd", options));
    const other = await trainerOf(
      runtime,
      network,
      createOptimizer("exactNgd", { ...options, stepRule: "given" }),
    );
    const batch = randomBatch(network, 6, 2);
    const before = trainer.getParameters();
    const { accepted, status, stepNorm } = await trainer.step(batch);
    const { loss } = await other.evaluate(batch);
    await other.step(batch);
    assert.ok((await other.evaluate(batch)).loss > loss, "the step raises the loss");
    assert.deepEqual([accepted, stepNorm], [false, 0]);
    assert.match(status, /^rejected: the loss would rise from \S+ to [^;\s]+$/);
    assertSameBits(trainer.getParameters(), before);
    assert.equal(trainer.progress.step, 0);
    trainer.dispose();
    other.dispose();
  });
});

describe("rejected steps", () => {
  const variants: [string, object][] = [
    ["exactNgd", { momentum: 0.9 }],
    ["exactNgd", { solver: "cg", refreshEvery: 2 }],
    ["tengrad", { momentumRule: "spring", momentum: 0.9, learningRate: 6 }],
    ["blockDiagonalNgd", { fisher: "monte-carlo" }],
    ["diagonalNgd", { stepRule: { coefficients: "quadratic-model", rejectIncrease: true }, damping: 1e-4 }],
    ["kfac", { momentum: 0.5 }],
    ["ekfac", {}],
    ["kbfgs", { learningRate: 1 }],
    ["hessianFree", {}],
  ];
  for (const [name, own] of variants) {
    it(`leave no trace: ${name} ${JSON.stringify(own)}`, async () => {
      const options = { learningRate: 3, damping: 0.05, stepRule: { rejectIncrease: true }, ...own };
      const create = () => trainerOf(runtime, network, createOptimizer(name, options as never));
      const [disturbed, other] = [await create(), await create()];
      const seen = { accepted: 0, rejected: 0 };
      const period = (options as { refreshEvery?: number }).refreshEvery ?? 1;
      for (let k = 0; k < 24; k++) {
        const batch = randomBatch(network, k % 2 === 0 ? 6 : 4, k);
        const { accepted } = await disturbed.step(batch);
        seen[accepted ? "accepted" : "rejected"]++;
        // Between refreshes a rejection leads to a new refresh: that much of a trace is meant.
        if (!accepted && period > 1) return;
        if (accepted) assert.equal((await other.step(batch)).accepted, true);
      }
      assert.ok(seen.accepted > 1 && seen.rejected > 0, JSON.stringify(seen));
      assertSameBits(disturbed.getParameters(), other.getParameters());
      disturbed.dispose();
      other.dispose();
    });
  }
});

describe("line search", () => {
  for (const lineSearch of ["armijo", "strong-wolfe"]) {
    for (const [name, own] of [
      ["exactNgd", {}],
      ["tengrad", {}],
      ["blockDiagonalNgd", { weightDecay: 0.05, stepRule: { coefficients: "quadratic-model", lineSearch } }],
      ["kfac", { fisher: "exact", stepRule: { coefficients: "quadratic-model", lineSearch } }],
      ["hessianFree", {}],
    ] as const) {
      it(`${lineSearch}: conditions hold at every step of ${name} ${JSON.stringify(own)}`, async () => {
        const options = { learningRate: 20, damping: 1e-3, momentum: 0, stepRule: { lineSearch }, ...own };
        const { weightDecay = 0 } = own as { weightDecay?: number };
        const momentum = "stepRule" in own ? undefined : 0;
        const trainer = await trainerOf(runtime, network, createOptimizer(name, { ...options, momentum }));
        const batch = randomBatch(network, 6, 2);
        const objective = ({ parameters }: { parameters: Float64Array }, loss: number) =>
          loss + (weightDecay / 2) * dot(parameters, parameters);
        let shortened = 0;
        for (let k = 0; k < 8; k++) {
          const here = await surroundings(trainer, batch);
          const { loss, status, stepNorm, learningRate } = await trainer.step(batch);
          assert.equal(status, "ok");
          if (learningRate < 20) shortened++;
          const step = taken(trainer, here.parameters);
          assertNear([stepNorm], [Math.sqrt(dot(step, step))], 1e-10, "norm of the step");
          const there = await surroundings(trainer, batch);
          const { loss: reached } = await trainer.evaluate(batch);
          const slope = (at: { gradient: Float64Array; parameters: Float64Array }) =>
            -dot(step, combine(1, at.gradient, weightDecay, at.parameters));
          assert.ok(slope(here) < 0);
          assert.ok(objective(there, reached) <= objective(here, loss) + 1e-4 * slope(here), `decrease ${k}`);
          if (lineSearch === "strong-wolfe") {
            assert.ok(Math.abs(slope(there)) <= 0.9 * Math.abs(slope(here)) + 1e-12, `curvature ${k}`);
          }
        }
        assert.ok(shortened > 0);
        trainer.dispose();
      });
    }
  }

  it("says when the minimum is reached, and stays there", async () => {
    const stepRule = { lineSearch: "strong-wolfe" };
    const options = { learningRate: 1, damping: 1e-10, stepRule };
    const trainer = await trainerOf(runtime, linear, createOptimizer("exactNgd", options));
    const batch = randomBatch(linear, 12, 4);
    const statuses = new Set<string>();
    for (let k = 0; k < 8; k++) {
      const { status, accepted } = await trainer.step(batch);
      assert.equal(accepted, true, status);
      statuses.add(status);
    }
    for (const status of statuses) assert.match(status, /^ok$|^converged: no lower loss|best step is taken$/);
    const { gradient } = await surroundings(trainer, batch);
    assert.ok(Math.sqrt(dot(gradient, gradient)) < 1e-7);
    trainer.dispose();
  });
});
