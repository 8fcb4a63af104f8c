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

/** What decides how a solve goes on from an iterate x, r = b − (A + shift·I) x. */
export interface IterateNumbers {
  /** ‖r‖². */
  readonly squaredResidual: number;
  /** rᵀM⁻¹r. */
  readonly weight: number;
  /** φ(x) = −½ xᵀ(b + r); read by the relative-progress test alone. */
  readonly objective: number;
}

/** The vectors of a solve, on the host or in the memory of a program. */
export interface Recurrence {
  /** Sets out from the first iterate. */
  start(): Promise<IterateNumbers & { readonly squaredNorm: number }>;
  /** Proposes the next iterate; `curvature` is pᵀ(A + shift·I)p, `finite` whether all of x is. */
  step(): Promise<IterateNumbers & { readonly curvature: number; readonly finite: boolean }>;
  /** Makes the proposed iterate the current one. */
  accept(): void;
}

export interface StoppingRules extends Pick<ConjugateGradientOptions, "relativeProgress"> {
  readonly maxIterations: number;
  readonly tolerance: number;
}

/** Steps until a rule or a breakdown ends it; the current iterate is then the last good one. */
export async function runRecurrence(
  recurrence: Recurrence,
  { maxIterations, tolerance, relativeProgress }: StoppingRules,
): Promise<Omit<ConjugateGradientResult, "solution">> {
  const { squaredNorm, ...first } = await recurrence.start();
  if (!Number.isFinite(squaredNorm + first.squaredResidual)) {
    return { status: "not finite", iterations: 0, residual: 1 };
  }
  if (squaredNorm === 0) return { status: "converged", iterations: 0, residual: 0 };
  const history: number[] = [];
  let numbers: IterateNumbers = first;
  for (let iterations = 0; ; iterations++) {
    const residual = Math.sqrt(numbers.squaredResidual / squaredNorm);
    const end = (status: ConjugateGradientStatus) => ({ status, iterations, residual });
    if (residual <= tolerance) return end("converged");
    if (relativeProgress !== undefined) {
      history.push(numbers.objective);
      if (stalled(history, relativeProgress)) return end("no more progress");
    }
    if (iterations >= maxIterations) return end("iteration limit reached");
    if (!Number.isFinite(numbers.weight)) return end("not finite");
    if (numbers.weight <= 0) return end("not positive definite");
    const next = await recurrence.step();
    if (!Number.isFinite(next.curvature)) return end("not finite");
    if (next.curvature <= 0) return end("not positive definite");
    if (!next.finite || !Number.isFinite(next.squaredResidual)) return end("not finite");
    recurrence.accept();
    numbers = next;
  }
}

/** Solves (A + shift·I) x = b; the status says how it ended, nothing throws but a wrong option and the caller's own maps. */
export async function conjugateGradient(
  apply: LinearMap,
  b: Float64Array,
  options: ConjugateGradientOptions = {},
): Promise<ConjugateGradientResult> {
  const { maxIterations = b.length, tolerance = 1e-10, relativeProgress } = options;
  const { preconditioner, initial, shift = 0 } = options;
  requireOption(maxIterations >= 0, "maxIterations", maxIterations);
  requireOption(tolerance >= 0, "tolerance", tolerance);
  requireOption(shift >= 0 && shift < Infinity, "shift", shift);
  const n = b.length;
  if (initial !== undefined && initial.length !== n) {
    throw new RangeError(`invalid initial: ${initial.length} numbers (must be ${n})`);
  }
  const direction = new Float64Array(n);
  let current = { solution: new Float64Array(n), residual: b.slice() };
  let proposed = { solution: new Float64Array(n), residual: new Float64Array(n) };
  let z: Float64Array = current.residual;
  let weight = 0;
  let previous = 0;
  const numbersOf = async ({ solution, residual }: typeof current, squaredResidual: number) => {
    z = preconditioner ? await preconditioner(residual) : residual;
    weight = preconditioner ? dot(residual, z) : squaredResidual;
    const objective = relativeProgress === undefined ? 0 : quadratic(solution, residual, b);
    return { squaredResidual, weight, objective };
  };
  const recurrence: Recurrence = {
    async start() {
      if (initial !== undefined && allFinite(initial)) {
        const product = await apply(initial);
        for (let k = 0; k < n; k++) current.residual[k] -= product[k] + shift * initial[k];
        current.solution.set(initial);
      } else if (initial !== undefined) {
        current.residual.fill(Number.NaN);
      }
      const squaredResidual = dot(current.residual, current.residual);
      return { squaredNorm: dot(b, b), ...(await numbersOf(current, squaredResidual)) };
    },
    async step() {
      const squaredLength = turn(direction, z, previous === 0 ? 0 : weight / previous);
      previous = weight;
      const product = await apply(direction);
      const curvature = dot(direction, product) + shift * squaredLength;
      const step = weight / curvature;
      let squaredResidual = 0;
      let probe = 0; // NaN as soon as an element of the solution is not finite
      for (let k = 0; k < n; k++) {
        const x = current.solution[k] + step * direction[k];
        const r = current.residual[k] - step * (product[k] + shift * direction[k]);
        proposed.solution[k] = x;
        proposed.residual[k] = r;
        squaredResidual += r * r;
        probe += x * 0;
      }
      return { curvature, finite: probe === 0, ...(await numbersOf(proposed, squaredResidual)) };
    },
    accept() {
      [current, proposed] = [proposed, current];
    },
  };
  const ended = await runRecurrence(recurrence, { maxIterations, tolerance, relativeProgress });
  if (ended.status === "converged" && b.every((value) => value === 0)) current.solution.fill(0);
  return { solution: current.solution, ...ended };
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
