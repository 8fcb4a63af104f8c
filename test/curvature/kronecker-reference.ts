/** Kronecker factors and their bases from per-sample gradients alone, dense. */
import assert from "node:assert/strict";
import type { Batch, Trainer } from "../../src/index.ts";
import { symmetricEigen } from "../../src/linalg/index.ts";
import { flatten, type Layout, type Matrix } from "../conformance/reference.ts";

/** One score row of a layer: the gradient is the outer product δ āᵀ. */
export interface Row {
  readonly delta: Float64Array;
  readonly inputs: Float64Array;
}

/** The empirical score rows of each layer, each from the gradient of one sample; layers must have a bias. */
export async function scoreRows(trainer: Trainer, batch: Batch, layout: Layout): Promise<Row[][]> {
  const [samples] = batch.inputs.shape;
  const rows: Row[][] = layout.layers.map(() => []);
  for (let n = 0; n < samples; n++) {
    const one = ({ shape, data }: Batch["inputs"]) => {
      const width = data.length / samples;
      return { shape: [1, ...shape.slice(1)], data: data.slice(n * width, (n + 1) * width) };
    };
    const sample = { inputs: one(batch.inputs), targets: one(batch.targets) };
    const gradient = flatten(layout, await trainer.gradient(sample));
    layout.layers.forEach(({ start, rows: outputs, columns }, l) => {
      const at = (o: number, i: number) => gradient[start + o * columns + i];
      const delta = Float64Array.from({ length: outputs }, (_, o) => at(o, columns - 1));
      const largest = delta.reduce((best, d, o) => (Math.abs(d) > Math.abs(delta[best]) ? o : best), 0);
      const inputs = Float64Array.from({ length: columns }, (_, i) => at(largest, i) / delta[largest]);
      rows[l].push({ delta, inputs });
    });
  }
  return rows;
}

/** (1/N) Σ x xᵀ. */
export function covariance(rows: readonly Float64Array[]): Matrix {
  return Array.from(rows[0], (_, i) =>
    Float64Array.from(rows[0], (_, j) => rows.reduce((total, x) => total + x[i] * x[j], 0) / rows.length),
  );
}

export const trace = (matrix: Matrix) => matrix.reduce((total, row, k) => total + row[k], 0);

/** G ⊗ A in the order of [W b] row-major. */
export function kronecker(g: Matrix, a: Matrix): Matrix {
  const columns = a.length;
  return Array.from({ length: g.length * columns }, (_, p) =>
    Float64Array.from(
      { length: g.length * columns },
      (_, q) => g[Math.floor(p / columns)][Math.floor(q / columns)] * a[p % columns][q % columns],
    ),
  );
}

/** u ⊗ v. */
export const outerProduct = (u: Float64Array, v: Float64Array): Float64Array =>
  Float64Array.from({ length: u.length * v.length }, (_, k) => u[Math.floor(k / v.length)] * v[k % v.length]);

export const shifted = (matrix: Matrix, shift: number): Matrix =>
  matrix.map((row, k) => row.map((value, j) => (j === k ? value + shift : value)));

export const mix = (old: Matrix | undefined, value: Matrix, epsilon: number): Matrix =>
  old ? value.map((row, i) => row.map((x, j) => epsilon * old[i][j] + (1 - epsilon) * x)) : value;

/** The matrix that K-FAC inverts. */
export function kfacMatrix(g: Matrix, a: Matrix, damping: number): Matrix {
  const pi = Math.sqrt(trace(a) / a.length / (trace(g) / g.length));
  const root = Math.sqrt(damping);
  return kronecker(shifted(g, root / pi), shifted(a, pi * root));
}

/** The eigenvectors of a symmetric matrix as rows, and its eigenvalues. */
export function eigen(matrix: Matrix): { vectors: Matrix; values: Float64Array } {
  const n = matrix.length;
  const result = symmetricEigen(Float64Array.from(matrix.flatMap((row) => [...row])), n);
  assert.equal(result.failure, undefined);
  const { vectors, values } = result as Exclude<typeof result, { failure: string }>;
  const rows = Array.from({ length: n }, (_, k) => Float64Array.from(matrix, (_, i) => vectors[i * n + k]));
  return { vectors: rows, values };
}

/** U diag(s) Uᵀ for U = U_G ⊗ U_A. */
export function inBasis(outer: Matrix, inner: Matrix, s: Float64Array): Matrix {
  const basis = outer.flatMap((u) => inner.map((v) => outerProduct(u, v)));
  const size = s.length;
  return Array.from({ length: size }, (_, p) =>
    Float64Array.from({ length: size }, (_, q) => {
      let total = 0;
      for (let k = 0; k < size; k++) total += s[k] * basis[k][p] * basis[k][q];
      return total;
    }),
  );
}
