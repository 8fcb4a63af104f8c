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
  type SymmetricEigen,
  symmetricEigen,
  symmetricEigenAsync,
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
  /** Where (K + λI)⁻¹ goes, (n, n). */
  readonly inverse?: TypedArray;
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
  const { order, damping, solve, inverseFactor, inverse } = system;
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
  inverse?.set(choleskyInverse(result.factor, order));
  return succeeded(result);
}

async function solveInBackground(system: DampedSystem): Promise<RefreshOutcome> {
  const { order, damping, solve, inverseFactor, inverse } = system;
  const matrix = new Float64Array(system.matrix);
  const result = await dampedCholeskyAsync(matrix, order, damping, retries(damping));
  if (result.failure !== undefined) return failed(damping, result.failure);
  if (solve) {
    const x = new Float64Array(solve.b);
    if (!(await choleskySolveAsync(result.factor, order, x))) return failed(damping, NOT_FINITE);
    solve.x.set(x);
  }
  if (inverseFactor) inverseFactor.set(await invertLowerAsync(result.factor, order));
  if (inverse) inverse.set(await choleskyInverseAsync(result.factor, order));
  return succeeded(result);
}

/**
 * Damped inverses of one matrix that changes. Its memory is kept: fresh arrays at every refresh would cost as much in page faults
 * and garbage collections as a third of the inversion.
 */
export class DampedInverter {
  readonly #order: number;
  #matrix: Float64Array | undefined;
  #inverse: Float64Array | undefined;

  constructor(order: number) {
    this.#order = order;
  }

  /** Where K is to be written, (n, n); only the lower triangle is read. */
  get matrix(): Float64Array {
    return (this.#matrix ??= new Float64Array(this.#order ** 2));
  }

  /** (K + λI)⁻¹, (n, n), once {@link invert} has ended well; overwritten by the next. */
  get inverse(): Float64Array {
    return (this.#inverse ??= new Float64Array(this.#order ** 2));
  }

  /** Inverts K + λI, with more damping where that fails. */
  invert(damping: number): RefreshOutcome | Promise<RefreshOutcome> {
    if (this.#order > LARGEST_SYNCHRONOUS_ORDER) return this.#invertInBackground(damping);
    const { matrix, inverse } = this;
    const result = dampedCholesky(matrix, this.#order, damping, { ...retries(damping), factor: inverse });
    if (result.failure !== undefined) return failed(damping, result.failure);
    choleskyInverse(inverse, this.#order, inverse);
    return succeeded(result);
  }

  async #invertInBackground(damping: number): Promise<RefreshOutcome> {
    const { matrix, inverse } = this;
    const options = { ...retries(damping), factor: inverse };
    const result = await dampedCholeskyAsync(matrix, this.#order, damping, options);
    if (result.failure !== undefined) return failed(damping, result.failure);
    await choleskyInverseAsync(inverse, this.#order, inverse);
    return succeeded(result);
  }
}

const NOT_FINITE = "the solution of a block is not finite";

/** The eigendecomposition of a symmetric matrix, (n, n); at once where that is short. */
export function decompose(matrix: Float64Array, order: number): SymmetricEigen | Promise<SymmetricEigen> {
  return order <= LARGEST_SYNCHRONOUS_ORDER
    ? symmetricEigen(matrix, order)
    : symmetricEigenAsync(matrix, order);
}

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
