/** L-BFGS: its pieces on Rosenbrock's function, and the whole beside a plain reference with dense matrices. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { lbfgs } from "../../src/index.ts";
import { LimitedMemory } from "../../src/optimizers/full-batch/limited-memory.ts";
import { strongWolfe } from "../../src/optimizers/step-rules/line-search.ts";
import { Random } from "../../src/random.ts";
import { countOperations } from "../../src/runtime/counting.ts";
import { openRuntime } from "../../src/runtime/runtime.ts";
import type { Runtime } from "../../src/runtime/session.ts";
import { type NamedTensors, tensor } from "../../src/tensor.ts";
import { networkOf, randomBatch, trainerOf } from "../conformance/networks.ts";
import { assertNear } from "../conformance/reference.ts";

type Objective = (x: Float64Array) => { value: number; gradient: Float64Array };

const product = (a: Float64Array, b: Float64Array) => a.reduce((total, value, k) => total + value * b[k], 0);
const along = (x: Float64Array, step: number, d: Float64Array) => x.map((value, k) => value + step * d[k]);

/** H v by the pairs, from the matrix of the BFGS update [Nocedal & Wright eq. 7.16], formed. */
function denseInverse(pairs: readonly { s: Float64Array; y: Float64Array }[], n: number, scale: number) {
  const multiply = (a: number[][], b: number[][]) =>
    a.map((row) => b[0].map((_, j) => row.reduce((total, value, k) => total + value * b[k][j], 0)));
  const identity = (factor: number) =>
    Array.from({ length: n }, (_, i) => Array.from({ length: n }, (_, j) => (i === j ? factor : 0)));
  let h = identity(scale);
  for (const { s, y } of pairs) {
    const rho = 1 / product(s, y);
    const v = identity(1).map((row, i) => row.map((value, j) => value - rho * y[i] * s[j]));
    const transposed = v[0].map((_, j) => v.map((row) => row[j]));
    h = multiply(multiply(transposed, h), v);
    for (let i = 0; i < n; i++) for (let j = 0; j < n; j++) h[i][j] += rho * s[i] * s[j];
  }
  return (x: Float64Array) =>
    Float64Array.from(h, (row) => row.reduce((total, value, k) => total + value * x[k], 0));
}

/** L-BFGS as the book has it, on dense matrices; the path it takes. */
async function reference(f: Objective, start: Float64Array, memory: number, steps: number, powell = false) {
  const path = [start];
  let pairs: { s: Float64Array; y: Float64Array }[] = [];
  let x = start;
  for (let k = 0; k < steps; k++) {
    const { value, gradient } = f(x);
    const last = pairs.at(-1);
    const scale = last
      ? product(last.s, last.y) / product(last.y, last.y)
      : Math.min(1, 1 / gradient.reduce((total, g) => total + Math.abs(g), 0));
    const direction = denseInverse(pairs, x.length, scale)(gradient).map((d) => -d);
    const phi = (step: number) => {
      const at = f(along(x, step, direction));
      return { value: at.value, slope: product(at.gradient, direction) };
    };
    const { step, status } = await strongWolfe(phi, { value, slope: product(gradient, direction) });
    assert.equal(status, "ok");
    const next = along(x, step, direction);
    const s = along(next, -1, x);
    let y = along(f(next).gradient, -1, gradient);
    if (powell) {
      const bs = gradient.map((g) => -step * g);
      const [sy, sbs] = [product(s, y), product(s, bs)];
      const phi = sy >= 0.2 * sbs ? 1 : (0.8 * sbs) / (sbs - sy);
      y = y.map((value, j) => phi * value + (1 - phi) * bs[j]);
    }
    pairs = [...pairs, { s, y }].slice(-memory);
    x = next;
    path.push(x);
  }
  return path;
}

describe("LimitedMemory", () => {
  it("is the dense BFGS matrix of the last pairs", () => {
    const random = new Random(3);
    const n = 7;
    const vector = () => Float64Array.from({ length: n }, () => random.normal());
    for (const capacity of [1, 3, 20]) {
      const memory = new LimitedMemory(n, capacity, "float64");
      let pairs: { s: Float64Array; y: Float64Array }[] = [];
      for (let k = 0; k < 9; k++) {
        const [s, g] = [vector(), vector()];
        const noise = vector();
        const y = s.map((value, j) => (j + 1) * value + 0.1 * noise[j]);
        assert.equal(memory.learn(s, y), product(s, y) > 0);
        if (product(s, y) > 0) pairs = [...pairs, { s, y }].slice(-capacity);
        const last = pairs[pairs.length - 1];
        const scale = product(last.s, last.y) / product(last.y, last.y);
        const expected = denseInverse(pairs, n, scale)(g).map((d) => -d);
        assertNear(memory.direction(g), expected, 1e-10, `capacity ${capacity}, pair ${k}`);
      }
    }
  });

  it("refuses pairs without positive curvature, and those that are not finite", () => {
    const memory = new LimitedMemory(2, 3, "float32");
    const s = Float64Array.of(1, 1);
    for (const y of [
      [-1, -1],
      [1, -1],
      [0, 0],
      [Number.NaN, 1],
      [1e30, 1e30],
    ]) {
      const scaled = y[0] === 1e30 ? Float64Array.of(1e-30, 1e-30) : s;
      assert.equal(memory.learn(scaled, Float64Array.from(y)), y[0] === 1e30);
    }
    assert.equal(memory.learn(s, Float64Array.of(1e39, 1e39)), false); // infinite in float32
    assert.equal(memory.count, 1);
  });

  it("minimizes Rosenbrock's function", async () => {
    const rosenbrock: Objective = ([x, y]) => ({
      value: 100 * (y - x * x) ** 2 + (1 - x) ** 2,
      gradient: Float64Array.of(-400 * x * (y - x * x) - 2 * (1 - x), 200 * (y - x * x)),
    });
    const memory = new LimitedMemory(2, 5, "float64");
    let x = Float64Array.of(-1.2, 1);
    let at = rosenbrock(x);
    let [steps, evaluations] = [0, 1];
    for (; Math.sqrt(product(at.gradient, at.gradient)) > 1e-8; steps++) {
      const direction = memory.direction(at.gradient);
      const phi = (step: number) => {
        const { value, gradient } = rosenbrock(along(x, step, direction));
        return { value, slope: product(gradient, direction) };
      };
      const slope = product(at.gradient, direction);
      const found = await strongWolfe(phi, { value: at.value, slope });
      assert.equal(found.status, "ok");
      evaluations += found.evaluations;
      const next = along(x, found.step, direction);
      const after = rosenbrock(next);
      assert.ok(memory.learn(along(next, -1, x), along(after.gradient, -1, at.gradient)));
      [x, at] = [next, after];
      assert.ok(steps < 60, `${steps} steps`);
    }
    assertNear(x, Float64Array.of(1, 1), 1e-8, `after ${steps} steps, ${evaluations} evaluations`);
  });
});

/** Mean half squared error of a tanh network 3-4-2 and its gradient, by hand; parameters in the model's order. */
function networkLoss(inputs: ArrayLike<number>, targets: ArrayLike<number>, samples: number): Objective {
  const [features, hidden, outputs] = [3, 4, 2];
  return (x) => {
    const [w1, b1] = [x.subarray(0, 12), x.subarray(12, 16)];
    const [w2, b2] = [x.subarray(16, 24), x.subarray(24, 26)];
    const gradient = new Float64Array(x.length);
    let value = 0;
    for (let n = 0; n < samples; n++) {
      const h = Float64Array.from({ length: hidden }, (_, i) => {
        let z = b1[i];
        for (let f = 0; f < features; f++) z += w1[i * features + f] * inputs[n * features + f];
        return Math.tanh(z);
      });
      const back = new Float64Array(hidden);
      for (let o = 0; o < outputs; o++) {
        const residual =
          product(h, w2.subarray(o * hidden, (o + 1) * hidden)) + b2[o] - targets[n * outputs + o];
        value += residual ** 2 / (2 * samples);
        gradient[24 + o] += residual / samples;
        for (let i = 0; i < hidden; i++) {
          gradient[16 + o * hidden + i] += (residual * h[i]) / samples;
          back[i] += residual * w2[o * hidden + i] * (1 - h[i] ** 2);
        }
      }
      for (let i = 0; i < hidden; i++) {
        gradient[12 + i] += back[i] / samples;
        for (let f = 0; f < features; f++)
          gradient[i * features + f] += (back[i] * inputs[n * features + f]) / samples;
      }
    }
    return { value, gradient };
  };
}

describe("lbfgs", () => {
  let runtime: Runtime;
  before(async () => {
    runtime = await openRuntime();
  });
  after(() => runtime.dispose());

  const network = networkOf({
    ...{ features: 3, hidden: [4], outputs: 2, bias: true, activation: "tanh", samples: 12 },
    ...{ likelihood: "gaussian", seed: 6 },
  });
  const batch = randomBatch(network, 12, 2);
  const flat = (named: NamedTensors) =>
    Float64Array.from([...named.values()].flatMap(({ data }) => Array.from(data)));

  for (const [memory, powell] of [
    [10, false],
    [3, false],
    [10, true],
  ] as const) {
    it(`follows a plain reference, memory ${memory}${powell ? ", damped" : ""}`, async () => {
      const trainer = await trainerOf(runtime, network, lbfgs({ memory, powell }));
      const start = flat(trainer.getParameters());
      const objective = networkLoss(batch.inputs.data, batch.targets.data, 12);
      assertNear(flat(await trainer.gradient(batch)), objective(start).gradient, 1e-12, "gradient");
      const path = await reference(objective, start, memory, 15, powell);
      for (let k = 1; k < path.length; k++) {
        const { status, stepNorm } = await trainer.step(batch);
        assert.equal(status, "ok");
        assertNear(flat(trainer.getParameters()), path[k], 1e-8, `step ${k}`);
        const moved = along(path[k], -1, path[k - 1]);
        assert.ok(Math.abs(stepNorm - Math.sqrt(product(moved, moved))) < 1e-8);
      }
      trainer.dispose();
    });
  }

  for (const dtype of ["float64", "float32"] as const) {
    for (const lineSearch of ["strong-wolfe", "armijo"] as const) {
      it(`never lets the loss of a batch rise, ${lineSearch}, ${dtype}`, async () => {
        const trainer = await trainerOf(runtime, network, lbfgs({ lineSearch, learningRate: 30 }), { dtype });
        let before = Infinity;
        for (let k = 0; k < 60; k++) {
          const { loss, accepted } = await trainer.step(batch);
          assert.ok(accepted);
          assert.ok(loss <= before * (1 + (dtype === "float64" ? 1e-14 : 1e-5)), `${loss} after ${before}`);
          before = loss;
        }
        trainer.dispose();
      });
    }
  }

  for (const dtype of ["float64", "float32"] as const) {
    it(`says that it has converged, and stays where it is, ${dtype}`, async () => {
      const linear = networkOf({
        ...{ features: 3, hidden: [], outputs: 2, bias: true, activation: "tanh", samples: 30 },
        ...{ likelihood: "gaussian", seed: 6 },
      });
      const many = randomBatch(linear, 30, 2);
      const trainer = await trainerOf(runtime, linear, lbfgs(), { dtype });
      let statistics = await trainer.step(many);
      const statuses = [statistics.status];
      while (statuses.length < 60 && !statistics.status.startsWith("converged: ")) {
        statistics = await trainer.step(many);
        statuses.push(statistics.status);
      }
      assert.match(statistics.status, /^converged: /, statuses.join("\n"));
      const gradient = flat(await trainer.gradient(many));
      assert.ok(Math.sqrt(product(gradient, gradient)) < (dtype === "float64" ? 1e-8 : 1e-4));
      const before = flat(trainer.getParameters());
      const { accepted, stepNorm } = await trainer.step(many);
      assert.deepEqual([accepted, stepNorm], [true, 0]);
      assert.deepEqual(flat(trainer.getParameters()), before);
      trainer.dispose();
    });
  }

  it("says when batches are too small", async () => {
    const trainer = await trainerOf(runtime, network, lbfgs());
    const statuses = new Set<string>();
    for (let k = 0; k < 6; k++) statuses.add((await trainer.step(randomBatch(network, 3, k))).status);
    assert.ok([...statuses].some((status) => status.startsWith("small batches: ")));
    trainer.dispose();
  });

  it("leaves out a pair without positive curvature, and says so", async () => {
    // Residuals so large that tanh's curvature outweighs theirs.
    const flatNetwork = networkOf({
      ...{ features: 1, hidden: [1], outputs: 2, bias: false, activation: "tanh", samples: 1 },
      ...{ likelihood: "gaussian", seed: 1 },
    });
    const trainer = await trainerOf(runtime, flatNetwork, lbfgs({ lineSearch: "none", learningRate: 0.05 }));
    trainer.setParameters({ "0.weight": tensor([-0.5], [1, 1]), "2.weight": tensor([1, 1], [2, 1]) });
    const one = { inputs: tensor([1], [1, 1]), targets: tensor([30, 30], [1, 2]) };
    const { status, accepted } = await trainer.step(one);
    assert.equal(accepted, true);
    assert.match(status, /^a pair is left out: /);
    trainer.dispose();
  });

  it("rejects a step beyond the finite numbers and leaves no trace", async () => {
    const trainer = await trainerOf(runtime, network, lbfgs({ lineSearch: "none", learningRate: 1e300 }));
    const before = flat(trainer.getParameters());
    const { status, accepted } = await trainer.step(batch);
    assert.equal(accepted, false);
    assert.match(status, /^rejected: the (loss|update)/);
    assert.deepEqual(flat(trainer.getParameters()), before);
    trainer.dispose();
  });

  it("starts from what the last step has computed, where neither parameters nor batch have changed", async () => {
    const { runtime: counting, count } = countOperations(runtime);
    const trainer = await trainerOf(counting, network, lbfgs({ lineSearch: "none", learningRate: 0.1 }));
    const initial = trainer.getParameters();
    const runsOf = async (given: typeof batch) => {
      const before = count.runs;
      await trainer.step(given);
      return count.runs - before;
    };
    const copy = { ...batch, targets: { ...batch.targets, data: batch.targets.data.slice() } };
    copy.targets.data[0] += 1;
    assert.deepEqual([await runsOf(batch), await runsOf(batch)], [2, 1]);
    assert.deepEqual([await runsOf(copy), await runsOf(copy)], [2, 1]);
    trainer.setParameters(initial);
    assert.deepEqual([await runsOf(copy), await runsOf(copy)], [2, 1]);
    trainer.dispose();
  });

  it("does not move at a learning rate of 0", async () => {
    const trainer = await trainerOf(runtime, network, lbfgs({ learningRate: 0 }));
    const { status, stepNorm } = await trainer.step(batch);
    assert.deepEqual({ status, stepNorm }, { status: "ok", stepNorm: 0 });
    trainer.dispose();
  });
});
