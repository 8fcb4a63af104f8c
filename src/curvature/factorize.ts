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
  symmetricEigenWork,
} from "../linalg/index.ts";
import type { TypedArray } from "../tensor.ts";
import type { RefreshOutcome } from "./block.ts";
import type { Workspace } from "./workspace.ts";

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

/** Memory of synchronous factorizations. */
const scratch = {
  matrix: new Float64Array(LARGEST_SYNCHRONOUS_ORDER ** 2),
  factor: new Float64Array(LARGEST_SYNCHRONOUS_ORDER ** 2),
};

/** Factorizes K + λI, with more damping where that fails, and writes what was asked for. */
export function solveDamped(system: DampedSystem): RefreshOutcome | Promise<RefreshOutcome> {
  return system.order <= LARGEST_SYNCHRONOUS_ORDER ? solveNow(system) : solveInBackground(system);
}

function solveNow(system: DampedSystem): RefreshOutcome {
  const { order, damping, solve, inverseFactor, inverse } = system;
  const matrix = scratch.matrix.subarray(0, order * order);
  const factor = scratch.factor.subarray(0, order * order);
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

/** A matrix to be damped and inverted in borrowed memory. */
export interface Inversion {
  readonly order: number;
  readonly damping: number;
  /** Writes K, (n, n), at least its lower triangle, into memory whose contents are arbitrary. */
  load(matrix: Float64Array): void;
  /** Takes (K + λI)⁻¹, (n, n), which is lent for as long as this runs. */
  use(inverse: Float64Array): void;
}

/** Inverts K + λI, with more damping where that fails; `use` is not called where it fails for good. */
export function invertDamped(
  workspace: Workspace,
  inversion: Inversion,
): RefreshOutcome | Promise<RefreshOutcome> {
  const { order, damping, load, use } = inversion;
  if (order > LARGEST_SYNCHRONOUS_ORDER) {
    return workspace.lend(2 * order ** 2, (block) => invertInBackground(block, inversion));
  }
  const matrix = scratch.matrix.subarray(0, order * order);
  const factor = scratch.factor.subarray(0, order * order);
  load(matrix);
  const result = dampedCholesky(matrix, order, damping, { ...retries(damping), factor });
  if (result.failure !== undefined) return failed(damping, result.failure);
  use(choleskyInverse(factor, order, factor));
  return succeeded(result);
}

async function invertInBackground(
  block: Float64Array,
  { order, damping, load, use }: Inversion,
): Promise<RefreshOutcome> {
  const matrix = block.subarray(0, order ** 2);
  const factor = block.subarray(order ** 2);
  load(matrix);
  const result = await dampedCholeskyAsync(matrix, order, damping, { ...retries(damping), factor });
  if (result.failure !== undefined) return failed(damping, result.failure);
  use(await choleskyInverseAsync(factor, order, factor));
  return succeeded(result);
}

/** Bytes of workspace that an inversion borrows. */
export function inversionBytes(order: number): number {
  return order > LARGEST_SYNCHRONOUS_ORDER ? 2 * 8 * order ** 2 : 0;
}

const NOT_FINITE = "the solution of a block is not finite";

/** The eigendecomposition of a symmetric matrix, (n, n), which is overwritten; at once where that is short. */
export function decompose(matrix: Float64Array, order: number): SymmetricEigen | Promise<SymmetricEigen> {
  return order <= LARGEST_SYNCHRONOUS_ORDER
    ? symmetricEigen(matrix, order, { overwrite: true })
    : symmetricEigenAsync(matrix, order, { overwrite: true });
}

/** A symmetric matrix to be decomposed in borrowed memory. */
export interface Decomposition {
  readonly order: number;
  /** Writes the matrix, (n, n), at least its lower triangle, into memory whose contents are arbitrary. */
  load(matrix: Float64Array): void;
  /** Takes the eigenvalues (n), ascending, and the eigenvectors as columns (n, n), which are lent for as long as this runs. */
  use(values: Float64Array, vectors: Float64Array): void;
}

/** In words why there is no decomposition; `use` is not called then. */
export function decomposeBorrowed(
  workspace: Workspace,
  { order, load, use }: Decomposition,
): string | undefined | Promise<string | undefined> {
  const taken = (eigen: SymmetricEigen) => {
    if (eigen.failure === undefined) use(eigen.values, eigen.vectors);
    return eigen.failure;
  };
  if (order > LARGEST_SYNCHRONOUS_ORDER) {
    return workspace.lend(decompositionLength(order), async (block) => {
      const matrix = block.subarray(0, order ** 2);
      const work = block.subarray(order ** 2);
      load(matrix);
      return taken(await symmetricEigenAsync(matrix, order, { overwrite: true, work }));
    });
  }
  const matrix = scratch.matrix.subarray(0, order * order);
  load(matrix);
  return taken(symmetricEigen(matrix, order, { overwrite: true }));
}

/** Bytes of workspace that a decomposition borrows. */
export function decompositionBytes(order: number): number {
  return order > LARGEST_SYNCHRONOUS_ORDER ? 8 * decompositionLength(order) : 0;
}

function decompositionLength(order: number): number {
  return order ** 2 + symmetricEigenWork(order);
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
