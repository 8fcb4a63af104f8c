/**
 * Inverses of symmetric positive definite matrices, A⁻¹ = L⁻ᵀ L⁻¹.
 *
 * Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., §14.2 (method 2); LAPACK's dpotri when there is one.
 */
import { activeLapack } from "./backend.ts";
import { choleskySteps } from "./cholesky.ts";
import { borrow, paddedOrder, paddedStride, release } from "./kernels.ts";
import { allFinite, mirrorRows, requireMatrix } from "./matrix.ts";
import { cooperate, finish, overRows, type Steps } from "./steps.ts";
import { invertTransposed, requireFinite } from "./triangular.ts";

/** A result, or in words why there is none. */
export type SpdInverse =
  | { readonly inverse: Float64Array; readonly failure?: undefined }
  | { readonly failure: string };

const BLOCK_ROWS = 16;

/**
 * The inverse of a symmetric positive definite matrix, full and exactly symmetric.
 *
 * @param a (n, n) row-major; only the lower triangle is read, and nothing is changed
 */
export function spdInverse(a: Float64Array, n: number): SpdInverse {
  return finish(spdInverseSteps(a, n));
}

/** {@link spdInverse} that lets the event loop breathe. */
export function spdInverseAsync(a: Float64Array, n: number): Promise<SpdInverse> {
  return cooperate(spdInverseSteps(a, n));
}

/**
 * (L Lᵀ)⁻¹ from the factor, full and exactly symmetric.
 *
 * @param l (n, n) as {@link cholesky} leaves it
 * @param inverse where the inverse is written, (n, n); `l` itself will do
 * @throws when the inverse is not finite, as of a singular or nearly singular L
 */
export function choleskyInverse(l: Float64Array, n: number, inverse?: Float64Array): Float64Array {
  return finish(choleskyInverseSteps(l, n, inverse));
}

/** {@link choleskyInverse} that lets the event loop breathe. */
export function choleskyInverseAsync(
  l: Float64Array,
  n: number,
  inverse?: Float64Array,
): Promise<Float64Array> {
  return cooperate(choleskyInverseSteps(l, n, inverse));
}

function* spdInverseSteps(a: Float64Array, n: number): Steps<SpdInverse> {
  requireMatrix("a", a, n, n);
  const factor = new Float64Array(n * n);
  yield* overRows(n, n, (from, to) => factor.set(a.subarray(from * n, to * n), from * n));
  const failed = yield* choleskySteps(factor, n);
  if (failed !== 0) {
    return { failure: `the matrix is not positive definite (leading minor of order ${failed} of ${n})` };
  }
  const inverse = yield* unchecked(factor, n, factor);
  let finite = true;
  yield* overRows(n, n, (from, to) => {
    finite &&= allFinite(inverse, from * n, to * n);
  });
  return finite ? { inverse } : { failure: "the inverse is not finite: the matrix is nearly singular" };
}

function* choleskyInverseSteps(
  l: Float64Array,
  n: number,
  inverse: Float64Array = new Float64Array(n * n),
): Steps<Float64Array> {
  requireMatrix("l", l, n, n);
  requireMatrix("inverse", inverse, n, n);
  yield* unchecked(l, n, inverse);
  yield* requireFinite(inverse, n);
  return inverse;
}

function* unchecked(l: Float64Array, n: number, inverse: Float64Array): Steps<Float64Array> {
  if (n === 0) return inverse;
  const lapack = activeLapack();
  if (lapack) {
    if (inverse !== l)
      yield* overRows(n, n, (from, to) => inverse.set(l.subarray(from * n, to * n), from * n));
    const call = lapack.dpotri(inverse, n);
    yield call;
    if (call.info !== 0) inverse.fill(Infinity);
  } else {
    yield* multiplyEmbedded(l, n, inverse);
  }
  yield* overRows(n, n, (from, to) => mirrorRows(inverse, n, from, to));
  return inverse;
}

/** The lower triangle of W Wᵀ, W = L⁻ᵀ: rows i and j ≤ i of W share the columns from i on. */
function* multiplyEmbedded(l: Float64Array, n: number, inverse: Float64Array): Steps<void> {
  const order = paddedOrder(n);
  const stride = paddedStride(order);
  const workspace = borrow((2 * order + BLOCK_ROWS) * stride);
  try {
    const w = yield* invertTransposed(workspace, l, n);
    const c = workspace.take(BLOCK_ROWS * stride);
    const { kernels, numbers } = workspace;
    for (let from = 0; from < order; from += BLOCK_ROWS) {
      const to = Math.min(order, from + BLOCK_ROWS);
      numbers.fill(0, c / 8, c / 8 + BLOCK_ROWS * stride);
      const x = w + from * stride * 8;
      // At most about two milliseconds a call: `to - from` rows times the width times the columns from `from` on.
      const width = Math.max(4, Math.floor(1e7 / ((to - from) * (order - from + 256)) / 4) * 4);
      for (let column = 0; column < to; column += width) {
        const end = Math.min(to, column + width);
        kernels.subtractProducts(
          c,
          stride * 8,
          x,
          stride * 8,
          to - from,
          w,
          stride * 8,
          column,
          end,
          from,
          order,
        );
        yield undefined;
      }
      for (let row = from; row < Math.min(to, n); row++) {
        const start = c / 8 + (row - from) * stride;
        for (let column = 0; column <= row; column++) inverse[row * n + column] = -numbers[start + column];
      }
    }
  } finally {
    release(workspace);
  }
}
