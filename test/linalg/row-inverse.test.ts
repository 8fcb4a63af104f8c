/** Inverses by updates with rows: equal to the inverse, whatever the number of rows; how they fail. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { rowInverse, rowInverseAsync, spdInverse } from "../../src/linalg/index.ts";
import { Random } from "../../src/random.ts";
import { distance, randomMatrix } from "./support.ts";

/** λI + (1/N) SᵀS, (n, n). */
function damped(s: Float64Array, n: number, samples: number, damping: number): Float64Array {
  const matrix = new Float64Array(n * n);
  for (let row = 0; row < s.length / n; row++) {
    for (let i = 0; i < n; i++) {
      for (let j = 0; j < n; j++) matrix[i * n + j] += (s[row * n + i] * s[row * n + j]) / samples;
    }
  }
  for (let k = 0; k < n; k++) matrix[k * n + k] += damping;
  return matrix;
}

const problem = (rows: Float64Array, order: number, damping = 0.1) => {
  return { rows, order, samples: 7, damping, maxRetries: 3, inverse: new Float64Array(order ** 2) };
};

describe("row inverses", () => {
  for (const [count, order] of [
    [1, 1],
    [3, 5],
    [32, 4],
    [33, 6],
    [70, 41],
    [5, 130],
    [40, 256],
  ] as const) {
    it(`${count} rows of ${order} numbers`, async () => {
      const rows = randomMatrix(count, order, count + order);
      const given = problem(rows, order);
      assert.deepEqual(rowInverse(given), { damping: 0.1, retries: 0 });
      const expected = spdInverse(damped(rows, order, 7, 0.1), order);
      assert.ok(expected.failure === undefined);
      assert.ok(distance(given.inverse, expected.inverse) < 1e-11);
      const later = problem(rows, order);
      await rowInverseAsync(later);
      assert.deepEqual(later.inverse, given.inverse);
    });
  }

  it("no rows leave I/λ", () => {
    const given = problem(new Float64Array(0), 2, 0.5);
    rowInverse(given);
    assert.deepEqual([...given.inverse], [2, 0, 0, 2]);
  });

  it("rows that are not finite are refused", () => {
    for (const wrong of [Number.NaN, Number.POSITIVE_INFINITY]) {
      const rows = randomMatrix(40, 3, 1);
      rows[100] = wrong;
      assert.deepEqual(rowInverse(problem(rows, 3)), { failure: "the score rows are not finite" });
    }
  });

  it("start again with more damping where rounding makes the inverse indefinite", () => {
    const random = new Random(1);
    const row = Float64Array.from({ length: 9 }, () => random.normal());
    const rows = Float64Array.from({ length: 9 * 200 }, (_, k) => row[k % 9] * (1 + 1e-12 * random.normal()));
    const given = problem(rows, 9, 1e-22);
    const outcome = rowInverse({ ...given, maxRetries: 20 });
    assert.ok(outcome.failure === undefined && outcome.retries > 0, JSON.stringify(outcome));
    assert.ok(outcome.damping > 1e-22 && given.inverse.every(Number.isFinite));
    assert.deepEqual(rowInverse({ ...given, maxRetries: 0 }), {
      failure: "the inverse lost its positive definiteness",
    });
  });
});
