/**
 * Triangular systems with a Cholesky factor: L x = b, Lᵀ x = b, both in turn, and L⁻¹.
 *
 * Golub & Van Loan, 4th ed., §3.1; one right-hand side by substitution, many as X L⁻ᵀ with the blocked kernels; LAPACK's
 * and BLAS's dtrsm and dtrtri when there are any.
 */
import { activeLapack } from "./backend.ts";
import {
  borrow,
  loadLower,
  paddedOrder,
  paddedStride,
  release,
  solveRows,
  type Workspace,
} from "./kernels.ts";
import { allFinite, clearUpperRows, copyMatrix, requireMatrix } from "./matrix.ts";
import { cooperate, finish, overRows, type Steps } from "./steps.ts";

const SINGULAR = "the inverse is not finite: the factor is singular, or nearly so";
/** Right-hand sides solved together by the kernels. */
const BLOCK_COLUMNS = 16;

/**
 * Solves L Lᵀ X = B in place.
 *
 * @param l (n, n) the factor, as {@link cholesky} leaves it
 * @param b (n, columns) row-major; becomes X
 * @returns whether all of X is finite; where it is not, `b` becomes all zeros
 */
export function choleskySolve(l: Float64Array, n: number, b: Float64Array, columns = 1): boolean {
  return solveLower(l, n, b, columns) && solveLowerTransposed(l, n, b, columns);
}

/** Solves L X = B in place; arguments and result as in {@link choleskySolve}. */
export function solveLower(l: Float64Array, n: number, b: Float64Array, columns = 1): boolean {
  return finish(solveSteps(l, n, b, columns, false));
}

/** Solves Lᵀ X = B in place; arguments and result as in {@link choleskySolve}. */
export function solveLowerTransposed(l: Float64Array, n: number, b: Float64Array, columns = 1): boolean {
  return finish(solveSteps(l, n, b, columns, true));
}

/** {@link choleskySolve} that lets the event loop breathe; `l` and `b` belong to it until it is done. */
export async function choleskySolveAsync(
  l: Float64Array,
  n: number,
  b: Float64Array,
  columns = 1,
): Promise<boolean> {
  return (
    (await cooperate(solveSteps(l, n, b, columns, false))) &&
    (await cooperate(solveSteps(l, n, b, columns, true)))
  );
}

/**
 * L⁻¹, with exact zeros above the diagonal.
 *
 * @param l (n, n) lower triangular with a non-zero diagonal
 * @throws when the inverse is not finite, as of a singular or nearly singular L
 */
export function invertLower(l: Float64Array, n: number): Float64Array {
  return finish(invertLowerSteps(l, n));
}

/** {@link invertLower} that lets the event loop breathe. */
export function invertLowerAsync(l: Float64Array, n: number): Promise<Float64Array> {
  return cooperate(invertLowerSteps(l, n));
}

function* solveSteps(
  l: Float64Array,
  n: number,
  b: Float64Array,
  columns: number,
  transposed: boolean,
): Steps<boolean> {
  requireMatrix("l", l, n, n);
  requireMatrix("b", b, n, columns);
  if (b.length === 0) return true;
  const lapack = activeLapack();
  if (columns === 1) {
    if (transposed) substituteBackward(l, n, b);
    else substituteForward(l, n, b);
  } else if (lapack) {
    // B row-major is Bᵀ column-major, (columns, n): L X = B is Xᵀ U = Bᵀ.
    yield lapack.dtrsm(l, n, b, columns, transposed);
  } else {
    yield* solveEmbedded(l, n, b, columns, transposed);
  }
  let finite = true;
  yield* overRows(n, columns, (from, to) => {
    finite &&= allFinite(b, from * columns, to * columns);
  });
  if (!finite) b.fill(0);
  return finite;
}

/** L x = b, a dot product with each row. */
function substituteForward(l: Float64Array, n: number, b: Float64Array): void {
  for (let row = 0; row < n; row++) {
    const start = row * n;
    let first = 0;
    let second = 0;
    let third = 0;
    let fourth = 0;
    let column = 0;
    for (; column + 3 < row; column += 4) {
      first += l[start + column] * b[column];
      second += l[start + column + 1] * b[column + 1];
      third += l[start + column + 2] * b[column + 2];
      fourth += l[start + column + 3] * b[column + 3];
    }
    for (; column < row; column++) first += l[start + column] * b[column];
    b[row] = (b[row] - (first + second + (third + fourth))) / l[start + row];
  }
}

/** Lᵀ x = b, subtracting a multiple of each row. */
function substituteBackward(l: Float64Array, n: number, b: Float64Array): void {
  for (let row = n - 1; row >= 0; row--) {
    const start = row * n;
    const x = (b[row] /= l[start + row]);
    for (let column = 0; column < row; column++) b[column] -= l[start + column] * x;
  }
}

/**
 * Right-hand sides as rows of X := Bᵀ: L X = B is X L⁻ᵀ. For Lᵀ X = B both sides are flipped, J the exchange matrix:
 * (J Lᵀ J)(J X) = J B with J Lᵀ J lower triangular again.
 */
function* solveEmbedded(
  l: Float64Array,
  n: number,
  b: Float64Array,
  columns: number,
  transposed: boolean,
): Steps<void> {
  const order = paddedOrder(n);
  const stride = paddedStride(order);
  const workspace = borrow((order + BLOCK_COLUMNS) * stride);
  try {
    const factor = workspace.take(order * stride);
    const x = workspace.take(BLOCK_COLUMNS * stride);
    const { kernels, numbers } = workspace;
    yield* loadLower(workspace, factor, l, n, transposed);
    numbers.fill(0, x / 8, x / 8 + BLOCK_COLUMNS * stride);
    const inside = transposed
      ? { offset: x / 8 + n - 1, rowStride: -1, columnStride: stride }
      : { offset: x / 8, rowStride: 1, columnStride: stride };
    for (let from = 0; from < columns; from += BLOCK_COLUMNS) {
      const width = Math.min(BLOCK_COLUMNS, columns - from);
      const outside = { offset: from, rowStride: columns, columnStride: 1 };
      copyMatrix(b, outside, numbers, inside, 0, n, width);
      yield* solveRows(kernels, x, width + (width % 2), factor, stride, 0, order);
      copyMatrix(numbers, inside, b, outside, 0, n, width);
    }
  } finally {
    release(workspace);
  }
}

function* invertLowerSteps(l: Float64Array, n: number): Steps<Float64Array> {
  requireMatrix("l", l, n, n);
  const inverse = new Float64Array(n * n);
  if (n === 0) return inverse;
  const lapack = activeLapack();
  if (lapack) {
    yield* overRows(n, n, (from, to) => inverse.set(l.subarray(from * n, to * n), from * n));
    const call = lapack.dtrtri(inverse, n);
    yield call;
    if (call.info !== 0) throw new RangeError(SINGULAR);
    yield* overRows(n, n, (from, to) => clearUpperRows(inverse, n, from, to));
  } else {
    const order = paddedOrder(n);
    const stride = paddedStride(order);
    const workspace = borrow(2 * order * stride);
    try {
      const transpose = yield* invertTransposed(workspace, l, n);
      const from = { offset: transpose / 8, rowStride: 1, columnStride: stride };
      const to = { offset: 0, rowStride: n, columnStride: 1 };
      yield* overRows(n, n, (first, end) => {
        copyMatrix(workspace.numbers, from, inverse, to, first, end, end);
        clearUpperRows(inverse, n, first, end);
      });
    } finally {
      release(workspace);
    }
  }
  yield* requireFinite(inverse, n);
  return inverse;
}

/**
 * The address of W = L⁻ᵀ, upper triangular, padded as L is: row i solves for column i of L⁻¹ and starts at the diagonal.
 * Takes room for two padded matrices.
 */
export function* invertTransposed(workspace: Workspace, l: Float64Array, n: number): Steps<number> {
  const order = paddedOrder(n);
  const stride = paddedStride(order);
  const factor = workspace.take(order * stride);
  const w = workspace.take(order * stride);
  const { kernels, numbers } = workspace;
  yield* loadLower(workspace, factor, l, n);
  for (let from = 0; from < order; from += BLOCK_COLUMNS) {
    const to = Math.min(order, from + BLOCK_COLUMNS);
    numbers.fill(0, w / 8 + from * stride, w / 8 + to * stride);
    for (let row = from; row < to; row++) numbers[w / 8 + row * stride + row] = 1;
    yield* solveRows(kernels, w + from * stride * 8, to - from, factor, stride, from, order);
  }
  return w;
}

/** @throws where a number is not finite */
export function* requireFinite(inverse: Float64Array, n: number): Steps<void> {
  yield* overRows(n, n, (from, to) => {
    if (!allFinite(inverse, from * n, to * n)) {
      throw new RangeError(SINGULAR);
    }
  });
}
