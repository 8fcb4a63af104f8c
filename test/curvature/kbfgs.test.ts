/** BFGS on the host, and K-BFGS's two forms of the same inverse. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import {
  dampPair,
  denseInverse,
  dot,
  type InverseHessian,
  limitedInverse,
} from "../../src/curvature/bfgs.ts";
import { traceInverseUpdate } from "../../src/curvature/inverse-update.ts";
import { input } from "../../src/graph/index.ts";
import { kbfgs, Random, tensor } from "../../src/index.ts";
import { evaluate } from "../../src/runtime/program.ts";
import { openRuntime } from "../../src/runtime/runtime.ts";
import type { Runtime } from "../../src/runtime/session.ts";
import { networkOf, randomBatch, trainerOf } from "../conformance/networks.ts";
import { assertNear, flatten, layoutOf } from "../conformance/reference.ts";

const n = 5;

interface Pair {
  readonly s: Float64Array;
  readonly y: Float64Array;
}

function identityInverse(): InverseHessian {
  return denseInverse(
    Float64Array.from({ length: n * n }, (_, k) => (k % (n + 1) === 0 ? 1 : 0)),
    n,
  );
}

function limited(memory: number): InverseHessian {
  const rows = (count: number) => new Float64Array(count * n);
  const slots = {
    ...{ steps: rows(memory), changes: rows(memory), left: rows(2 * memory), right: rows(2 * memory) },
    count: new Float64Array(1),
  };
  return limitedInverse(slots, n, memory);
}

/** Pairs of a quadratic: y = Bs, B = diag(1 … n). */
function pairs(count: number): Pair[] {
  const random = new Random(3);
  return Array.from({ length: count }, () => {
    const s = Float64Array.from({ length: n }, () => random.normal());
    return { s, y: s.map((value, k) => value * (k + 1)) };
  });
}

/** Nocedal & Wright, algorithm 7.4, with H_0 = I. */
function twoLoop(history: readonly Pair[], v: Float64Array): Float64Array {
  const q = v.slice();
  const weights: number[] = [];
  for (const { s, y } of [...history].reverse()) {
    const weight = dot(s, q) / dot(s, y);
    weights.push(weight);
    y.forEach((value, k) => {
      q[k] -= weight * value;
    });
  }
  for (const { s, y } of history) {
    const correction = weights.pop()! - dot(y, q) / dot(s, y);
    s.forEach((value, k) => {
      q[k] += correction * value;
    });
  }
  return q;
}

describe("BFGS", () => {
  it("satisfies the secant equation H y = s after every update, in both forms", () => {
    for (const inverse of [identityInverse(), limited(3)]) {
      for (const { s, y } of pairs(6)) {
        assert.ok(inverse.update(s, y));
        assertNear(inverse.product(y), s, 1e-12, "H y");
      }
    }
  });

  it("with a limited memory is the two-loop recursion over the last pairs", () => {
    const [first, ...rest] = pairs(8);
    const v = first.s;
    const [all, few] = [limited(7), limited(3)];
    const dense = identityInverse();
    for (const [k, { s, y }] of rest.entries()) {
      for (const inverse of [all, few, dense]) inverse.update(s, y);
      const history = rest.slice(0, k + 1);
      assertNear(all.product(v), twoLoop(history, v), 1e-11, "all pairs");
      assertNear(dense.product(v), twoLoop(history, v), 1e-11, "matrix");
      assertNear(few.product(v), twoLoop(history.slice(-3), v), 1e-11, "three pairs");
    }
  });

  it("refuses a pair without positive curvature and leaves H as it was", () => {
    for (const inverse of [identityInverse(), limited(2)]) {
      const [{ s, y }] = pairs(1);
      inverse.update(s, y);
      const kept = inverse.product(s);
      for (const bad of [y.map((value) => -value), new Float64Array(n), y.map(() => Number.NaN)]) {
        assert.equal(inverse.update(s, bad), false);
        assert.deepEqual(inverse.product(s), kept);
      }
    }
  });

  it("traced takes the host's updates, and leaves out what the host does", async () => {
    const runtime = await openRuntime();
    try {
      const host = identityInverse();
      const unit = Float64Array.from({ length: n }, (_, k) => (k === 0 ? 1 : 0));
      let inverse = tensor(
        Float64Array.from({ length: n * n }, (_, k) => (k % (n + 1) === 0 ? 1 : 0)),
        [n, n],
      );
      let diagonal = tensor(new Float64Array(n).fill(1), [n, 1]);
      const vector = (name: string) => input(name, [n, 1], "float64");
      const h = { inverse: input("h", [n, n], "float64"), diagonal: vector("d") };
      const traced = { ...traceInverseUpdate(h, vector("s"), vector("y")) };
      const bad = { s: unit, y: unit.map((value) => -value) };
      const still = { s: new Float64Array(n), y: new Float64Array(n) };
      const huge = { s: unit.map((value) => 1e200 * value), y: unit };
      for (const { s, y } of [...pairs(3), bad, still, huge, ...pairs(5).slice(3)]) {
        const feeds = { h: inverse, d: diagonal, s: tensor(s, [n, 1]), y: tensor(y, [n, 1]) };
        const next = await evaluate(runtime, traced, feeds);
        host.update(s, y);
        for (let k = 0; k < n; k++) {
          const column = new Float64Array(n);
          column[k] = 1;
          const expected = host.product(column);
          const own = Float64Array.from({ length: n }, (_, i) => next.inverse.data[i * n + k]);
          assertNear(own, expected, 1e-12, `column ${k}`);
          assert.ok(Math.abs(next.diagonal.data[k] - expected[k]) < 1e-12);
        }
        inverse = tensor(next.inverse.data, [n, n]);
        diagonal = tensor(next.diagonal.data, [n, 1]);
      }
    } finally {
      runtime.dispose();
    }
  });

  it("double damping leaves sᵀy ≥ ν sᵀs and sᵀy ≥ (μ/2) yᵀHy, whatever the pair", () => {
    const random = new Random(5);
    const vector = () => Float64Array.from({ length: n }, () => random.normal());
    for (const floor of [1e-6, 0.3, 1, 4]) {
      const inverse = identityInverse();
      for (let k = 0; k < 30; k++) {
        const { s, y } = dampPair(inverse, vector(), vector(), floor);
        assert.ok(dot(s, y) >= Math.min(1, floor) * dot(s, s) * (1 - 1e-9), `ν = ${floor}`);
        assert.ok(inverse.update(s, y));
      }
    }
    const [{ s, y }] = pairs(1);
    assert.deepEqual(dampPair(identityInverse(), s, y, 0.1), { s, y: y }, "a good pair stays as it is");
  });
});

describe("K-BFGS", () => {
  let runtime: Runtime;
  before(async () => {
    runtime = await openRuntime();
  });
  after(() => runtime?.dispose());

  const network = networkOf({
    ...{ features: 3, hidden: [4, 3], outputs: 2, bias: true, activation: "tanh", samples: 6 },
    ...{ likelihood: "categorical", seed: 1 },
  });

  async function train(options: object, steps: number): Promise<Float64Array> {
    const trainer = await trainerOf(runtime, network, kbfgs({ learningRate: 0.1, ...options }));
    for (let k = 0; k < steps; k++) {
      assert.equal((await trainer.step(randomBatch(network, 6, k))).status, "ok");
    }
    const result = flatten(layoutOf(trainer.getParameters()), trainer.getParameters());
    trainer.dispose();
    return result;
  }

  it("with memory for all pairs takes the same steps as with matrices", async () => {
    const matrices = await train({}, 12);
    assertNear(await train({ memory: 12 }, 12), matrices, 1e-9, "parameters");
    assertNear(
      await train({ memory: 12, refreshEvery: 3 }, 12),
      await train({ refreshEvery: 3 }, 12),
      1e-9,
      "",
    );
  });

  it("takes a step too small to see as no pair", async () => {
    const still = await trainerOf(runtime, network, kbfgs({ learningRate: 1e-200 }));
    assert.equal((await still.step(randomBatch(network, 6, 1))).status, "ok");
    still.dispose();
  });

  it("checks its options", () => {
    assert.throws(() => kbfgs({ decay: 1 }), /^UsageError: invalid decay: 1 \(must be in \[0, 1\)\)$/);
    assert.throws(() => kbfgs({ pairDecay: -0.1 }), /invalid pairDecay/);
    assert.throws(() => kbfgs({ memory: 0 }), /invalid memory: 0 \(must be a positive integer\)/);
    assert.throws(() => kbfgs({ powell: 1 as never }), /invalid powell/);
  });
});
