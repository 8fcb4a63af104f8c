/**
 * Trust region in the Fisher metric: a step d is scaled by s = min(1, √(2ε / dᵀFd)), so that ½ dᵀFd ≤ ε, to second order
 * the divergence that it causes [Schulman15 App. C; Ba17].
 *
 * An adaptive radius follows the reduction ratio ρ = (L(θ + d) − L(θ)) / (gᵀd + ½ dᵀFd) [Nocedal & Wright 2006,
 * Algorithm 4.1]. The paper's radius is a length Δ = √(2ε), so that its ¼ and 2 are 1/16 and 4 here:
 *
 *   ρ < ¼                    ε ← ½ dᵀFd / 16
 *   ρ > ¾ and s < 1          ε ← min(4ε, maximum)
 *
 * Differs from the algorithm: d minimizes the model only as far as the method's direction does; a quarter of the step's own
 * length replaces a quarter of Δ, so that one bad step is enough to shorten the next; a step is taken back when it raises
 * the loss (the algorithm's η = 0).
 */
import { requireKnown, requireNumber, requireOption } from "../../errors.ts";
import { divide, input, maximum, minimum, multiply, type SymbolicTensor, sqrt } from "../../graph/index.ts";
import type { Problem } from "../optimizer.ts";

/** ε of every step, or where it starts from when it adapts. */
export type TrustRegionOption =
  | number
  | {
      readonly initial: number;
      /** Bounds of ε; default 1e-12 and 1e6. */
      readonly minimum?: number;
      readonly maximum?: number;
    };

/** What is known of a step when its radius is judged. */
export interface JudgedStep {
  /** ρ. */
  readonly ratio: number;
  /** ½ dᵀFd. */
  readonly divergence: number;
  /** Whether the radius shortened the step. */
  readonly bounded: boolean;
}

export interface TrustRegion {
  readonly initial: number;
  readonly adaptive: boolean;
  /** ε after a step. */
  adapt(radius: number, step: JudgedStep): number;
}

/** @throws UsageError when a radius or a bound is out of range */
export function trustRegionPolicy(option: TrustRegionOption): TrustRegion {
  const adaptive = typeof option === "object" && option !== null;
  const { initial, minimum = 1e-12, maximum = 1e6 } = adaptive ? option : { initial: option };
  requireOption(Number.isFinite(initial) && initial > 0, "trustRegion", initial, "> 0");
  if (!adaptive) return { initial, adaptive, adapt: (radius) => radius };
  requireKnown(option, ["initial", "minimum", "maximum"] satisfies (keyof typeof option)[], "trustRegion");
  requireNumber(minimum > 0 && minimum <= initial, "trustRegion minimum", minimum, "> 0 and at most initial");
  requireNumber(maximum >= initial && maximum < Infinity, "trustRegion maximum", maximum, "at least initial");
  return {
    initial,
    adaptive,
    adapt(radius, { ratio, divergence, bounded }) {
      // A ratio that is not a number (the model predicts no change at all) is no evidence against the model.
      if (ratio < 0.25) return Math.max(minimum, Math.min(radius, divergence) / 16);
      return ratio > 0.75 && bounded ? Math.min(maximum, 4 * radius) : radius;
    },
  };
}

/** Traces s, from dᵀFd. */
export function traceTrustScale({ dtype }: Problem, curvature: SymbolicTensor): SymbolicTensor {
  const radius = input("trustRadius", [], dtype);
  const tiny = dtype === "float64" ? 1e-300 : 1e-37;
  return minimum(sqrt(divide(multiply(radius, 2), maximum(curvature, tiny))), 1);
}
