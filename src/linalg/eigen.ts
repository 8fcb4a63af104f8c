/**
 * Eigendecomposition of symmetric matrices, A = V Λ Vᵀ.
 *
 * Embedded: Householder tridiagonalization and implicit QL ({@link decomposeTridiagonally}); LAPACK's divide and conquer,
 * dsyevd, when there is one.
 */
import { activeLapack } from "./backend.ts";
import { dsyevdWork } from "./lapack.ts";
import { allFinite, describeNonFinite, requireMatrix, transposeInPlace } from "./matrix.ts";
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

export interface SymmetricEigenOptions {
  /** Whether `a` may be overwritten; the vectors then are in its place, or elsewhere (default false). */
  readonly overwrite?: boolean;
  /** Memory to use, of {@link symmetricEigenWork} numbers at least; new memory where left out. */
  readonly work?: Float64Array;
}

/** Numbers of work space that a decomposition of order n can make use of: none without LAPACK, whose place WebAssembly's own memory takes. */
export function symmetricEigenWork(n: number): number {
  return activeLapack() ? dsyevdWork(n) : 0;
}

/**
 * All eigenvalues and eigenvectors of a symmetric matrix. Values are accurate to about ε times the largest magnitude among
 * them; the sign of a vector, and the basis of a repeated value's space, are arbitrary but the same on every call.
 *
 * @param a (n, n) row-major; only the lower triangle is read, and nothing is changed unless it may be
 */
export function symmetricEigen(
  a: Float64Array,
  n: number,
  options: SymmetricEigenOptions = {},
): SymmetricEigen {
  return finish(symmetricEigenSteps(a, n, options));
}

/** {@link symmetricEigen} that lets the event loop breathe; `a` must not change until it is done. */
export function symmetricEigenAsync(
  a: Float64Array,
  n: number,
  options: SymmetricEigenOptions = {},
): Promise<SymmetricEigen> {
  return cooperate(symmetricEigenSteps(a, n, options));
}

function* symmetricEigenSteps(
  a: Float64Array,
  n: number,
  { overwrite = false, work }: SymmetricEigenOptions,
): Steps<SymmetricEigen> {
  requireMatrix("a", a, n, n);
  if (n === 0) return { values: new Float64Array(0), vectors: new Float64Array(0) };
  let scale = 0;
  yield* overRows(n, n, (from, to) => {
    for (let row = from; row < to; row++) scale = Math.max(scale, largest(a, row * n, row * n + row + 1));
  });
  if (!Number.isFinite(scale)) return { failure: `the matrix is not finite: ${describeNonFinite(a, n)}` };
  const lapack = activeLapack();
  if (lapack === undefined) return yield* decomposeTridiagonally(a, n, scale);

  const length = dsyevdWork(n);
  if (work && work.length < length) {
    throw new RangeError(`invalid work: ${work.length} numbers (must be at least ${length})`);
  }
  const vectors = overwrite ? a : new Float64Array(n * n);
  const values = new Float64Array(n);
  if (!overwrite) yield* overRows(n, n, (from, to) => vectors.set(a.subarray(from * n, to * n), from * n));
  const call = lapack.dsyevd(vectors, n, values, work ?? new Float64Array(length));
  yield call;
  if (call.info !== 0 || !allFinite(values)) {
    return { failure: `the eigenvalues did not converge (dsyevd: ${call.info})` };
  }
  yield* overRows(n, n, (from, to) => transposeInPlace(vectors, n, from, to));
  return { values, vectors };
}

/** The largest magnitude; NaN or an infinity where there is one. */
function largest(a: Float64Array, from: number, to: number): number {
  let most = 0;
  for (let index = from; index < to; index++) most = Math.max(most, Math.abs(a[index]));
  return most;
}
