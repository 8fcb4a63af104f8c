/**
 * Preconditioned conjugate gradients for (A + shift·I) x = b, A symmetric positive semidefinite and known only by its
 * products with vectors.
 *
 * Golub & Van Loan, 4th ed., algorithm 11.5.1; the relative-progress test is Martens 2010, Deep learning via Hessian-free
 * optimization, §4.4: with φ(x) = ½ xᵀ(A + shift·I)x − bᵀx, stop at iteration i > k where φ(x_i) < 0 and
 * (φ(x_i) − φ(x_{i−k})) / φ(x_i) < k ε, k = max(10, i / 10).
 */
import { allFinite } from "./matrix.ts";

/** A linear map; it must not keep or change its argument, and returns a new or reused array of the same length. */
export type LinearMap = (vector: Float64Array) => Float64Array | Promise<Float64Array>;

export interface ConjugateGradientOptions {
  /** Products with A at most (default: the length of b). */
  readonly maxIterations?: number;
  /** Stop where ‖b − A x‖ ≤ tolerance · ‖b‖ (default 1e-10). */
  readonly tolerance?: number;
  /** ε of Martens' test, 5e-4 in his paper; left out, the test is not made. */
  readonly relativeProgress?: number;
  /** Where to start (default: zero). */
  readonly initial?: Float64Array;
  /** v ↦ M⁻¹ v, M symmetric positive definite and near A (default: the identity). */
  readonly preconditioner?: LinearMap;
  /** Added to A's diagonal, the damping (default 0). */
  readonly shift?: number;
}

export type ConjugateGradientStatus =
  | "converged"
  | "no more progress"
  | "iteration limit reached"
  | "not positive definite"
  | "not finite";

export interface ConjugateGradientResult {
  /** Finite whatever the status: the last iterate before anything went wrong. */
  readonly solution: Float64Array;
  /** Steps taken. */
  readonly iterations: number;
  /** ‖b − A x‖ / ‖b‖ as the recurrence has it; 0 for b = 0. */
  readonly residual: number;
  readonly status: ConjugateGradientStatus;
}

/** Solves (A + shift·I) x = b; the status says how it ended, nothing throws but a wrong option and the caller's own maps. */
export async function conjugateGradient(
  apply: LinearMap,
  b: Float64Array,
  options: ConjugateGradientOptions = {},
): Promise<ConjugateGradientResult> {
  const {
    maxIterations = b.length,
    tolerance = 1e-10,
    relativeProgress,
    preconditioner,
    shift = 0,
  } = options;
  requireOption(maxIterations >= 0, "maxIterations", maxIterations);
  requireOption(tolerance >= 0, "tolerance", tolerance);
  requireOption(shift >= 0 && shift < Infinity, "shift", shift);
  const n = b.length;
  let solution = new Float64Array(n);
  const norm = Math.sqrt(dot(b, b));
  const end = (status: ConjugateGradientStatus, iterations: number, residual: number) => ({
    solution,
    iterations,
    residual,
    status,
  });
  if (!Number.isFinite(norm)) return end("not finite", 0, 1);
  if (norm === 0) return end("converged", 0, 0);

  let residual = b.slice();
  let residualNorm = norm;
  const { initial } = options;
  if (initial !== undefined) {
    if (initial.length !== n) {
      throw new RangeError(`invalid initial: ${initial.length} numbers (must be ${n})`);
    }
    const product = await apply(initial);
    for (let index = 0; index < n; index++) residual[index] -= product[index] + shift * initial[index];
    residualNorm = Math.sqrt(dot(residual, residual));
    if (!Number.isFinite(residualNorm) || !allFinite(initial)) return end("not finite", 0, 1);
    solution.set(initial);
  }

  const direction = new Float64Array(n);
  let nextSolution = new Float64Array(n);
  let nextResidual = new Float64Array(n);
  const history: number[] = [];
  let previous = 0;
  for (let iteration = 0; ; iteration++) {
    if (residualNorm <= tolerance * norm) return end("converged", iteration, residualNorm / norm);
    if (relativeProgress !== undefined) {
      history.push(quadratic(solution, residual, b));
      if (stalled(history, relativeProgress)) {
        return end("no more progress", iteration, residualNorm / norm);
      }
    }
    if (iteration >= maxIterations) return end("iteration limit reached", iteration, residualNorm / norm);

    const z = preconditioner ? await preconditioner(residual) : residual;
    const weight = preconditioner ? dot(residual, z) : residualNorm * residualNorm;
    if (!Number.isFinite(weight)) return end("not finite", iteration, residualNorm / norm);
    if (weight <= 0) return end("not positive definite", iteration, residualNorm / norm);
    const squaredLength = turn(direction, z, iteration === 0 ? 0 : weight / previous);
    previous = weight;

    const product = await apply(direction);
    const curvature = dot(direction, product) + shift * squaredLength;
    if (!Number.isFinite(curvature)) return end("not finite", iteration, residualNorm / norm);
    if (curvature <= 0) return end("not positive definite", iteration, residualNorm / norm);
    const step = weight / curvature;
    let squaredNorm = 0;
    let probe = 0; // NaN as soon as an element of the solution is not finite
    for (let index = 0; index < n; index++) {
      const x = solution[index] + step * direction[index];
      const r = residual[index] - step * (product[index] + shift * direction[index]);
      nextSolution[index] = x;
      nextResidual[index] = r;
      squaredNorm += r * r;
      probe += x * 0;
    }
    if (!Number.isFinite(squaredNorm + probe)) return end("not finite", iteration, residualNorm / norm);
    [solution, nextSolution] = [nextSolution, solution];
    [residual, nextResidual] = [nextResidual, residual];
    residualNorm = Math.sqrt(squaredNorm);
  }
}

/** direction ← z + carry · direction; returns its squared length. */
function turn(direction: Float64Array, z: Float64Array, carry: number): number {
  let squaredLength = 0;
  for (let index = 0; index < direction.length; index++) {
    const value = z[index] + carry * direction[index];
    direction[index] = value;
    squaredLength += value * value;
  }
  return squaredLength;
}

/** φ(x) = ½ xᵀA x − bᵀx = −½ xᵀ(b + r), r = b − A x. */
function quadratic(x: Float64Array, residual: Float64Array, b: Float64Array): number {
  return -0.5 * (dot(x, b) + dot(x, residual));
}

function stalled(history: readonly number[], epsilon: number): boolean {
  const iteration = history.length - 1;
  const lag = Math.max(10, Math.floor(iteration / 10));
  if (iteration <= lag) return false;
  const now = history[iteration];
  return now < 0 && (now - history[iteration - lag]) / now < lag * epsilon;
}

function requireOption(valid: boolean, name: string, value: number): void {
  if (!valid) throw new RangeError(`invalid ${name}: ${value} (must be ≥ 0)`);
}

function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let index = 0; index < a.length; index++) sum += a[index] * b[index];
  return sum;
}
