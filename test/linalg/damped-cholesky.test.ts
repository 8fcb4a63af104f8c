import assert from "node:assert/strict";
import { it } from "node:test";
import { dampedCholesky } from "../../src/linalg/index.ts";
import {
  distance,
  identity,
  multiply,
  onBothPaths,
  randomMatrix,
  randomSpd,
  transpose,
  using,
  withEigenvalues,
} from "./support.ts";

/** G Gᵀ with G (n, rank): singular where rank < n. */
function lowRank(n: number, rank: number): Float64Array {
  const g = randomMatrix(n, rank, 11);
  return multiply(g, transpose(g, n, rank), n, rank, n);
}

onBothPaths("damped Cholesky", (backend) => {
  it(
    "factors K + λI, leaves K alone and writes where it is told",
    using(backend, () => {
      const n = 30;
      const k = randomSpd(n, 1);
      const before = k.slice();
      const factor = new Float64Array(n * n);
      const result = dampedCholesky(k, n, 0.5, { factor });
      assert.ok(result.failure === undefined);
      assert.equal(result.factor, factor);
      assert.deepEqual([result.damping, result.retries], [0.5, 0]);
      assert.deepEqual(k, before);
      const expected = k.map((value, i) => value + (i % (n + 1) === 0 ? 0.5 : 0));
      assert.ok(distance(multiply(factor, transpose(factor, n, n), n, n, n), expected) < 1e-12);
    }),
  );

  it(
    "raises the damping tenfold until it succeeds, and says so",
    using(backend, () => {
      const n = 20;
      const a = withEigenvalues([-0.5, ...Array.from({ length: n - 1 }, () => 1)], 2);
      const result = dampedCholesky(a, n, 1e-3);
      assert.ok(result.failure === undefined);
      assert.equal(result.retries, 3);
      assert.ok(Math.abs(result.damping - 1) < 1e-12);
    }),
  );

  it(
    "singular with damping 0: damped from the rounding level on, or refused where no retry is allowed",
    using(backend, () => {
      const n = 24;
      const k = lowRank(n, 5);
      const result = dampedCholesky(k, n, 0);
      assert.ok(result.failure === undefined);
      assert.ok(result.retries >= 1 && result.retries <= 4);
      assert.ok(result.damping > 0 && result.damping < 1e-10);
      const strict = dampedCholesky(k, n, 0, { maxRetries: 0 });
      assert.match(
        strict.failure ?? "",
        /^not positive definite \(leading minor of order \d+ of 24\) with damping 0;/,
      );
    }),
  );

  it(
    "a pivot that is positive by rounding alone is a failure",
    using(backend, () => {
      // Exactly singular, yet the last computed pivot comes out as +2⁻⁵², which is nothing but rounding.
      const k = Float64Array.of(1, 1, 1, 1 + Number.EPSILON);
      assert.ok(dampedCholesky(k, 2, 0, { maxRetries: 0 }).failure !== undefined);
      // Badly scaled is not singular.
      assert.ok(
        dampedCholesky(Float64Array.of(1, 0, 0, 1e-30), 2, 0, { maxRetries: 0 }).failure === undefined,
      );
    }),
  );

  it(
    "fails in words, and leaves a zero factor, where nothing helps",
    using(backend, () => {
      const n = 3;
      const factor = new Float64Array(n * n).fill(7);
      const negative = identity(n).map((value) => -1e12 * value);
      assert.match(
        dampedCholesky(negative, n, 1e-6, { maxRetries: 2, factor }).failure ?? "",
        /raised 2 times from 0\.000001; raise the damping/,
      );
      assert.deepEqual(factor, new Float64Array(n * n));
      assert.match(dampedCholesky(new Float64Array(9), n, 0).failure ?? "", /leading minor of order 1 of 3/);
    }),
  );

  it(
    "names the element that is not finite",
    using(backend, () => {
      for (const poison of [Number.NaN, Number.POSITIVE_INFINITY]) {
        const k = randomSpd(12, 3);
        k[7 * 12 + 4] = poison;
        assert.equal(
          dampedCholesky(k, 12, 1).failure,
          `the matrix is not finite: element (7, 4) is ${poison}`,
        );
      }
    }),
  );

  it(
    "checks its options at the door",
    using(backend, () => {
      assert.throws(
        () => dampedCholesky(identity(2), 2, -1),
        /invalid damping: -1 \(must be ≥ 0 and finite\)/,
      );
      assert.throws(() => dampedCholesky(identity(2), 2, Number.NaN), /invalid damping: NaN/);
      assert.throws(() => dampedCholesky(identity(2), 2, 1, { maxRetries: 0.5 }), /invalid maxRetries: 0\.5/);
      assert.throws(
        () => dampedCholesky(identity(2), 2, 1, { factor: new Float64Array(1) }),
        /invalid factor/,
      );
    }),
  );

  it(
    "an empty matrix is positive definite",
    using(backend, () => {
      assert.equal(dampedCholesky(new Float64Array(0), 0, 0).failure, undefined);
    }),
  );
});
