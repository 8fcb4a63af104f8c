import assert from "node:assert/strict";
import { it } from "node:test";
import fc from "fast-check";
import {
  cholesky,
  choleskyInverse,
  choleskySolve,
  invertLower,
  solveLower,
  solveLowerTransposed,
  spdInverse,
} from "../../src/linalg/index.ts";
import {
  distance,
  identity,
  multiply,
  ORDERS,
  onBothPaths,
  randomMatrix,
  randomSpd,
  transpose,
  using,
  withEigenvalues,
} from "./support.ts";

function factor(a: Float64Array, n: number): Float64Array {
  const l = a.slice();
  assert.equal(cholesky(l, n), 0);
  return l;
}

onBothPaths("Cholesky", (backend) => {
  for (const n of ORDERS) {
    it(
      `factors, solves and inverts at n = ${n}`,
      using(backend, () => {
        const a = randomSpd(n, n + 1);
        const l = factor(a, n);
        for (let i = 0; i < n; i++) for (let j = i + 1; j < n; j++) assert.equal(l[i * n + j], 0);
        assert.ok(distance(multiply(l, transpose(l, n, n), n, n, n), a) < 1e-14 * (n + 1));

        for (const columns of [1, 2, 7, 33]) {
          const x = randomMatrix(n, columns, 99);
          const b = multiply(a, x, n, n, columns);
          assert.equal(choleskySolve(l, n, b, columns), true);
          assert.ok(distance(b, x) < 1e-12 * (n + 1), `columns ${columns}: ${distance(b, x)}`);
          const lower = multiply(l, x, n, n, columns);
          assert.equal(solveLower(l, n, lower, columns), true);
          assert.ok(distance(lower, x) < 1e-12 * (n + 1));
          const upper = multiply(transpose(l, n, n), x, n, n, columns);
          assert.equal(solveLowerTransposed(l, n, upper, columns), true);
          assert.ok(distance(upper, x) < 1e-12 * (n + 1));
        }

        const lowerInverse = invertLower(l, n);
        for (let i = 0; i < n; i++) for (let j = i + 1; j < n; j++) assert.equal(lowerInverse[i * n + j], 0);
        assert.ok(distance(multiply(lowerInverse, l, n, n, n), identity(n)) < 1e-13 * (n + 1));

        const result = spdInverse(a, n);
        assert.ok(result.failure === undefined);
        assert.deepEqual(result.inverse, transpose(result.inverse, n, n), "exactly symmetric");
        assert.ok(distance(multiply(result.inverse, a, n, n, n), identity(n)) < 1e-12 * (n + 1));
        assert.deepEqual(choleskyInverse(l, n), result.inverse);
        const inPlace = l.slice();
        assert.equal(choleskyInverse(inPlace, n, inPlace), inPlace);
        assert.deepEqual(inPlace, result.inverse, "in the factor's place");
      }),
    );
  }

  it(
    "reads the lower triangle only",
    using(backend, () => {
      const n = 21;
      const a = randomSpd(n, 3);
      const noisy = a.slice();
      for (let i = 0; i < n; i++) for (let j = i + 1; j < n; j++) noisy[i * n + j] = Number.NaN;
      assert.deepEqual(factor(noisy, n), factor(a, n));
      const l = factor(a, n);
      const dirty = l.slice();
      for (let i = 0; i < n; i++) for (let j = i + 1; j < n; j++) dirty[i * n + j] = Number.NaN;
      for (const columns of [1, 5]) {
        const [clean, other] = [new Float64Array(n * columns).fill(1), new Float64Array(n * columns).fill(1)];
        choleskySolve(l, n, clean, columns);
        assert.equal(choleskySolve(dirty, n, other, columns), true);
        assert.deepEqual(other, clean);
      }
      assert.deepEqual(invertLower(dirty, n), invertLower(l, n));
      assert.deepEqual(spdInverse(noisy, n), spdInverse(a, n));
    }),
  );

  it(
    "any Gram matrix with some damping is factored with a small backward error",
    using(backend, () => {
      const matrices = fc.integer({ min: 1, max: 24 }).chain((n) =>
        fc.record({
          n: fc.constant(n),
          g: fc.array(fc.double({ min: -1e3, max: 1e3, noNaN: true }), {
            minLength: n * n,
            maxLength: n * n,
          }),
        }),
      );
      fc.assert(
        fc.property(matrices, ({ n, g }) => {
          const root = Float64Array.from(g);
          const a = multiply(root, transpose(root, n, n), n, n, n);
          const scale = Math.max(1, ...a.map(Math.abs));
          for (let i = 0; i < n; i++) a[i * n + i] += 1e-10 * scale;
          const l = factor(a, n);
          assert.ok(distance(multiply(l, transpose(l, n, n), n, n, n), a) <= 1e-14 * n * scale);
        }),
        { numRuns: 100, seed: 1 },
      );
    }),
  );

  it(
    "names the first minor that is not positive definite and leaves zeros",
    using(backend, () => {
      const n = 70;
      for (const bad of [1, 2, 4, 5, 16, 17, 33, 70]) {
        const a = identity(n);
        a[(bad - 1) * (n + 1)] = -1;
        assert.equal(cholesky(a, n), bad);
        assert.deepEqual(a, new Float64Array(n * n));
      }
      assert.equal(cholesky(new Float64Array(9), 3), 1);
      const inverse = spdInverse(Float64Array.of(1, 2, 2, 1), 2);
      assert.match(inverse.failure ?? "", /not positive definite \(leading minor of order 2 of 2\)/);
    }),
  );

  it(
    "refuses NaN, infinities and overflow wherever they stand",
    using(backend, () => {
      const n = 37;
      for (const poison of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 1e300]) {
        for (const [row, column] of [
          [0, 0],
          [36, 36],
          [36, 0],
          [20, 3],
          [5, 4],
        ]) {
          if (poison === 1e300 && row === column) continue;
          const a = randomSpd(n, 4);
          a[row * n + column] = poison;
          assert.notEqual(cholesky(a, n), 0, `${poison} at (${row}, ${column})`);
          assert.deepEqual(a, new Float64Array(n * n));
        }
      }
    }),
  );

  it(
    "a solve never returns NaN",
    using(backend, () => {
      const n = 9;
      const l = factor(randomSpd(n, 5), n);
      for (const columns of [1, 4]) {
        for (const poison of [Number.NaN, Number.POSITIVE_INFINITY]) {
          const b = new Float64Array(n * columns).fill(1);
          b[3] = poison;
          assert.equal(choleskySolve(l, n, b, columns), false);
          assert.deepEqual(b, new Float64Array(n * columns));
        }
        const b = new Float64Array(n * columns).fill(1);
        assert.equal(choleskySolve(new Float64Array(n * n), n, b, columns), false, "a factor of zeros");
        assert.deepEqual(b, new Float64Array(n * columns));
      }
      assert.throws(() => invertLower(new Float64Array(9), 3), /the factor is singular/);
      assert.throws(() => choleskyInverse(new Float64Array(9), 3), /the factor is singular/);
    }),
  );

  it(
    "ill-conditioned matrices: a small residual, whatever the condition",
    using(backend, () => {
      const n = 40;
      for (const power of [4, 8, 12]) {
        const values = Array.from({ length: n }, (_, i) => 10 ** ((-power * i) / (n - 1)));
        const a = withEigenvalues(values, 6);
        const l = factor(a, n);
        const b = randomMatrix(n, 1, 7);
        const x = b.slice();
        assert.equal(choleskySolve(l, n, x), true);
        const size = Math.max(...x.map(Math.abs));
        assert.ok(distance(multiply(a, x, n, n, 1), b) < 1e-13 * size, `10^${power}`);
      }
    }),
  );

  it(
    "works at any scale a double has",
    using(backend, () => {
      const n = 6;
      for (const scale of [1e-300, 1e300]) {
        const a = randomSpd(n, 8).map((value) => value * scale);
        const l = factor(a, n);
        const back = multiply(l, transpose(l, n, n), n, n, n);
        assert.ok(distance(back, a) < 1e-14 * scale);
      }
    }),
  );

  it(
    "says what is wrong with a call",
    using(backend, () => {
      assert.throws(() => cholesky(new Float64Array(3), 2), /invalid a: 3 numbers for shape \(2, 2\)/);
      assert.throws(() => cholesky(new Float64Array(4), -2), /invalid size of a: -2/);
      assert.throws(() => choleskySolve(identity(2), 2, new Float64Array(3)), /invalid b: 3 numbers/);
    }),
  );
});
