/**
 * Orders of smallness, measured: how KL departs from its quadratic approximation, and how far the same step leads apart in two
 * parameterizations [Johnson17 §2 and §B].
 */
import { requireOption } from "../errors.ts";
import { squaredLength, steepestDescent } from "./geometry.ts";
import type { Family, Parameterization } from "./geometry-families.ts";

/** How large something is at a scale. */
export interface Scaled {
  readonly scale: number;
  readonly size: number;
}

/** One scale of a comparison of KL(θ‖θ + s t) with its quadratic approximation ½ s² tᵀF t. */
export interface QuadraticCheck extends Scaled {
  readonly divergence: number;
  readonly quadratic: number;
}

/** |KL(θ‖θ + s t) − ½ s² tᵀF(θ) t| at the scales s: O(s³). */
export function quadraticErrors(
  family: Pick<Family, "fisher" | "divergence">,
  theta: Float64Array,
  direction: Float64Array,
  scales: readonly number[],
): QuadraticCheck[] {
  const metric = family.fisher(theta);
  return scales.map((scale) => {
    const step = direction.map((value) => scale * value);
    const divergence = family.divergence(theta, plus(theta, step));
    const quadratic = squaredLength(metric, step);
    return { scale, divergence, quadratic, size: Math.abs(divergence - quadratic) };
  });
}

/**
 * How far apart, as √(2 KL), one step of steepest descent ends when it is taken in θ and in φ: of gradients −s ∇L, of natural
 * gradients −s F⁻¹∇L. O(s) for gradients, O(s²) for natural gradients, whose tangent J d' = d is the same.
 */
export function stepGaps(
  family: Family,
  other: Family,
  { fromOriginal, toOriginal }: Parameterization,
  theta: Float64Array,
  rule: "gradient" | "natural",
  scales: readonly number[],
): Scaled[] {
  const phi = fromOriginal(theta);
  const own = directionOf(family, theta, rule);
  const theirs = directionOf(other, phi, rule);
  return scales.map((scale) => {
    const end = plus(theta, own, -scale);
    const otherEnd = toOriginal(plus(phi, theirs, -scale));
    return { scale, size: Math.sqrt(2 * family.divergence(end, otherEnd)) };
  });
}

/** ∇L, or F⁻¹∇L, (P). */
export function directionOf(family: Family, theta: Float64Array, rule: "gradient" | "natural"): Float64Array {
  const gradient = family.gradient(theta);
  if (rule === "gradient") return gradient;
  const { direction, change } = steepestDescent(family.fisher(theta), gradient, 0.5);
  return direction.map((value) => value * change); // d = −x/√(gᵀx) and gᵀd = −√(gᵀx) with x = F⁻¹g
}

/**
 * p of size = c scaleᵖ, by least squares on the logarithms.
 *
 * @param points at least two scales, sizes > 0
 */
export function orderOf(points: readonly Scaled[]): number {
  requireOption(new Set(points.map(({ scale }) => scale)).size > 1, "points", points.length, "at least two");
  const logs = points.map(({ scale, size }) => [Math.log(scale), Math.log(size)]);
  const [meanX, meanY] = [0, 1].map((k) => logs.reduce((sum, pair) => sum + pair[k], 0) / logs.length);
  const spread = logs.reduce((sum, [x]) => sum + (x - meanX) ** 2, 0);
  return logs.reduce((sum, [x, y]) => sum + (x - meanX) * (y - meanY), 0) / spread;
}

/** θ + scale·d. */
export function plus(theta: Float64Array, direction: Float64Array, scale = 1): Float64Array {
  return theta.map((value, k) => value + scale * direction[k]);
}
