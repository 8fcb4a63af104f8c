import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { crossEntropyCourse, softmaxResidual } from "../../src/theory/index.ts";
import {
  type KernelMatrix,
  kernelMatrix,
  product,
  transposed,
  weightedSum,
} from "../../src/theory/matrix.ts";
import {
  assertClose,
  blockDiagonal,
  identity,
  kronecker,
  pseudoInverse,
  randomMatrix,
  tridiagonal,
} from "./support.ts";

const [N, C, TEST, P] = [4, 3, 2, 6];
const labels = { shape: [N], data: Int32Array.of(0, 2, 1, 2) };

function softmax(row: Float64Array): Float64Array {
  const powers = row.map(Math.exp);
  const sum = powers.reduce((a, b) => a + b, 0);
  return powers.map((value) => value / sum);
}

/**
 * One step in parameter space: f ← f − η J' F̃⁺ g with F̃ = (1/N) J_bᵀ(Σ ⊗ Λ)J_b, all of it dense. Rows are ordered sample by
 * sample: n·C + c, so that J_l = (random) ⊗ I_C.
 */
function denseStep(f: KernelMatrix, sigma: KernelMatrix, jacobians: KernelMatrix[], others: KernelMatrix[]) {
  const gradient = kernelMatrix(N * C, 1);
  const blocks: KernelMatrix[] = [];
  for (let n = 0; n < N; n++) {
    const p = softmax(f.data.slice(n * C, (n + 1) * C));
    const block = kernelMatrix(C, C);
    for (let c = 0; c < C; c++) {
      gradient.data[n * C + c] = p[c] - (labels.data[n] === c ? 1 : 0);
      for (let d = 0; d < C; d++) block.data[c * C + d] = (c === d ? p[c] : 0) - p[c] * p[d];
    }
    blocks.push(block);
  }
  const along = blockDiagonal(jacobians);
  const metric = kronecker(sigma, blockDiagonal(blocks));
  const fisher = weightedSum([product(product(transposed(along), metric), along)], [1 / N]);
  const loss = kernelMatrix(along.shape[0], 1);
  for (let l = 0; l < jacobians.length; l++) loss.data.set(gradient.data, l * N * C);
  const g = weightedSum([product(transposed(along), loss)], [1 / N]);
  const step = product(pseudoInverse(fisher), g);
  const moved = (rows: KernelMatrix[]) => {
    const width = P * C;
    const parts = rows.map((own, l) =>
      product(own, kernelMatrix(width, 1, step.data.slice(l * width, (l + 1) * width))),
    );
    return weightedSum(parts);
  };
  return { train: moved(jacobians), test: moved(others) };
}

describe("cross-entropy in function space", () => {
  for (const [name, depth, coupling, sigma] of [
    ["exact", 1, "identity", identity(1)],
    ["block-diagonal", 2, "identity", identity(2)],
    ["block tri-diagonal", 3, "tridiagonal", tridiagonal(3)],
  ] as const) {
    it(`${name}: steps are those of the dense Fisher's pseudo-inverse`, async () => {
      const own = Array.from({ length: depth }, (_, l) => randomMatrix(N, P, l + 1));
      const other = Array.from({ length: depth }, (_, l) => randomMatrix(TEST, P, l + 11));
      const wide = (matrices: KernelMatrix[]) => matrices.map((matrix) => kronecker(matrix, identity(C)));
      const rate = 0.1;
      const initial = randomMatrix(N, C, 21);
      const initialTest = randomMatrix(TEST, C, 22);
      const { steps, failure } = await crossEntropyCourse(
        own.map((matrix) => product(matrix, transposed(matrix))),
        { labels, initial, initialTest },
        { learningRate: rate, steps: 4 },
        coupling,
        other.map((matrix, l) => product(matrix, transposed(own[l]))),
      );
      assert.equal(failure, undefined);
      assert.equal(steps.length, 5);
      let [f, test] = [initial, initialTest];
      for (const step of steps) {
        // F̃⁺ cuts eigenvalues at 1e-11 and multiplies rounding by its condition number.
        assertClose(step.train.data, f.data, 1e-6, "training");
        assertClose(step.test!.data, test.data, 1e-6, "test");
        const change = denseStep(f, sigma, wide(own), wide(other));
        f = kernelMatrix(
          N,
          C,
          f.data.map((value, k) => value - rate * change.train.data[k]),
        );
        test = kernelMatrix(
          TEST,
          C,
          test.data.map((value, k) => value - rate * change.test.data[k]),
        );
      }
      assert.ok(steps[4].loss < steps[0].loss);
    });
  }

  it("the residual sums to zero, is (1/C − e_y)/p_y for classes, and takes probabilities too", () => {
    const f = randomMatrix(N, C, 1);
    const { residual, loss } = softmaxResidual(f, labels);
    let expected = 0;
    for (let n = 0; n < N; n++) {
      const p = softmax(f.data.slice(n * C, (n + 1) * C));
      const y = labels.data[n];
      expected -= Math.log(p[y]) / N;
      const row = Array.from({ length: C }, (_, c) => (1 / C - (c === y ? 1 : 0)) / p[y]);
      assertClose(residual.data.slice(n * C, (n + 1) * C), row, 1e-13);
    }
    assert.ok(Math.abs(loss - expected) < 1e-13);
    const one = kernelMatrix(N, C);
    labels.data.forEach((y, n) => {
      one.data[n * C + y] = 1;
    });
    assert.deepEqual(softmaxResidual(f, one).residual.data, residual.data);
  });

  it("stops in words before its numbers are not finite", async () => {
    const initial = kernelMatrix(2, 2, Float64Array.of(400, -400, 0, 0));
    const problem = { labels: { shape: [2], data: Int32Array.of(1, 0) }, initial };
    const { steps, failure } = await crossEntropyCourse([identity(2)], problem, {
      learningRate: 1,
      steps: 5,
    });
    assert.match(failure!, /^step \d: outputs are not finite/);
    assert.ok(steps.length >= 1 && steps.every(({ train }) => train.data.every(Number.isFinite)));
  });

  it("refuses labels that are none", () => {
    const f = kernelMatrix(2, 2);
    assert.throws(() => softmaxResidual(f, { shape: [2], data: Int32Array.of(0, 2) }), /invalid class 2/);
    assert.throws(
      () => softmaxResidual(f, { shape: [3], data: Int32Array.of(0, 1, 0) }),
      /invalid labels: shape/,
    );
  });
});
