/** Matrices, plain reference products and the two paths for the tests of this folder. */
import type { SuiteContext, TestContext } from "node:test";
import { describe } from "node:test";
import { type Backend, lapackInfo, setBackend } from "../../src/linalg/index.ts";
import { Random } from "../../src/random.ts";

/** Orders around the kernels' tiles (2, 4), panels (8), blocks (16) and paddings. */
export const ORDERS = [0, 1, 2, 3, 5, 8, 15, 17, 36, 63, 64, 65, 130];

/** Runs the same suite on both paths; the one without a library is skipped and says why. */
export function onBothPaths(name: string, suite: (backend: Backend) => void): void {
  for (const backend of ["embedded", "lapack"] as const) {
    const { reason } = lapackInfo();
    const skip = backend === "lapack" && reason !== undefined ? reason : false;
    describe(`${name} (${backend})`, { skip }, () => suite(backend));
  }
}

/** Wraps a test body so that it runs on one path and leaves `auto` behind. */
export function using(
  backend: Backend,
  body: (context?: TestContext | SuiteContext) => void | Promise<void>,
): () => Promise<void> {
  return async () => {
    setBackend(backend);
    try {
      await body();
    } finally {
      setBackend("auto");
    }
  };
}

export function randomMatrix(rows: number, columns: number, seed: number): Float64Array {
  const random = new Random(seed);
  return Float64Array.from({ length: rows * columns }, () => random.normal());
}

export function randomSymmetric(n: number, seed: number): Float64Array {
  const a = randomMatrix(n, n, seed);
  for (let i = 0; i < n; i++) for (let j = 0; j < i; j++) a[j * n + i] = a[i * n + j];
  return a;
}

/** G Gᵀ/n + shift·I, G (n, n) normal. */
export function randomSpd(n: number, seed: number, shift = 0.1): Float64Array {
  const g = randomMatrix(n, n, seed);
  const a = multiply(g, transpose(g, n, n), n, n, n);
  for (let i = 0; i < a.length; i++) a[i] /= n;
  for (let i = 0; i < n; i++) a[i * n + i] += shift;
  return a;
}

/** Q diag(values) Qᵀ with a random orthogonal Q. */
export function withEigenvalues(values: readonly number[], seed: number): Float64Array {
  const n = values.length;
  const q = randomOrthogonal(n, seed);
  const scaled = q.map((value, index) => value * values[index % n]);
  const a = multiply(scaled, transpose(q, n, n), n, n, n);
  for (let i = 0; i < n; i++) for (let j = 0; j < i; j++) a[j * n + i] = a[i * n + j];
  return a;
}

/** By Gram-Schmidt, twice, on normal rows. */
export function randomOrthogonal(n: number, seed: number): Float64Array {
  const q = randomMatrix(n, n, seed);
  for (let i = 0; i < n; i++) {
    const row = q.subarray(i * n, (i + 1) * n);
    for (let pass = 0; pass < 2; pass++) {
      for (let j = 0; j < i; j++) {
        const other = q.subarray(j * n, (j + 1) * n);
        const overlap = row.reduce((sum, value, k) => sum + value * other[k], 0);
        for (let k = 0; k < n; k++) row[k] -= overlap * other[k];
      }
    }
    const norm = Math.hypot(...row);
    for (let k = 0; k < n; k++) row[k] /= norm;
  }
  return q;
}

export function identity(n: number): Float64Array {
  const a = new Float64Array(n * n);
  for (let i = 0; i < n; i++) a[i * n + i] = 1;
  return a;
}

/** A B, (rows, inner) × (inner, columns). */
export function multiply(
  a: Float64Array,
  b: Float64Array,
  rows: number,
  inner: number,
  columns: number,
): Float64Array {
  const c = new Float64Array(rows * columns);
  for (let i = 0; i < rows; i++) {
    for (let k = 0; k < inner; k++) {
      const factor = a[i * inner + k];
      for (let j = 0; j < columns; j++) c[i * columns + j] += factor * b[k * columns + j];
    }
  }
  return c;
}

export function transpose(a: Float64Array, rows: number, columns: number): Float64Array {
  return Float64Array.from(a, (_, index) => a[(index % rows) * columns + Math.floor(index / rows)]);
}

/** The largest |a − b|; infinite where one of them is not a number. */
export function distance(a: Float64Array, b: Float64Array): number {
  let most = a.length === b.length ? 0 : Number.POSITIVE_INFINITY;
  for (let i = 0; i < a.length; i++) {
    const difference = Math.abs(a[i] - b[i]);
    most = Math.max(most, Number.isNaN(difference) ? Number.POSITIVE_INFINITY : difference);
  }
  return most;
}
