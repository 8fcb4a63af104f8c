/**
 * The BFGS update of an inverse Hessian, traced: one product of width 2 that is added to H in one pass.
 *
 *   H⁺ = H + w s sᵀ − ρ (p sᵀ + s pᵀ) = H + [s p] [w s − ρp, −ρs]ᵀ,   p = Hy, ρ = 1/sᵀy, w = ρ + ρ² yᵀp
 *
 * Nocedal & Wright, 2nd ed., eq. 6.17. H is positive semidefinite, so its diagonal bounds all elements: it is kept beside H, and
 * an update that would leave it anything but positive and finite is left out.
 */
import {
  add,
  concatenate,
  divide,
  less,
  matmul,
  max,
  multiply,
  negate,
  reshape,
  type SymbolicTensor,
  scalar,
  square,
  subtract,
  sum,
  where,
} from "../graph/index.ts";

/** H (n, n) and its diagonal (n, 1). */
export interface TracedInverse {
  readonly inverse: SymbolicTensor;
  readonly diagonal: SymbolicTensor;
}

/** Elements beyond it count as infinite; in float64 too, as everywhere here. */
const LARGEST = 3e38;

/** H updated by the pair s, y, (n, 1) each; H as it is where sᵀy is not positive or the result would not be finite. */
export function traceInverseUpdate(
  { inverse, diagonal }: TracedInverse,
  s: SymbolicTensor,
  y: SymbolicTensor,
): TracedInverse {
  const p = matmul(inverse, y);
  const product = (a: SymbolicTensor, b: SymbolicTensor) => reshape(matmul(a, b, { transposeA: true }), []);
  const rho = divide(1, product(s, y));
  const weight = add(rho, multiply(square(rho), product(y, p)));
  const right = subtract(multiply(s, weight), multiply(p, rho));
  const next = add(diagonal, subtract(multiply(s, right), multiply(multiply(p, s), rho)));
  const [one, zero] = [scalar(1, s.dtype), scalar(0, s.dtype)];
  // Sums hand a NaN on, which is not less than anything; a reduction by the largest need not.
  const conditions = [
    less(0, rho),
    less(weight, LARGEST),
    less(max(negate(next)), 0),
    less(sum(next), LARGEST),
  ];
  const accepted = less(0, conditions.map((condition) => where(condition, one, zero)).reduce(multiply));
  const left = concatenate([s, p], 1);
  const update = concatenate([right, negate(multiply(s, rho))], 1);
  return {
    inverse: add(matmul(where(accepted, left, 0), where(accepted, update, 0), { transposeB: true }), inverse),
    diagonal: where(accepted, next, diagonal),
  };
}
