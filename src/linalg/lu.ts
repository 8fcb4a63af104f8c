/**
 * LU factorization of general square matrices with partial pivoting, A P = L U, L lower, U unit upper, and solves with it.
 *
 * Golub & Van Loan, 4th ed., §3.4 (blocked, right-looking); LAPACK's dgetrf and dgetrs when there is one. LAPACK sees Aᵀ
 * and exchanges its rows, so the embedded path exchanges columns: both leave the same factors in the same places.
 *
 * A pivot no larger than nε times the largest element of its row has no correct digit (as in {@link dampedCholesky}) and
 * counts as zero.
 */
import { activeLapack } from "./backend.ts";
import { borrow, paddedOrder, paddedStride, release, type Workspace } from "./kernels.ts";
import { allFinite, copyMatrix, requireMatrix } from "./matrix.ts";
import { cooperate, finish, overRows, type Steps } from "./steps.ts";

/** Rows eliminated before the rest of the matrix is updated with them at once. */
const BLOCK_ROWS = 32;
/** Multiply-adds between two places to breathe: about two milliseconds in the kernels. */
const PIECE = 1e7;

/** The factors, or in words why there are none. */
export type LuFactors =
  | {
      /** (n, n) row-major: L with its diagonal, and U above it. */
      readonly factor: Float64Array;
      /** Column `pivots[k]` was exchanged with column k, k = 0 … n − 1 in turn. */
      readonly pivots: Int32Array;
      readonly failure?: undefined;
    }
  | { readonly failure: string };

/**
 * Factors a square matrix in place.
 *
 * @param a (n, n) row-major; becomes the factors, which are returned, or all zeros where there are none
 */
export function lu(a: Float64Array, n: number): LuFactors {
  return finish(luSteps(a, n));
}

/** {@link lu} that lets the event loop breathe; `a` belongs to it until it is done. */
export function luAsync(a: Float64Array, n: number): Promise<LuFactors> {
  return cooperate(luSteps(a, n));
}

/**
 * Solves A X = B in place.
 *
 * @param factors as {@link lu} leaves them
 * @param b (n, columns) row-major; becomes X
 * @returns whether all of X is finite; where it is not, `b` becomes all zeros
 */
export function luSolve(factors: LuFactors, n: number, b: Float64Array, columns = 1): boolean {
  return finish(solveSteps(factors, n, b, columns));
}

/** {@link luSolve} that lets the event loop breathe; `factors` and `b` belong to it until it is done. */
export function luSolveAsync(factors: LuFactors, n: number, b: Float64Array, columns = 1): Promise<boolean> {
  return cooperate(solveSteps(factors, n, b, columns));
}

export function* luSteps(a: Float64Array, n: number): Steps<LuFactors> {
  requireMatrix("a", a, n, n);
  const pivots = new Int32Array(n);
  const scales = new Float64Array(n);
  let finite = true;
  yield* overRows(n, n, (from, to) => {
    finite &&= allFinite(a, from * n, to * n);
    for (let row = from; row < to; row++) scales[row] = largest(a, row * n, (row + 1) * n);
  });
  if (!finite) {
    a.fill(0);
    return { failure: "the matrix is not finite" };
  }
  const lapack = activeLapack();
  if (lapack && n > 0) {
    yield lapack.dgetrf(a, n, pivots);
    for (let k = 0; k < n; k++) pivots[k]--;
  } else {
    yield* factorEmbedded(a, n, pivots);
  }
  const lost = lostPivot(a, n, scales);
  if (lost === 0) return { factor: a, pivots };
  a.fill(0);
  return { failure: `singular to working precision (row ${lost} of ${n})` };
}

/** The 1-based row of the first pivot that is no larger than its rounding error; 0 where there is none. */
function lostPivot(factor: Float64Array, n: number, scales: Float64Array): number {
  for (let row = 0; row < n; row++) {
    const pivot = Math.abs(factor[row * n + row]);
    if (!(pivot > n * Number.EPSILON * scales[row] && pivot < Infinity)) return row + 1;
  }
  return 0;
}

function largest(a: Float64Array, from: number, to: number): number {
  let most = 0;
  for (let k = from; k < to; k++) most = Math.max(most, Math.abs(a[k]));
  return most;
}

/** Stops at a zero pivot and leaves it where {@link lostPivot} finds it. */
function* factorEmbedded(a: Float64Array, n: number, pivots: Int32Array): Steps<void> {
  const order = paddedOrder(n);
  const stride = paddedStride(order);
  const workspace = borrow(order * (stride + BLOCK_ROWS));
  try {
    const { numbers } = workspace;
    const matrix = workspace.take(order * stride);
    const transposed = workspace.take(order * BLOCK_ROWS);
    const start = matrix / 8;
    numbers.fill(0, start, start + order * stride);
    const outside = { offset: 0, rowStride: n, columnStride: 1 };
    const inside = { offset: start, rowStride: stride, columnStride: 1 };
    yield* overRows(n, n, (from, to) => copyMatrix(a, outside, numbers, inside, from, to, n));
    for (let from = 0; from < n; from += BLOCK_ROWS) {
      const to = Math.min(n, from + BLOCK_ROWS);
      const whole = eliminateBlock(numbers, start, stride, n, from, to, pivots);
      if (!whole) break;
      yield undefined;
      yield* overRows(n - to, (to - from) ** 2, (first, end) =>
        solveAgainstBlock(numbers, start, stride, from, to, to + first, to + end),
      );
      if (to < n) yield* updateRest(workspace, matrix, transposed, stride, order, from, to);
    }
    yield* overRows(n, n, (from, to) => copyMatrix(numbers, inside, a, outside, from, to, n));
  } finally {
    release(workspace);
  }
}

/** Eliminates rows `from` to `to` among themselves, exchanging columns of the whole matrix; false at a zero pivot. */
function eliminateBlock(
  numbers: Float64Array,
  start: number,
  stride: number,
  n: number,
  from: number,
  to: number,
  pivots: Int32Array,
): boolean {
  for (let k = from; k < to; k++) {
    const row = start + k * stride;
    let best = k;
    for (let column = k + 1; column < n; column++) {
      if (Math.abs(numbers[row + column]) > Math.abs(numbers[row + best])) best = column;
    }
    pivots[k] = best;
    const pivot = numbers[row + best];
    if (pivot === 0) return false;
    if (best !== k) {
      for (let at = start, end = start + n * stride; at < end; at += stride) {
        const other = numbers[at + best];
        numbers[at + best] = numbers[at + k];
        numbers[at + k] = other;
      }
    }
    for (let column = k + 1; column < n; column++) numbers[row + column] /= pivot;
    for (let below = k + 1; below < to; below++) {
      const target = start + below * stride;
      const factor = numbers[target + k];
      if (factor === 0) continue;
      for (let column = k + 1; column < n; column++) {
        numbers[target + column] -= factor * numbers[row + column];
      }
    }
  }
  return true;
}

/** L of the rows `first` to `end` in the block's columns: X U = A with the block's unit upper U. */
function solveAgainstBlock(
  numbers: Float64Array,
  start: number,
  stride: number,
  from: number,
  to: number,
  first: number,
  end: number,
): void {
  for (let row = first; row < end; row++) {
    const target = start + row * stride;
    for (let k = from; k < to; k++) {
      const factor = numbers[target + k];
      const source = start + k * stride;
      for (let column = k + 1; column < to; column++) {
        numbers[target + column] -= factor * numbers[source + column];
      }
    }
  }
}

/** The rows and columns from `to` on, less L times U of the block, by the kernels. */
function* updateRest(
  { kernels, numbers }: Workspace,
  matrix: number,
  transposed: number,
  stride: number,
  order: number,
  from: number,
  to: number,
): Steps<void> {
  const depth = to - from;
  const source = { offset: matrix / 8 + from * stride, rowStride: 1, columnStride: stride };
  const target = { offset: transposed / 8, rowStride: BLOCK_ROWS, columnStride: 1 };
  copyMatrix(numbers, source, numbers, target, to, order, depth);
  const below = matrix + to * stride * 8;
  const rows = order - to;
  const width = Math.max(4, Math.floor(PIECE / (rows * depth) / 4) * 4);
  for (let column = to; column < order; column += width) {
    const end = Math.min(order, column + width);
    const left = below + from * 8;
    kernels.subtractProducts(
      below,
      stride * 8,
      left,
      stride * 8,
      rows,
      transposed,
      BLOCK_ROWS * 8,
      column,
      end,
      0,
      depth,
    );
    yield undefined;
  }
}

function* solveSteps(factors: LuFactors, n: number, b: Float64Array, columns: number): Steps<boolean> {
  if (factors.failure !== undefined) throw new RangeError(`no factors to solve with: ${factors.failure}`);
  const { factor, pivots } = factors;
  requireMatrix("factor", factor, n, n);
  requireMatrix("b", b, n, columns);
  if (b.length === 0) return true;
  const lapack = activeLapack();
  if (lapack) {
    // LAPACK takes right-hand sides one after another.
    const byRows = { offset: 0, rowStride: columns, columnStride: 1 };
    const byColumns = { offset: 0, rowStride: 1, columnStride: n };
    const x = columns === 1 ? b : new Float64Array(b.length);
    if (x !== b) copyMatrix(b, byRows, x, byColumns, 0, n, columns);
    yield lapack.dgetrs(
      factor,
      n,
      Int32Array.from(pivots, (pivot) => pivot + 1),
      x,
      columns,
    );
    if (x !== b) copyMatrix(x, byColumns, b, byRows, 0, n, columns);
  } else {
    yield* substitute(factor, pivots, n, b, columns);
  }
  let finite = true;
  yield* overRows(n, columns, (from, to) => {
    finite &&= allFinite(b, from * columns, to * columns);
  });
  if (!finite) b.fill(0);
  return finite;
}

/** L Y = B forward, U Z = Y backward, then the exchanges undone; each a sum of multiples of rows. */
function* substitute(
  factor: Float64Array,
  pivots: Int32Array,
  n: number,
  b: Float64Array,
  columns: number,
): Steps<void> {
  yield* overRows(n, n * columns, (first, end) => {
    for (let row = first; row < end; row++) {
      subtractRows(factor, b, columns, row, n, 0, row);
      const pivot = factor[row * n + row];
      for (let k = row * columns; k < (row + 1) * columns; k++) b[k] /= pivot;
    }
  });
  yield* overRows(n, n * columns, (first, end) => {
    for (let step = first; step < end; step++) {
      const row = n - 1 - step;
      subtractRows(factor, b, columns, row, n, row + 1, n);
    }
  });
  for (let k = n - 1; k >= 0; k--) {
    if (pivots[k] === k) continue;
    const [own, other] = [k * columns, pivots[k] * columns];
    const kept = b.slice(own, own + columns);
    b.copyWithin(own, other, other + columns);
    b.set(kept, other);
  }
}

/** Row `row` of B, less the factors `from` to `to` of that row times the rows of B they belong to. */
function subtractRows(
  factor: Float64Array,
  b: Float64Array,
  columns: number,
  row: number,
  n: number,
  from: number,
  to: number,
): void {
  const target = row * columns;
  for (let other = from; other < to; other++) {
    const weight = factor[row * n + other];
    const source = other * columns;
    for (let k = 0; k < columns; k++) b[target + k] -= weight * b[source + k];
  }
}
