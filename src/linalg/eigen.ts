/**
 * Eigendecomposition of symmetric matrices, A = V Λ Vᵀ.
 *
 * Embedded: Householder tridiagonalization and implicit QL ({@link decomposeTridiagonally}); LAPACK's divide and conquer,
 * dsyevd, when there is one.
 */
import { activeLapack } from "./backend.ts";
import { allFinite, copyMatrix, describeNonFinite, requireMatrix } from "./matrix.ts";
import { cooperate, finish, overRows, type Steps } from "./steps.ts";
import { decomposeTridiagonally } from "./tridiagonal.ts";

/** The decomposition, or in words why there is none. */
export type SymmetricEigen =
  | {
      /** (n), ascending. */
      readonly values: Float64Array;
      /** (n, n) row-major, orthogonal; column j belongs to values[j]. */
      readonly vectors: Float64Array;
      readonly failure?: undefined;
    }
  | { readonly failure: string };

/**
 * All eigenvalues and eigenvectors of a symmetric matrix. Values are accurate to about ε times the largest magnitude among
 * them; the sign of a vector, and the basis of a repeated value's space, are arbitrary but the same on every call.
 *
 * @param a (n, n) row-major; only the lower triangle is read, and nothing is changed
 */
export function symmetricEigen(a: Float64Array, n: number): SymmetricEigen {
  return finish(symmetricEigenSteps(a, n));
}

/** {@link symmetricEigen} that lets the event loop breathe; `a` must not change until it is done. */
export function symmetricEigenAsync(a: Float64Array, n: number): Promise<SymmetricEigen> {
  return cooperate(symmetricEigenSteps(a, n));
}

function* symmetricEigenSteps(a: Float64Array, n: number): Steps<SymmetricEigen> {
  requireMatrix("a", a, n, n);
  if (n === 0) return { values: new Float64Array(0), vectors: new Float64Array(0) };
  let scale = 0;
  yield* overRows(n, n, (from, to) => {
    for (let row = from; row < to; row++) scale = Math.max(scale, largest(a, row * n, row * n + row + 1));
  });
  if (!Number.isFinite(scale)) return { failure: `the matrix is not finite: ${describeNonFinite(a, n)}` };
  const lapack = activeLapack();
  if (lapack === undefined) return yield* decomposeTridiagonally(a, n, scale);

  const columns = new Float64Array(n * n);
  const values = new Float64Array(n);
  yield* overRows(n, n, (from, to) => columns.set(a.subarray(from * n, to * n), from * n));
  const call = lapack.dsyevd(columns, n, values);
  yield call;
  if (call.info !== 0 || !allFinite(values)) {
    return { failure: `the eigenvalues did not converge (dsyevd: ${call.info})` };
  }
  const vectors = new Float64Array(n * n);
  const columnMajor = { offset: 0, rowStride: 1, columnStride: n };
  const rowMajor = { offset: 0, rowStride: n, columnStride: 1 };
  yield* overRows(n, n, (from, to) => copyMatrix(columns, columnMajor, vectors, rowMajor, from, to, n));
  return { values, vectors };
}

/** The largest magnitude; NaN or an infinity where there is one. */
function largest(a: Float64Array, from: number, to: number): number {
  let most = 0;
  for (let index = from; index < to; index++) most = Math.max(most, Math.abs(a[index]));
  return most;
}
