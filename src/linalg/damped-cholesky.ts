/**
 * Cholesky factorization of K + λI that does not give up at the first failure: the damping λ is raised tenfold until it
 * succeeds, and the caller is told.
 *
 * A pivot that is positive only by rounding is a failure too. By Higham, Accuracy and Stability of Numerical Algorithms,
 * 2nd ed., theorem 10.3, the computed factor is exact for a matrix within about nε of the scaled one, so a pivot
 * L_ii² ≤ nε (K_ii + λ) has no correct digit, and a solution through it would be noise.
 */
import { choleskySteps } from "./cholesky.ts";
import { describeNonFinite, requireMatrix } from "./matrix.ts";
import { cooperate, finish, overRows, type Steps } from "./steps.ts";

export interface DampedCholeskyOptions {
  /**
   * How many times the damping may be raised after a failure (default 10). 0 refuses at once: what `damping = 0` means
   * to someone who wants the undamped solution or none.
   */
  readonly maxRetries?: number;
  /** Where the factor is written, (n, n); a new array where left out. */
  readonly factor?: Float64Array;
}

/** The factor of K + damping·I, or in words why there is none. */
export type DampedFactor =
  | {
      /** L, (n, n), zeros above the diagonal. */
      readonly factor: Float64Array;
      /** The damping in the factor: what was asked for, or more after retries. */
      readonly damping: number;
      /** How many times the damping was raised. */
      readonly retries: number;
      readonly failure?: undefined;
    }
  | { readonly failure: string };

/**
 * Factors K + damping·I; K is not changed.
 *
 * On failure the damping is raised tenfold, at least to nε times K's largest diagonal element (less would vanish in
 * rounding), up to `maxRetries` times. Elements that are not finite are refused at once.
 *
 * @param k (n, n) row-major symmetric positive semidefinite; only the lower triangle is read
 * @param damping λ ≥ 0
 */
export function dampedCholesky(
  k: Float64Array,
  n: number,
  damping: number,
  options: DampedCholeskyOptions = {},
): DampedFactor {
  return finish(dampedCholeskySteps(k, n, damping, options));
}

/** {@link dampedCholesky} that lets the event loop breathe; `k` must not change until it is done. */
export function dampedCholeskyAsync(
  k: Float64Array,
  n: number,
  damping: number,
  options: DampedCholeskyOptions = {},
): Promise<DampedFactor> {
  return cooperate(dampedCholeskySteps(k, n, damping, options));
}

function* dampedCholeskySteps(
  k: Float64Array,
  n: number,
  damping: number,
  { maxRetries = 10, factor = new Float64Array(n * n) }: DampedCholeskyOptions,
): Steps<DampedFactor> {
  requireMatrix("k", k, n, n);
  requireMatrix("factor", factor, n, n);
  if (!(damping >= 0 && damping < Infinity)) {
    throw new RangeError(`invalid damping: ${damping} (must be ≥ 0 and finite)`);
  }
  if (!(Number.isInteger(maxRetries) && maxRetries >= 0)) {
    throw new RangeError(`invalid maxRetries: ${maxRetries} (must be an integer ≥ 0)`);
  }
  let tried = damping;
  for (let retries = 0; ; retries++) {
    yield* overRows(n, n, (from, to) => {
      factor.set(k.subarray(from * n, to * n), from * n);
      for (let row = from; row < to; row++) factor[row * n + row] += tried;
    });
    const failed = (yield* choleskySteps(factor, n)) || lostPivot(factor, k, n, tried);
    if (failed === 0) return { factor, damping: tried, retries };

    factor.fill(0);
    const unusable = describeNonFinite(k, n);
    if (unusable !== undefined) return { failure: `the matrix is not finite: ${unusable}` };
    const scale = largestDiagonal(k, n);
    if (retries === maxRetries || scale === 0) {
      const minor = `leading minor of order ${failed} of ${n}`;
      const effort = retries > 0 ? `, raised ${retries} times from ${damping}` : "";
      return {
        failure: `not positive definite (${minor}) with damping ${tried}${effort}; raise the damping`,
      };
    }
    tried = Math.max(10 * tried, n * Number.EPSILON * scale);
    if (!(tried < Infinity))
      return { failure: `not positive definite (leading minor of order ${failed} of ${n})` };
  }
}

/** The 1-based order of the first pivot that is no larger than its rounding error; 0 where there is none. */
function lostPivot(l: Float64Array, k: Float64Array, n: number, damping: number): number {
  const threshold = n * Number.EPSILON;
  for (let row = 0; row < n; row++) {
    const pivot = l[row * n + row];
    if (pivot * pivot <= threshold * (k[row * n + row] + damping)) return row + 1;
  }
  return 0;
}

function largestDiagonal(k: Float64Array, n: number): number {
  let largest = 0;
  for (let row = 0; row < n; row++) largest = Math.max(largest, Math.abs(k[row * n + row]));
  return largest;
}
