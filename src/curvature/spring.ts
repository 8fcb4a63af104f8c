/**
 * SPRING's momentum [Goldshlager24, arXiv 2401.10190]: of the solutions of Sφ ≈ ρ, the regularized one nearest
 * to μ times the direction before.
 *
 *   φ_k = argmin_φ (1/N) ‖Sφ − ρ‖² + λ‖φ − μφ_{k−1}‖²
 *       = μφ_{k−1} + (F + λI)⁻¹ (1/N) Sᵀ(ρ − μ S φ_{k−1})         fresh: another right-hand side
 *       = (F + λI)⁻¹ (g + λμφ_{k−1})                              stale, and Monte-Carlo, which has no ρ
 *
 * What earlier batches found out along directions that this batch knows nothing of is kept, shrunk by μ.
 *
 * | paper   | here           | shape  |                                            |
 * | ------- | -------------- | ------ | ------------------------------------------ |
 * | Ō       | S/√N           | (M, P) | score matrix, by the Fisher type           |
 * | ε̄       | ρ/√N           | (M)    | g = (1/N) Sᵀρ; ones for the empirical type |
 * | φ_{k−1} | `previousDirection` | (P) | zero at first                            |
 * | λ, μ    | damping, momentum   |     |                                          |
 *
 * Differs from the paper: the paper's ε is centred and its step −g; here φ is subtracted like every direction. Blocks of one
 * layer solve the layer's own least-squares problem.
 */
import { type LayerVector, type Scores, scoreProduct } from "../fisher/index.ts";
import { add, multiply, type SymbolicTensor, subtract } from "../graph/index.ts";
import type { CurvatureBlock } from "./block.ts";
import { whenReady } from "./ready.ts";

/** λ of the kept curvature, among the slots of such a block. */
const DAMPING = "carriedDamping";

/**
 * The block of some layers' scores, with what is carried over from the last direction.
 *
 * @param carried μφ_{k−1} by full parameter name; none without SPRING
 * @param build the block of given scores; its directions must be (F + λI)⁻¹ g for the residual, or the gradient, given
 */
export function carryingBlock(
  scores: Scores,
  carried: ReadonlyMap<string, SymbolicTensor> | undefined,
  build: (scores: Scores) => CurvatureBlock,
): CurvatureBlock {
  if (!carried) return build(scores);
  const { layers, residual } = scores;
  const { dtype } = layers[0].deltas;
  const before = layers.map(({ weight, bias }) => ({
    weight: carried.get(weight)!,
    bias: bias === undefined ? undefined : carried.get(bias),
  }));
  const explained = layers.map((layer, l) => scoreProduct(layer, before[l])).reduce(add);
  const block = build({ ...scores, residual: residual && subtract(residual, explained) });
  const { fresh, refresh } = block;
  return {
    ...block,
    refreshed: { ...block.refreshed, [DAMPING]: { shape: [], dtype } },
    refresh(slots, request) {
      return whenReady(refresh(slots, request), (outcome) => {
        slots[DAMPING][0] = outcome.damping;
        return outcome;
      });
    },
    fresh: fresh && ((slots) => combined(fresh(slots), before)),
    factored: false, // g + λμφ is no product of the batch's factors
    stale: (gradient, slots) => block.stale(combined(gradient, before, slots[DAMPING]), slots),
  };
}

/** a + factor·b, layer by layer. */
function combined(
  a: readonly LayerVector[],
  b: readonly LayerVector[],
  factor?: SymbolicTensor,
): LayerVector[] {
  const part = (x: SymbolicTensor, y: SymbolicTensor) => add(x, factor ? multiply(y, factor) : y);
  return a.map(({ weight, bias }, l) => ({
    weight: part(weight, b[l].weight),
    bias: bias && part(bias, b[l].bias!),
  }));
}
