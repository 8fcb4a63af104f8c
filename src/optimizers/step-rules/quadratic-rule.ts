/**
 * Learning rate and momentum from the quadratic model [Martens15 §6.4 and §7].
 *
 * The step is d = −u, u = αΔ + μu₀ with Δ the direction and u₀ the step before; (α, μ) minimize
 *
 *   M(d) = L + ĝᵀd + ½ dᵀA d,   ĝ = g + wθ,   A = F + (λ + w)I
 *
 *   | ΔᵀAΔ   ΔᵀAu₀  | |α|   |ĝᵀΔ |
 *   | ΔᵀAu₀  u₀ᵀAu₀ | |μ| = |ĝᵀu₀|
 *
 * F is exact and couples all layers, even where the direction came from an approximation: on a quadratic loss with λ = 0
 * these are the preconditioned conjugate gradients [Martens15 §7]. Without momentum α = ĝᵀΔ / ΔᵀAΔ.
 *
 * | symbol | here                                                                            |
 * | ------ | ------------------------------------------------------------------------------- |
 * | Δ      | `direction`: the natural-gradient direction, plus wθ                            |
 * | u₀     | the slot `velocity`: what the last accepted step subtracted from the parameters |
 * | λ      | `modelDamping`: the damping that the curvature in use was refreshed with        |
 *
 * Differs from the paper: Δ is (F̃ + λI)⁻¹g + wθ, the update of all methods here, not (F̃ + λI)⁻¹(g + wθ); the system
 * is scaled to a unit diagonal, and where Δ and u₀ are parallel to rounding, or u₀ is zero, α alone is chosen.
 */
import {
  add,
  divide,
  greater,
  input,
  maximum,
  multiply,
  type SymbolicTensor,
  sqrt,
  subtract,
  sum,
  where,
} from "../../graph/index.ts";
import type { UpdateResult, UpdateRule } from "../first-order/rule.ts";
import type { Directions } from "../natural/directions.ts";
import type { Problem } from "../optimizer.ts";
import type { TracedBatch } from "../program/traced-batch.ts";
import { curvatureBetween, outputChange, slopeAlong } from "./output-change.ts";

/** The rule u = αΔ + μu₀ with coefficients that the program itself computes. */
export function quadraticRule(momentum: boolean): UpdateRule {
  return {
    scaled: false,
    slots: momentum ? ["velocity"] : [],
    scalars: () => ({}),
    update({ gradient, slots, scalars }) {
      const along = multiply(gradient, scalars.alpha);
      const step = momentum ? add(along, multiply(slots.velocity, scalars.mu)) : along;
      const velocity: UpdateResult["slots"] = momentum ? { velocity: step } : {};
      return { step, slots: velocity };
    },
  };
}

/** Coefficients of a step, scalars. */
export interface Chosen {
  readonly alpha: SymbolicTensor;
  readonly mu: SymbolicTensor;
}

/**
 * Traces (α, μ), and J u of the step that they make.
 *
 * @param direction Δ
 * @param before u₀; absent without momentum
 */
export function traceCoefficients(
  problem: Problem,
  traced: TracedBatch,
  weightDecay: number,
  direction: Directions,
  before: Directions | undefined,
): { readonly chosen: Chosen; readonly change: SymbolicTensor } {
  const { dtype } = problem;
  const ridge = add(input("modelDamping", [], dtype), weightDecay);
  const product = (d: Directions, e: Directions, dChange: SymbolicTensor, eChange: SymbolicTensor) =>
    add(curvatureBetween(problem, traced, dChange, eChange), multiply(inner(d, e), ridge));
  const descent = (d: Directions, change: SymbolicTensor) => {
    const slope = slopeAlong(problem, traced, change);
    return weightDecay === 0 ? slope : add(slope, multiply(inner(d, traced.parameters), weightDecay));
  };

  const tiny = dtype === "float64" ? 1e-300 : 1e-37;
  const change = outputChange(traced, direction);
  const scale = sqrt(maximum(product(direction, direction, change, change), tiny));
  const target = divide(descent(direction, change), scale);
  if (!before) {
    const alpha = divide(target, scale);
    return { chosen: { alpha, mu: multiply(alpha, 0) }, change: multiply(change, alpha) };
  }
  const changeBefore = outputChange(traced, before);
  const scaleBefore = sqrt(maximum(product(before, before, changeBefore, changeBefore), tiny));
  const targetBefore = divide(descent(before, changeBefore), scaleBefore);
  const mixed = product(direction, before, change, changeBefore);
  const cosine = divide(divide(mixed, scale), scaleBefore);
  const sineSquared = subtract(1, multiply(cosine, cosine));
  const independent = greater(sineSquared, dtype === "float64" ? 1e-13 : 1e-5);
  const solved = divide(subtract(targetBefore, multiply(cosine, target)), where(independent, sineSquared, 1));
  const scaledMu = where(independent, solved, 0);
  const alpha = divide(subtract(target, multiply(cosine, scaledMu)), scale);
  const mu = divide(scaledMu, scaleBefore);
  return { chosen: { alpha, mu }, change: add(multiply(change, alpha), multiply(changeBefore, mu)) };
}

/** Σ ⟨d, e⟩ over all parameters. */
function inner(
  d: ReadonlyMap<string, SymbolicTensor>,
  e: ReadonlyMap<string, SymbolicTensor>,
): SymbolicTensor {
  return [...d].map(([name, node]) => sum(multiply(node, e.get(name)!))).reduce(add);
}
