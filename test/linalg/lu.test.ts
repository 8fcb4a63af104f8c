import assert from "node:assert/strict";
import { it } from "node:test";
import {
  dampedLu,
  dampedLuAsync,
  type LuFactors,
  lu,
  luAsync,
  luSolve,
  luSolveAsync,
} from "../../src/linalg/index.ts";
import { distance, identity, multiply, ORDERS, onBothPaths, randomMatrix, using } from "./support.ts";

type Factors = Exclude<LuFactors, { failure: string }>;

function factor(a: Float64Array, n: number): Factors {
  const factors = lu(a.slice(), n);
  assert.equal(factors.failure, undefined);
  return factors as Factors;
}

/** L U with the exchanges of columns undone. */
function restored({ factor, pivots }: Factors, n: number): Float64Array {
  const lower = factor.map((value, k) => (k % n <= Math.floor(k / n) ? value : 0));
  const upper = factor.map((value, k) => (k % n > Math.floor(k / n) ? value : k % (n + 1) === 0 ? 1 : 0));
  const product = multiply(lower, upper, n, n, n);
  for (let k = n - 1; k >= 0; k--) {
    for (let row = 0; row < n; row++) {
      const [own, other] = [row * n + k, row * n + pivots[k]];
      [product[own], product[other]] = [product[other], product[own]];
    }
  }
  return product;
}

onBothPaths("LU", (backend) => {
  for (const n of [...ORDERS, 200]) {
    it(
      `factors and solves at n = ${n}`,
      using(backend, async () => {
        const a = randomMatrix(n, n, n + 1);
        const factors = factor(a, n);
        assert.ok(distance(restored(factors, n), a) < 1e-13 * (n + 1));
        for (let row = 0; row < n; row++) {
          for (let column = row + 1; column < n; column++) {
            assert.ok(
              Math.abs(factors.factor[row * n + column]) <= 1 + 1e-15,
              "pivots are the largest of their rows",
            );
          }
        }
        for (const columns of [1, 2, 7]) {
          const b = randomMatrix(n, columns, 99);
          const x = b.slice();
          assert.equal(luSolve(factors, n, x, columns), true);
          const size = Math.max(1, ...x.map(Math.abs));
          assert.ok(distance(multiply(a, x, n, n, columns), b) < 1e-13 * (n + 1) * size);
          const later = b.slice();
          assert.equal(await luSolveAsync(factors, n, later, columns), true);
          assert.deepEqual(later, x);
        }
        assert.deepEqual(await luAsync(a.slice(), n), factors);
      }),
    );
  }

  it(
    "needs no pivot that is not zero on the diagonal, and takes rows of any scale",
    using(backend, () => {
      const swap = factor(Float64Array.of(0, 2, 3, 0), 2);
      const x = Float64Array.of(4, 9);
      assert.equal(luSolve(swap, 2, x), true);
      assert.deepEqual(x, Float64Array.of(3, 2));
      const scaled = factor(Float64Array.of(1e200, 0, 0, 1e-200), 2);
      const y = Float64Array.of(1e200, 1e-200);
      assert.equal(luSolve(scaled, 2, y), true);
      assert.deepEqual(y, Float64Array.of(1, 1));
    }),
  );

  it(
    "names a row without a pivot and leaves zeros",
    using(backend, () => {
      for (const n of [1, 3, 33, 70]) {
        for (const bad of [0, Math.floor(n / 2), n - 1]) {
          const zero = identity(n);
          zero[bad * (n + 1)] = 0;
          assert.deepEqual(lu(zero, n), {
            failure: `singular to working precision (row ${bad + 1} of ${n})`,
          });
          assert.deepEqual(zero, new Float64Array(n * n));
        }
        if (n === 1) continue;
        const dependent = randomMatrix(n, n, 3);
        dependent.set(dependent.subarray(0, n), (n - 1) * n);
        assert.match(
          lu(dependent, n).failure ?? "",
          new RegExp(`singular to working precision \\(row ${n} of`),
        );
      }
    }),
  );

  it(
    "lets no NaN out",
    using(backend, () => {
      const n = 20;
      for (const poison of [Number.NaN, Infinity, -Infinity]) {
        for (const place of [0, 57, n * n - 1]) {
          const a = randomMatrix(n, n, 4);
          a[place] = poison;
          assert.deepEqual(lu(a, n), { failure: "the matrix is not finite" });
          assert.deepEqual(a, new Float64Array(n * n));
        }
        for (const columns of [1, 3]) {
          const b = new Float64Array(n * columns).fill(1);
          b[5] = poison;
          assert.equal(luSolve(factor(randomMatrix(n, n, 5), n), n, b, columns), false);
          assert.deepEqual(b, new Float64Array(n * columns));
        }
      }
      const failed = lu(new Float64Array(4), 2);
      assert.throws(() => luSolve(failed, 2, new Float64Array(2)), /no factors to solve with: singular/);
    }),
  );

  it(
    "raises the damping tenfold until there are factors, and says so",
    using(backend, async () => {
      const a = Float64Array.of(-0.1, 0, 0, 1);
      const raised = dampedLu(a, 2, 0.1);
      assert.ok(raised.failure === undefined && raised.factors.failure === undefined);
      assert.deepEqual([raised.damping, raised.retries], [1, 1]);
      const x = Float64Array.of(0.9, 4);
      assert.equal(luSolve(raised.factors, 2, x), true);
      assert.deepEqual(x, Float64Array.of(1, 2));
      assert.deepEqual(await dampedLuAsync(a, 2, 0.1), raised);
      assert.deepEqual(a, Float64Array.of(-0.1, 0, 0, 1), "the matrix is not changed");
      const refused = dampedLu(a, 2, 0.1, 0);
      assert.match(
        refused.failure ?? "",
        /^singular to working precision \(row 1 of 2\) with damping 0.1; raise/,
      );
      assert.deepEqual(dampedLu(Float64Array.of(Number.NaN), 1, 1), { failure: "the matrix is not finite" });
      assert.throws(() => dampedLu(a, 2, -1), /invalid damping: -1/);
    }),
  );

  it(
    "says what is wrong with a call",
    using(backend, () => {
      assert.throws(() => lu(new Float64Array(3), 2), /invalid a: 3 numbers for shape \(2, 2\)/);
      assert.throws(() => luSolve(factor(identity(2), 2), 2, new Float64Array(3)), /invalid b: 3 numbers/);
    }),
  );

  it(
    "gives the event loop its turn",
    using(backend, async () => {
      const n = 900;
      const a = randomMatrix(n, n, 6);
      let turns = 0;
      let running = true;
      const count = () => {
        turns++;
        if (running) setImmediate(count);
      };
      setImmediate(count);
      await luAsync(a, n);
      running = false;
      assert.ok(turns > 1, `${turns} turns`);
    }),
  );
});
