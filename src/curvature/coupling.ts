/** Σ, how strongly each pair of layers is coupled [Karakida20 eq. 15]. */
import { UsageError } from "../errors.ts";
import { lu } from "../linalg/index.ts";

/**
 * The coupling of L layers: `"identity"` (none), `"tridiagonal"` (ones for neighbours), `"ones"` (all, the exact Fisher) or
 * a symmetric L × L matrix.
 */
export type CouplingOption = "identity" | "tridiagonal" | "ones" | readonly (readonly number[])[];

const patterns = {
  identity: (distance: number) => (distance === 0 ? 1 : 0),
  tridiagonal: (distance: number) => (distance <= 1 ? 1 : 0),
  ones: () => 1,
} as const;

const MUST = "must be identity | tridiagonal | ones or a symmetric matrix";

/** @throws UsageError for an unknown name or a matrix that is not square, symmetric and finite */
export function checkCoupling(option: CouplingOption): void {
  const fault = faultOf(option);
  if (fault !== undefined) throw new UsageError(`invalid sigma: ${fault} (${MUST})`);
}

function faultOf(option: unknown): string | undefined {
  if (typeof option === "string") return Object.hasOwn(patterns, option) ? undefined : JSON.stringify(option);
  if (!Array.isArray(option) || !option.every(Array.isArray)) return String(option);
  for (const [i, row] of option.entries()) {
    if (row.length !== option.length) return `${option.length} rows, the ${i + 1}. of ${row.length} numbers`;
    for (const [j, value] of row.entries()) {
      if (!Number.isFinite(value)) return `${value} at (${i}, ${j})`;
      if (value !== option[j][i]) return `${value} at (${i}, ${j}) and ${option[j][i]} at (${j}, ${i})`;
    }
  }
  return undefined;
}

/** Σ for `layers` layers, row-major. @throws UsageError when it is of another order */
export function couplingMatrix(option: CouplingOption, layers: number): Float64Array {
  if (typeof option !== "string" && option.length !== layers) {
    const own = `${option.length} × ${option.length}`;
    throw new UsageError(
      `invalid sigma: ${own} (must be ${layers} × ${layers}, one row for each layer with parameters)`,
    );
  }
  return Float64Array.from({ length: layers * layers }, (_, k) => {
    const [i, j] = [Math.floor(k / layers), k % layers];
    return typeof option === "string" ? patterns[option](Math.abs(i - j)) : option[i][j];
  });
}

/** Whether Σ is the identity: no coupling at all. */
export function isIdentity(sigma: Float64Array, layers: number): boolean {
  return sigma.every((value, k) => value === (k % (layers + 1) === 0 ? 1 : 0));
}

/** @throws UsageError when Σ is singular and there is no damping to make up for it */
export function requireInvertible(sigma: Float64Array, layers: number, damping: number): void {
  if (damping > 0 || lu(sigma.slice(), layers).failure === undefined) return;
  throw new UsageError(
    `invalid damping: 0 (must be > 0, for sigma is singular with ${layers} layers; the block tri-diagonal one is whenever ` +
      "there are 3s + 2 layers, Lemma 4.3 of Karakida & Osawa 2020)",
  );
}
