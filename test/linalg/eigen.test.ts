import assert from "node:assert/strict";
import { it } from "node:test";
import fc from "fast-check";
import { symmetricEigen } from "../../src/linalg/index.ts";
import {
  distance,
  identity,
  multiply,
  ORDERS,
  onBothPaths,
  randomSymmetric,
  transpose,
  using,
  withEigenvalues,
} from "./support.ts";

/** Checks order, orthogonality and A V = V Λ, relative to the largest element; returns the values. */
function check(a: Float64Array, n: number): Float64Array {
  const result = symmetricEigen(a, n);
  assert.ok(result.failure === undefined, result.failure);
  const { values, vectors } = result;
  for (let i = 1; i < n; i++) assert.ok(values[i - 1] <= values[i], "ascending");
  const scale = Math.max(Number.MIN_VALUE, ...a.map(Math.abs));
  const unit = a.map((value) => value / scale);
  const product = multiply(transpose(vectors, n, n), vectors, n, n, n);
  assert.ok(
    distance(product, identity(n)) < 4e-15 * (n + 4),
    `orthogonal: ${distance(product, identity(n))}`,
  );
  const left = multiply(unit, vectors, n, n, n);
  const right = vectors.map((value, index) => value * (values[index % n] / scale));
  assert.ok(distance(left, right) < 4e-15 * (n + 4), `A V = V Λ: ${distance(left, right)}`);
  return values;
}

onBothPaths("symmetric eigendecomposition", (backend) => {
  for (const n of ORDERS) {
    it(
      `decomposes a random matrix at n = ${n}`,
      using(backend, () => void check(randomSymmetric(n, n + 5), n)),
    );
  }

  it(
    "a batch of rotations that overflows the buffer (n = 260)",
    using(backend, () => void check(randomSymmetric(260, 1), 260)),
  );

  it(
    "the second difference matrix has the values everybody knows",
    using(backend, () => {
      const n = 50;
      const a = new Float64Array(n * n);
      for (let i = 0; i < n; i++) {
        a[i * n + i] = 2;
        if (i > 0) a[i * n + i - 1] = a[(i - 1) * n + i] = -1;
      }
      const values = check(a, n);
      const expected = values.map((_, i) => 4 * Math.sin(((i + 1) * Math.PI) / (2 * (n + 1))) ** 2);
      assert.ok(distance(values, expected) < 1e-14);
    }),
  );

  const spectra: Record<string, number[]> = {
    "all zero": Array.from({ length: 12 }, () => 0),
    "all equal": Array.from({ length: 17 }, () => 3),
    repeated: Array.from({ length: 30 }, (_, i) => Math.floor(i / 10)),
    "rank one": Array.from({ length: 33 }, (_, i) => (i === 0 ? 5 : 0)),
    "plus and minus": Array.from({ length: 20 }, (_, i) => (i % 2 === 0 ? 1 : -1)),
    "huge range": Array.from({ length: 40 }, (_, i) => 10 ** (150 - 7 * i)),
  };
  for (const [name, spectrum] of Object.entries(spectra)) {
    it(
      `${name} eigenvalues`,
      using(backend, () => {
        const values = check(withEigenvalues(spectrum, 9), spectrum.length);
        const sorted = Float64Array.from(spectrum).sort();
        assert.ok(distance(values, sorted) <= 1e-13 * Math.max(...sorted.map(Math.abs)));
      }),
    );
  }

  it(
    "diagonal matrices of any scale, exactly",
    using(backend, () => {
      const diagonal = [3, -1e-200, 1e200, 0, 7, 1e-308, -2, 5e-324];
      const n = diagonal.length;
      const a = new Float64Array(n * n);
      for (const [i, value] of diagonal.entries()) a[i * n + i] = value;
      const values = check(a, n);
      assert.equal(values[n - 1], 1e200);
      for (const scale of [1e-300, 1e300, 1e-320]) {
        const b = randomSymmetric(9, 2).map((value) => value * scale);
        if (scale > 1e-310) check(b, 9);
        else assert.equal(symmetricEigen(b, 9).failure, undefined);
      }
    }),
  );

  it(
    "block diagonal and permuted matrices, whose tridiagonal form splits",
    using(backend, () => {
      const n = 24;
      const a = new Float64Array(n * n);
      for (let i = 0; i < n; i += 2) {
        a[i * n + i + 1] = a[(i + 1) * n + i] = 1 + i;
      }
      check(a, n);
      const exchange = identity(n).reverse();
      for (let i = 0; i < n; i++) for (let j = 0; j < n; j++) exchange[i * n + j] = i + j === n - 1 ? 1 : 0;
      check(exchange, n);
    }),
  );

  it(
    "any symmetric matrix of integers",
    using(backend, () => {
      const matrices = fc.integer({ min: 1, max: 12 }).chain((n) =>
        fc.record({
          n: fc.constant(n),
          entries: fc.array(fc.integer({ min: -3, max: 3 }), { minLength: n * n, maxLength: n * n }),
        }),
      );
      fc.assert(
        fc.property(matrices, ({ n, entries }) => {
          const a = Float64Array.from(entries);
          for (let i = 0; i < n; i++) for (let j = 0; j < i; j++) a[j * n + i] = a[i * n + j];
          const values = check(a, n);
          const trace = a.reduce((sum, value, i) => sum + (i % (n + 1) === 0 ? value : 0), 0);
          const total = values.reduce((sum, value) => sum + value, 0);
          assert.ok(Math.abs(total - trace) < 1e-12);
        }),
        { numRuns: 200, seed: 1 },
      );
    }),
  );

  it(
    "reads the lower triangle only and changes nothing",
    using(backend, () => {
      const n = 11;
      const a = randomSymmetric(n, 4);
      const noisy = a.slice();
      for (let i = 0; i < n; i++) for (let j = i + 1; j < n; j++) noisy[i * n + j] = Number.NaN;
      const before = noisy.slice();
      assert.deepEqual(symmetricEigen(noisy, n), symmetricEigen(a, n));
      assert.deepEqual(noisy, before);
    }),
  );

  it(
    "names the element that is not finite",
    using(backend, () => {
      for (const poison of [Number.NaN, Number.NEGATIVE_INFINITY]) {
        const a = randomSymmetric(10, 5);
        a[9 * 10 + 2] = poison;
        const { failure } = symmetricEigen(a, 10);
        assert.equal(failure, `the matrix is not finite: element (9, 2) is ${poison}`);
      }
    }),
  );
});
