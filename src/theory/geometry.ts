/**
 * Steepest descent in a metric [Johnson17 §1, §3; Amari98]: in the ball ½ dᵀM d ≤ ε the linear model gᵀd is least at
 *
 *   d = −√(2ε) M⁻¹g / √(gᵀM⁻¹g)
 *
 * and there it is −√(2ε gᵀM⁻¹g). M = I gives gradient descent; M = F, the Fisher matrix, the natural gradient, for ½ dᵀF d is the
 * KL divergence between neighbours to second order.
 *
 * | symbol | variable    | shape                 |
 * | ------ | ----------- | --------------------- |
 * | M      | `metric`    | (P, P), positive definite |
 * | g      | `gradient`  | (P)                   |
 * | d      | `direction` | (P)                   |
 * | ε      | `radius`    | a number > 0          |
 */
import { requireOption, UsageError } from "../errors.ts";
import { choleskySolve, dampedCholesky, solveLowerTransposed } from "../linalg/index.ts";

/** The step of steepest descent and what the linear model promises of it. */
export interface Descent {
  /** d, (P), on the surface of the ball; zeros where the gradient is zero. */
  readonly direction: Float64Array;
  /** gᵀd ≤ 0. */
  readonly change: number;
}

/** @throws UsageError when the metric is not positive definite or the radius not positive */
export function steepestDescent(metric: Float64Array, gradient: Float64Array, radius: number): Descent {
  const factor = factorize(metric, gradient.length, radius);
  const direction = gradient.slice();
  requireSolved(choleskySolve(factor, gradient.length, direction));
  const square = dot(gradient, direction);
  if (square === 0) return { direction, change: 0 };
  const scale = -Math.sqrt((2 * radius) / square);
  return { direction: direction.map((value) => scale * value), change: scale * square };
}

/**
 * The boundary ½ dᵀM d = ε of two parameters' ball: d = √(2ε) L⁻ᵀu with M = L Lᵀ and u going round the unit circle.
 *
 * @param metric (2, 2)
 * @param count points; the first comes again at the end
 * @returns (count + 1, 2) row-major
 */
export function ballBoundary(metric: Float64Array, radius: number, count = 96): Float64Array {
  requireOption(Number.isInteger(count) && count >= 3, "count", count, "an integer ≥ 3");
  const factor = factorize(metric, 2, radius);
  const boundary = new Float64Array(2 * (count + 1));
  for (let k = 0; k <= count; k++) {
    const angle = (2 * Math.PI * (k % count)) / count;
    const point = Float64Array.of(Math.cos(angle), Math.sin(angle));
    requireSolved(solveLowerTransposed(factor, 2, point));
    boundary.set(
      point.map((value) => Math.sqrt(2 * radius) * value),
      2 * k,
    );
  }
  return boundary;
}

/** ½ dᵀM d. */
export function squaredLength(metric: Float64Array, direction: Float64Array): number {
  return 0.5 * dot(direction, times(metric, direction));
}

/** M v, (P). */
export function times(matrix: Float64Array, vector: Float64Array): Float64Array {
  const columns = vector.length;
  return Float64Array.from({ length: matrix.length / columns }, (_, row) =>
    dot(matrix.subarray(row * columns, (row + 1) * columns), vector),
  );
}

export function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let k = 0; k < a.length; k++) sum += a[k] * b[k];
  return sum;
}

function factorize(metric: Float64Array, order: number, radius: number): Float64Array {
  requireOption(radius > 0 && radius < Infinity, "radius", radius, "> 0 and finite");
  if (metric.length !== order * order) {
    throw new UsageError(`invalid metric: ${metric.length} numbers (must be ${order * order})`);
  }
  const result = dampedCholesky(metric, order, 0, { maxRetries: 0 });
  if (result.failure !== undefined) throw new UsageError(`invalid metric: ${result.failure}`);
  return result.factor;
}

function requireSolved(solved: boolean): void {
  if (!solved) throw new UsageError("invalid metric: singular, or nearly so");
}
