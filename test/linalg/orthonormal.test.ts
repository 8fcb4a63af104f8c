import assert from "node:assert/strict";
import { it } from "node:test";
import { orthonormalizeRows, orthonormalizeRowsAsync } from "../../src/linalg/index.ts";
import {
  distance,
  identity,
  multiply,
  ORDERS,
  onBothPaths,
  randomMatrix,
  transpose,
  using,
} from "./support.ts";

onBothPaths("orthonormal rows", (backend) => {
  for (const n of ORDERS) {
    it(
      `span what the rows span, at n = ${n}`,
      using(backend, () => {
        const a = randomMatrix(n, n, n + 1);
        const q = a.slice();
        assert.equal(orthonormalizeRows(q, n), true);
        assertOrthonormal(q, n);
        // A Qᵀ is lower triangular with a diagonal that is not negative.
        const lower = multiply(a, transpose(q, n, n), n, n, n);
        for (let row = 0; row < n; row++) {
          assert.ok(lower[row * n + row] >= 0);
          for (let column = row + 1; column < n; column++) {
            assert.ok(Math.abs(lower[row * n + column]) < 1e-14 * (n + 10), `(${row}, ${column})`);
          }
        }
      }),
    );
  }

  it(
    "are completed where rows depend on others, at every scale",
    using(backend, () => {
      const n = 6;
      for (const scale of [0, 1e-300, 1, 1e300]) {
        const a = randomMatrix(n, n, 1).map((value) => scale * value);
        a.copyWithin(2 * n, 0, n);
        a.fill(0, 4 * n, 5 * n);
        const first = a.slice(0, n);
        assert.equal(orthonormalizeRows(a, n), true);
        assertOrthonormal(a, n);
        if (scale === 0) continue;
        const norm = Math.hypot(...first.map((value) => value / scale)) * scale;
        assert.ok(
          distance(
            a.slice(0, n),
            first.map((value) => value / norm),
          ) < 1e-14,
        );
      }
    }),
  );

  it(
    "are refused, and nothing changed, where an element is not finite",
    using(backend, () => {
      const a = Float64Array.of(1, 2, Number.NaN, 4);
      assert.equal(orthonormalizeRows(a, 2), false);
      assert.deepEqual([...a], [1, 2, Number.NaN, 4]);
    }),
  );

  it(
    "have the same bits from the asynchronous twin",
    using(backend, async () => {
      const a = randomMatrix(300, 300, 2);
      const b = a.slice();
      assert.equal(await orthonormalizeRowsAsync(a, 300), orthonormalizeRows(b, 300));
      assert.deepEqual(a, b);
    }),
  );
});

function assertOrthonormal(q: Float64Array, n: number): void {
  const error = distance(multiply(q, transpose(q, n, n), n, n, n), identity(n));
  assert.ok(error < 1e-14 * (n + 10), `orthonormal: ${error}`);
}
