/** Solves a damped block on the host, in float64, from slots in the training dtype. */
import {
  choleskyInverse,
  choleskyInverseAsync,
  choleskySolve,
  choleskySolveAsync,
  type DampedFactor,
  dampedCholesky,
  dampedCholeskyAsync,
  invertLower,
  invertLowerAsync,
} from "../linalg/index.ts";
import type { TypedArray } from "../tensor.ts";
import type { RefreshOutcome } from "./block.ts";

export interface DampedSystem {
  /** K, (n, n) symmetric. */
  readonly matrix: TypedArray;
  readonly order: number;
  /** λ. At 0 a singular K is refused, not damped behind the user's back. */
  readonly damping: number;
  /** Right-hand side b and where x of (K + λI) x = b goes. */
  readonly solve?: { readonly b: TypedArray; readonly x: TypedArray };
  /** Where L⁻¹ of K + λI = LLᵀ goes, (n, n). */
  readonly inverseFactor?: TypedArray;
}

/** Up to this order the work is so short that handing it to another thread costs more than it frees. */
export const LARGEST_SYNCHRONOUS_ORDER = 256;

/** Work space of synchronous factorizations. */
const workspace = {
  matrix: new Float64Array(LARGEST_SYNCHRONOUS_ORDER ** 2),
  factor: new Float64Array(LARGEST_SYNCHRONOUS_ORDER ** 2),
};

/** Factorizes K + λI, with more damping where that fails, and writes what was asked for. */
export function solveDamped(system: DampedSystem): RefreshOutcome | Promise<RefreshOutcome> {
  return system.order <= LARGEST_SYNCHRONOUS_ORDER ? solveNow(system) : solveInBackground(system);
}

function solveNow(system: DampedSystem): RefreshOutcome {
  const { order, damping, solve, inverseFactor } = system;
  const matrix = workspace.matrix.subarray(0, order * order);
  const factor = workspace.factor.subarray(0, order * order);
  matrix.set(system.matrix);
  const result = dampedCholesky(matrix, order, damping, { ...retries(damping), factor });
  if (result.failure !== undefined) return failed(damping, result.failure);
  if (solve) {
    const x = new Float64Array(solve.b);
    if (!choleskySolve(result.factor, order, x)) return failed(damping, NOT_FINITE);
    solve.x.set(x);
  }
  inverseFactor?.set(invertLower(result.factor, order));
  return succeeded(result);
}

async function solveInBackground(system: DampedSystem): Promise<RefreshOutcome> {
  const { order, damping, solve, inverseFactor } = system;
  const matrix = new Float64Array(system.matrix);
  const result = await dampedCholeskyAsync(matrix, order, damping, retries(damping));
  if (result.failure !== undefined) return failed(damping, result.failure);
  if (solve) {
    const x = new Float64Array(solve.b);
    if (!(await choleskySolveAsync(result.factor, order, x))) return failed(damping, NOT_FINITE);
    solve.x.set(x);
  }
  if (inverseFactor) inverseFactor.set(await invertLowerAsync(result.factor, order));
  return succeeded(result);
}

/** How an inversion ended, with the inverse (n, n) where there is one. */
export interface DampedInverse extends RefreshOutcome {
  readonly inverse?: Float64Array;
}

/**
 * (K + λI)⁻¹, with more damping where that fails.
 *
 * @param matrix (n, n); only the lower triangle is read
 */
export function invertDamped(
  matrix: Float64Array,
  order: number,
  damping: number,
): DampedInverse | Promise<DampedInverse> {
  if (order > LARGEST_SYNCHRONOUS_ORDER) return invertInBackground(matrix, order, damping);
  const factor = workspace.factor.subarray(0, order * order);
  const result = dampedCholesky(matrix, order, damping, { ...retries(damping), factor });
  if (result.failure !== undefined) return failed(damping, result.failure);
  return { ...succeeded(result), inverse: choleskyInverse(result.factor, order) };
}

async function invertInBackground(
  matrix: Float64Array,
  order: number,
  damping: number,
): Promise<DampedInverse> {
  const result = await dampedCholeskyAsync(matrix, order, damping, retries(damping));
  if (result.failure !== undefined) return failed(damping, result.failure);
  return { ...succeeded(result), inverse: await choleskyInverseAsync(result.factor, order) };
}

const NOT_FINITE = "the solution of a block is not finite";

function retries(damping: number) {
  return damping === 0 ? { maxRetries: 0 } : {};
}

/** A refresh without a direction; at damping 0 the reason comes with the remedy. */
export function failed(damping: number, failure: string): RefreshOutcome {
  const remedy = damping === 0 ? " (damping 0 needs blocks that are not singular; use a damping > 0)" : "";
  return { damping, retries: 0, failure: failure + remedy };
}

function succeeded({ damping, retries }: Exclude<DampedFactor, { failure: string }>): RefreshOutcome {
  return { damping, retries };
}
