import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { cholesky, choleskySolve, conjugateGradient } from "../../src/linalg/index.ts";
import { distance, identity, multiply, randomMatrix, randomSpd, withEigenvalues } from "./support.ts";

const product = (a: Float64Array, n: number) => (v: Float64Array) => multiply(a, v, n, n, 1);

describe("conjugate gradients", () => {
  const n = 40;
  const a = randomSpd(n, 1);
  const b = randomMatrix(n, 1, 2);

  function direct(shift: number): Float64Array {
    const l = a.map((value, i) => value + (i % (n + 1) === 0 ? shift : 0));
    assert.equal(cholesky(l, n), 0);
    const x = b.slice();
    choleskySolve(l, n, x);
    return x;
  }

  it("agree with Cholesky, with and without shift, synchronous or not", async () => {
    for (const shift of [0, 0.3]) {
      for (const apply of [product(a, n), async (v: Float64Array) => product(a, n)(v)]) {
        const result = await conjugateGradient(apply, b, { shift, maxIterations: 200, tolerance: 1e-13 });
        assert.equal(result.status, "converged");
        assert.ok(distance(result.solution, direct(shift)) < 1e-10);
        const residual = multiply(a, result.solution, n, n, 1).map(
          (v, i) => b[i] - v - shift * result.solution[i],
        );
        assert.ok(Math.abs(Math.hypot(...residual) / Math.hypot(...b) - result.residual) < 1e-13);
      }
    }
  });

  it("end after as many steps as there are distinct eigenvalues", async () => {
    const few = withEigenvalues(
      Array.from({ length: 30 }, (_, i) => [1, 4, 9][i % 3]),
      3,
    );
    const result = await conjugateGradient(product(few, 30), randomMatrix(30, 1, 4), { tolerance: 1e-12 });
    assert.deepEqual([result.status, result.iterations], ["converged", 3]);
  });

  it("an exact preconditioner takes one step", async () => {
    const l = a.slice();
    cholesky(l, n);
    const preconditioner = (v: Float64Array) => {
      const x = v.slice();
      choleskySolve(l, n, x);
      return x;
    };
    const result = await conjugateGradient(product(a, n), b, { preconditioner, tolerance: 1e-11 });
    assert.deepEqual([result.status, result.iterations], ["converged", 1]);
  });

  it("a start at the solution takes none", async () => {
    const initial = direct(0);
    const result = await conjugateGradient(product(a, n), b, { initial, tolerance: 1e-12 });
    assert.deepEqual([result.status, result.iterations], ["converged", 0]);
    assert.deepEqual(result.solution, initial);
    await assert.rejects(
      conjugateGradient(product(a, n), b, { initial: new Float64Array(1) }),
      /invalid initial/,
    );
  });

  it("stop at the iteration limit with the best so far", async () => {
    const result = await conjugateGradient(product(a, n), b, { maxIterations: 5 });
    assert.deepEqual([result.status, result.iterations], ["iteration limit reached", 5]);
    assert.ok(result.residual < 1 && result.residual > 1e-10);
  });

  it("Martens' test stops where the quadratic no longer falls, later with a smaller ε", async () => {
    const values = Array.from({ length: 200 }, (_, i) => 10 ** (-i / 40));
    const hard = withEigenvalues(values, 5);
    const right = randomMatrix(200, 1, 6);
    const steps: number[] = [];
    for (const relativeProgress of [5e-2, 5e-4]) {
      const result = await conjugateGradient(product(hard, 200), right, {
        relativeProgress,
        maxIterations: 2000,
      });
      assert.equal(result.status, "no more progress");
      steps.push(result.iterations);
    }
    assert.ok(steps[0] > 10 && steps[0] < steps[1], `${steps}`);
  });

  it("say so where the matrix is not positive definite or not finite, and keep the solution finite", async () => {
    const negative = identity(4).map((value, i) => (i === 5 ? -value : value));
    const indefinite = await conjugateGradient(product(negative, 4), Float64Array.of(0, 1, 0, 0));
    assert.deepEqual([indefinite.status, indefinite.iterations], ["not positive definite", 0]);
    const ones = new Float64Array(4).fill(1);
    for (const apply of [
      () => new Float64Array(4).fill(Number.NaN),
      (v: Float64Array) => v.map(() => Infinity),
    ]) {
      const result = await conjugateGradient(apply, ones);
      assert.equal(result.status, "not finite");
      assert.deepEqual(result.solution, new Float64Array(4));
    }
    const poisoned = await conjugateGradient((v) => v, Float64Array.of(1, Number.NaN));
    assert.equal(poisoned.status, "not finite");
    const overflow = await conjugateGradient(
      (v) => v.map((x) => x * 1e-320),
      ones.map((x) => x * 1e150),
    );
    assert.ok(overflow.solution.every(Number.isFinite));
    const start = await conjugateGradient((v) => v, ones, { initial: ones.map(() => Number.NaN) });
    assert.equal(start.status, "not finite");
  });

  it("checks its options at the door", async () => {
    for (const name of ["maxIterations", "tolerance", "shift"]) {
      const call = conjugateGradient(product(a, n), b, { [name]: -1 });
      await assert.rejects(call, { message: `invalid ${name}: -1 (must be ≥ 0)` });
    }
  });

  it("b = 0 and an empty b are solved by zero", async () => {
    for (const length of [0, 3]) {
      const result = await conjugateGradient((v) => v, new Float64Array(length));
      assert.deepEqual(result, {
        solution: new Float64Array(length),
        iterations: 0,
        residual: 0,
        status: "converged",
      });
    }
  });

  it("solves for zero by zero, wherever it starts", async () => {
    const result = await conjugateGradient((v) => v, new Float64Array(3), {
      initial: Float64Array.of(1, 2, 3),
    });
    assert.deepEqual([...result.solution], [0, 0, 0]);
    assert.equal(result.status, "converged");
  });
});
