/**
 * Directions beside the exact one, by the quadratic model of the loss around θ
 *
 *   q(d) = −gᵀd + ½ dᵀ(F + λI)d,   smallest at d* = (F + λI)⁻¹g, where q = −½ gᵀd*
 *
 * All inner products come from S d and d: dᵀFd' = (1/N)(S d)·(S d').
 */
import type { DirectionComparison } from "./inspection.ts";
import { type ScoreRows, scoreProduct } from "./score-rows.ts";

/** What directions are compared with. */
export interface Reference {
  readonly scores: ScoreRows;
  readonly damping: number;
  /** g, (P). */
  readonly gradient: Float64Array;
  /** d*, (P). */
  readonly direction: Float64Array;
  /** S d*, (M). */
  readonly product: Float64Array;
}

/** The exact direction's decrease, ½ gᵀd*. */
export function exactDecrease({ gradient, direction }: Reference): number {
  return dot(gradient, direction) / 2;
}

export function compareDirection(
  reference: Reference,
  direction: Float64Array,
  about: Pick<DirectionComparison, "name" | "damping" | "note">,
): DirectionComparison {
  const { scores, damping, gradient } = reference;
  const product = scoreProduct(scores, direction);
  const metric = (x: Float64Array, sx: Float64Array, y: Float64Array, sy: Float64Array) =>
    dot(sx, sy) / scores.samples + damping * dot(x, y);
  const own = metric(direction, product, direction, product);
  const exact = metric(reference.direction, reference.product, reference.direction, reference.product);
  const mixed = metric(direction, product, reference.direction, reference.product);
  const slope = dot(gradient, direction);
  const lengths = [norm(direction), norm(reference.direction)];
  return {
    ...about,
    cosine: dot(direction, reference.direction) / (lengths[0] * lengths[1]),
    metricCosine: mixed / Math.sqrt(own * exact),
    lengthRatio: lengths[0] / lengths[1],
    decrease: slope - own / 2,
    bestMultiple: slope / own,
    bestDecrease: slope ** 2 / (2 * own),
  };
}

export function norm(x: Float64Array): number {
  return Math.sqrt(dot(x, x));
}

function dot(x: Float64Array, y: Float64Array): number {
  let total = 0;
  for (let k = 0; k < x.length; k++) total += x[k] * y[k];
  return total;
}
