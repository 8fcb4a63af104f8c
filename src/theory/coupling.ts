/**
 * Layers weighted by their coupling: Σ⁻¹1 and α = 1ᵀΣ⁻¹1 [Karakida20 eq. 15, Corollary 4.2].
 *
 * In function space a layer-wise metric is Θ̄ = Σ_l (Σ⁻¹1)_l Θ_l(x', x) Θ_l⁻¹, so these L numbers are all there is to it; α is the
 * factor that Θ̄ is of the identity at the training points, and 1/α the learning rate that fits them in one step.
 *
 * | coupling        | Σ⁻¹1                             | α                                        |
 * | --------------- | -------------------------------- | ---------------------------------------- |
 * | `"ones"`        | singular: the exact Fisher, which has Θ̄ = Θ(x', x)Θ⁻¹ | 1                   |
 * | `"identity"`    | 1                                | L                                        |
 * | `"tridiagonal"` | Σ_lk = 1 for |l − k| ≤ 1         | s for L = 3s, s + 1 for L = 3s + 1 (Lemma 4.3) |
 * | a matrix        | by LU                            | 1ᵀΣ⁻¹1                                   |
 *
 * Differs from the paper: none.
 */
import { type CouplingOption, checkCoupling, couplingMatrix } from "../curvature/coupling.ts";
import { UsageError } from "../errors.ts";
import { lu, luSolve } from "../linalg/index.ts";

export type { CouplingOption };

export interface CouplingWeights {
  /** Σ⁻¹1, one number for each layer. */
  readonly weights: Float64Array;
  /** 1ᵀΣ⁻¹1. */
  readonly alpha: number;
}

/**
 * Σ⁻¹1 and its sum.
 *
 * @throws UsageError when Σ is singular, as the block tri-diagonal one of 3s + 2 layers, is of another order, or has α = 0
 */
export function couplingWeights(option: CouplingOption, layers: number): CouplingWeights {
  checkCoupling(option);
  if (option === "ones" && layers > 1) {
    throw new UsageError("invalid sigma: ones (it is the exact Fisher: use exactDynamics)");
  }
  const sigma = couplingMatrix(option, layers);
  const factors = lu(sigma, layers);
  if (factors.failure !== undefined) {
    throw new UsageError(
      `invalid sigma: singular with ${layers} layers (the block tri-diagonal one is whenever there are 3s + 2 layers, Lemma 4.3 ` +
        "of Karakida & Osawa 2020)",
    );
  }
  const weights = new Float64Array(layers).fill(1);
  luSolve(factors, layers, weights);
  const alpha = weights.reduce((sum, weight) => sum + weight, 0);
  const scale = weights.reduce((sum, weight) => sum + Math.abs(weight), 0);
  if (Math.abs(alpha) <= layers * Number.EPSILON * scale) {
    throw new UsageError(
      "invalid sigma: the numbers of Σ⁻¹1 add up to 0 (its steps leave the training outputs alone)",
    );
  }
  return { weights, alpha };
}

/** α = 1ᵀΣ⁻¹1. @throws UsageError as {@link couplingWeights} */
export function isotropyFactor(option: CouplingOption, layers: number): number {
  return option === "ones" ? 1 : couplingWeights(option, layers).alpha;
}
