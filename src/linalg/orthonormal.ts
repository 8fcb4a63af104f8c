/**
 * Orthonormal bases by QR factorization.
 *
 * Embedded: Householder's method, Golub & Van Loan, Matrix Computations, 4th ed., algorithms 5.2.1 and 5.1.5 (backward
 * accumulation); LAPACK's dgeqrf and dorgqr when there is one.
 */
import { activeLapack } from "./backend.ts";
import { allFinite, requireMatrix } from "./matrix.ts";
import { cooperate, finish, overRows, type Steps } from "./steps.ts";

/**
 * Replaces the rows of a matrix by orthonormal ones that span the same spaces: q₀ that of a₀, q₀ and q₁ that of a₀ and a₁, and
 * so on, each with qₖ·aₖ ≥ 0. This is Qᵀ of the factorization Aᵀ = QR with a diagonal of R that is not negative. Rows that
 * depend on those before them are completed to a basis.
 *
 * @param a (n, n) row-major
 * @returns false, and nothing changed, where an element is not finite
 */
export function orthonormalizeRows(a: Float64Array, n: number): boolean {
  return finish(orthonormalizeSteps(a, n));
}

/** {@link orthonormalizeRows} that lets the event loop breathe; `a` belongs to it until it is done. */
export function orthonormalizeRowsAsync(a: Float64Array, n: number): Promise<boolean> {
  return cooperate(orthonormalizeSteps(a, n));
}

function* orthonormalizeSteps(a: Float64Array, n: number): Steps<boolean> {
  requireMatrix("a", a, n, n);
  if (!allFinite(a)) return false;
  yield* normalizeRows(a, n);
  const diagonal = new Float64Array(n);
  const lapack = activeLapack();
  if (lapack && n > 0) {
    const reflectors = new Float64Array(n);
    yield lapack.dgeqrf(a, n, reflectors);
    for (let k = 0; k < n; k++) diagonal[k] = a[k * n + k];
    yield lapack.dorgqr(a, n, reflectors);
  } else {
    yield* reflect(a, n, diagonal);
  }
  for (let k = 0; k < n; k++) {
    if (diagonal[k] < 0) for (let i = k * n; i < (k + 1) * n; i++) a[i] = -a[i];
  }
  return true;
}

/** Divides every row by its largest magnitude, so that no square over- or underflows. */
function* normalizeRows(a: Float64Array, n: number): Steps<void> {
  yield* overRows(n, n, (from, to) => {
    for (let row = from; row < to; row++) {
      let largest = 0;
      for (let i = row * n; i < (row + 1) * n; i++) largest = Math.max(largest, Math.abs(a[i]));
      if (largest > 0) for (let i = row * n; i < (row + 1) * n; i++) a[i] /= largest;
    }
  });
}

/** Householder reflections H₀ … H₍ₙ₋₁₎ of the rows, then their product's columns in the rows' place; R's diagonal beside it. */
function* reflect(a: Float64Array, n: number, diagonal: Float64Array): Steps<void> {
  const scales = new Float64Array(n);
  for (let k = 0; k < n; k++) {
    const pivot = k * n + k;
    const end = (k + 1) * n;
    let squares = 0;
    for (let i = pivot; i < end; i++) squares += a[i] * a[i];
    const norm = Math.sqrt(squares);
    diagonal[k] = a[pivot] > 0 ? -norm : norm;
    if (norm === 0) continue;
    a[pivot] -= diagonal[k];
    scales[k] = 1 / (norm * Math.abs(a[pivot])); // 2/vᵀv for v = x − R₍ₖₖ₎e
    for (let row = k + 1; row < n; row++) applyReflection(a, n, k, row, scales[k]);
    yield undefined;
  }
  for (let k = n - 1; k >= 0; k--) {
    for (let row = k + 1; row < n; row++) applyReflection(a, n, k, row, scales[k]);
    // The reflection of e₍ₖ₎, on whose place its own vector lies.
    const pivot = k * n + k;
    const factor = scales[k] * a[pivot];
    for (let i = pivot; i < (k + 1) * n; i++) a[i] *= -factor;
    if (scales[k] === 0) a.fill(0, pivot, (k + 1) * n);
    a[pivot] += 1;
    a.fill(0, k * n, pivot);
    yield undefined;
  }
}

/** row := row − scale (v·row) v, v in the elements k … n of row k. */
function applyReflection(a: Float64Array, n: number, k: number, row: number, scale: number): void {
  const shift = (row - k) * n;
  let product = 0;
  for (let i = k * n + k; i < (k + 1) * n; i++) product += a[i] * a[i + shift];
  if (product === 0) return;
  const factor = scale * product;
  for (let i = k * n + k; i < (k + 1) * n; i++) a[i + shift] -= factor * a[i];
}
