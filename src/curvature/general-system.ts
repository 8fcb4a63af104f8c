/** Solves a damped block whose matrix is not positive definite, or not symmetric, on the host, in float64. */
import { dampedLu, dampedLuAsync, luSolve, luSolveAsync } from "../linalg/index.ts";
import type { TypedArray } from "../tensor.ts";
import type { RefreshOutcome } from "./block.ts";
import { failed, LARGEST_SYNCHRONOUS_ORDER } from "./factorize.ts";

export interface GeneralSystem {
  /** A, (n, n). */
  readonly matrix: Float64Array;
  readonly order: number;
  /** λ. At 0 a singular A is refused. */
  readonly damping: number;
  /** Right-hand side b and where x of (A + λI) x = b goes. */
  readonly solve?: { readonly b: TypedArray; readonly x: TypedArray };
  /** Where (A + λI)⁻¹ goes, (n, n). */
  readonly inverse?: TypedArray;
}

/** Factorizes A + λI, with more damping where that fails, and writes what was asked for. */
export function solveGeneral(system: GeneralSystem): RefreshOutcome | Promise<RefreshOutcome> {
  return system.order <= LARGEST_SYNCHRONOUS_ORDER ? solveNow(system) : solveInBackground(system);
}

function solveNow({ matrix, order, damping, solve, inverse }: GeneralSystem): RefreshOutcome {
  const result = dampedLu(matrix, order, damping, damping === 0 ? 0 : undefined);
  if (result.failure !== undefined) return failed(damping, result.failure);
  for (const { b, x, columns } of rightHandSides(order, solve, inverse)) {
    if (!luSolve(result.factors, order, b, columns)) return failed(damping, NOT_FINITE);
    x.set(b);
  }
  return { damping: result.damping, retries: result.retries };
}

async function solveInBackground({
  matrix,
  order,
  damping,
  solve,
  inverse,
}: GeneralSystem): Promise<RefreshOutcome> {
  const result = await dampedLuAsync(matrix, order, damping, damping === 0 ? 0 : undefined);
  if (result.failure !== undefined) return failed(damping, result.failure);
  for (const { b, x, columns } of rightHandSides(order, solve, inverse)) {
    if (!(await luSolveAsync(result.factors, order, b, columns))) return failed(damping, NOT_FINITE);
    x.set(b);
  }
  return { damping: result.damping, retries: result.retries };
}

const NOT_FINITE = "the solution of a block is not finite";

/** The given right-hand side, and the identity for the inverse. */
function* rightHandSides(order: number, solve: GeneralSystem["solve"], inverse: TypedArray | undefined) {
  if (solve) yield { b: new Float64Array(solve.b), x: solve.x, columns: 1 };
  if (!inverse) return;
  const identity = new Float64Array(order * order);
  for (let k = 0; k < order; k++) identity[k * (order + 1)] = 1;
  yield { b: identity, x: inverse, columns: order };
}
