/**
 * Cholesky factorization A = L Lᵀ.
 *
 * Golub & Van Loan, Matrix Computations, 4th ed., §4.2.9 (blocked, gaxpy form); LAPACK's dpotrf when there is one.
 */
import { activeLapack } from "./backend.ts";
import { borrow, loadLower, paddedOrder, paddedStride, release, solveRows } from "./kernels.ts";
import { clearUpperRows, requireMatrix } from "./matrix.ts";
import { cooperate, finish, overRows, type Steps } from "./steps.ts";

/** Rows factored together: their part of L stays in the second-level cache while the rows above stream past once. */
const BLOCK_ROWS = 16;

/**
 * Factors a symmetric positive definite matrix in place.
 *
 * @param a (n, n) row-major; only the lower triangle is read. It becomes L, with zeros above the diagonal; where the
 *   factorization fails it becomes all zeros.
 * @returns 0, or the 1-based order of the first leading minor that is not positive definite (NaN and infinities are not)
 */
export function cholesky(a: Float64Array, n: number): number {
  return finish(choleskySteps(a, n));
}

/** {@link cholesky} that lets the event loop breathe; `a` belongs to it until it is done. */
export function choleskyAsync(a: Float64Array, n: number): Promise<number> {
  return cooperate(choleskySteps(a, n));
}

export function* choleskySteps(a: Float64Array, n: number): Steps<number> {
  requireMatrix("a", a, n, n);
  if (n === 0) return 0;
  const lapack = activeLapack();
  let failed: number;
  if (lapack) {
    const call = lapack.dpotrf(a, n);
    yield call;
    failed = call.info || infinitePivot(a, n);
    if (failed === 0) yield* overRows(n, n, (from, to) => clearUpperRows(a, n, from, to));
  } else {
    failed = yield* factorEmbedded(a, n);
  }
  if (failed !== 0) a.fill(0);
  return failed;
}

/** An infinite diagonal passes dpotrf's test; the kernels refuse it themselves. */
function infinitePivot(l: Float64Array, n: number): number {
  for (let row = 0; row < n; row++) {
    if (!Number.isFinite(l[row * n + row])) return row + 1;
  }
  return 0;
}

function* factorEmbedded(a: Float64Array, n: number): Steps<number> {
  const order = paddedOrder(n);
  const stride = paddedStride(order);
  const workspace = borrow(order * stride);
  try {
    const { kernels, numbers } = workspace;
    const l = workspace.take(order * stride);
    yield* loadLower(workspace, l, a, n);
    for (let from = 0; from < order; from += BLOCK_ROWS) {
      const to = Math.min(order, from + BLOCK_ROWS);
      yield* solveRows(kernels, l + from * stride * 8, to - from, l, stride, 0, from);
      const failed = kernels.factorBlock(l, stride * 8, from, to);
      if (failed !== 0) return failed;
    }
    yield* overRows(n, n, (first, end) => {
      for (let row = first; row < end; row++) {
        const start = l / 8 + row * stride;
        a.set(numbers.subarray(start, start + row + 1), row * n);
      }
      clearUpperRows(a, n, first, end);
    });
    return 0;
  } finally {
    release(workspace);
  }
}
