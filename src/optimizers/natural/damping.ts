/**
 * Damping policies.
 *
 * Levenberg-Marquardt [Martens15 §6.5]: every k steps the reduction ratio ρ = (L(θ + d) − L(θ)) / q(d) of the step d
 * just taken is measured, q(d) = gᵀd + ½ dᵀFd with the exact coupling of all layers; λ ← ωᵏλ if ρ > ¾, λ ← ω⁻ᵏλ if
 * ρ < ¼. A step that would raise the loss is taken back. Differs from the paper: q leaves the damping out, so that ρ
 * judges the Fisher matrix alone.
 */
import { everyKeyOf, requireKnown, requireNumber, requireOption } from "../../errors.ts";

export type DampingOption =
  | number
  | {
      readonly policy: "constant" | "levenberg-marquardt";
      /** λ of the first step. */
      readonly initial: number;
      /** Steps between adaptations; default 5. */
      readonly every?: number;
      /** ω; default 19/20. */
      readonly factor?: number;
      /** Bounds of λ; default 1e-12 and 1e6. */
      readonly minimum?: number;
      readonly maximum?: number;
    };

const policyOptions = everyKeyOf<Exclude<DampingOption, number>>()([
  ...(["policy", "initial", "every", "factor", "minimum", "maximum"] as const),
]);

export interface DampingPolicy {
  readonly initial: number;
  /** Steps between adaptations; 0 when the damping never changes. */
  readonly every: number;
  /** λ after a reduction ratio was measured. */
  adapt(damping: number, reductionRatio: number): number;
}

/** @throws UsageError when a number is out of range */
export function dampingPolicy(option: DampingOption): DampingPolicy {
  const isPolicy = typeof option === "object" && option !== null;
  const known = typeof option === "number" || isPolicy;
  requireOption(known, "damping", option, "a number > 0 or { policy, … }");
  if (isPolicy) requireKnown(option, policyOptions, "damping");
  const settings = typeof option === "number" ? { policy: "constant" as const, initial: option } : option;
  const { policy, initial, every = 5, factor = 19 / 20, minimum = 1e-12, maximum = 1e6 } = settings;
  const policies = ["constant", "levenberg-marquardt"];
  requireOption(policies.includes(policy), "damping policy", policy, policies.join(" | "));
  requireOption(
    Number.isFinite(initial) && initial >= 0,
    "damping",
    initial,
    ">= 0; 0 only where no block is singular",
  );
  if (policy === "constant") return { initial, every: 0, adapt: (damping) => damping };
  requireOption(initial > 0, "damping", initial, "> 0 for levenberg-marquardt");
  requireNumber(Number.isInteger(every) && every > 0, "damping every", every, "a positive integer");
  requireNumber(factor > 0 && factor < 1, "damping factor", factor, "in (0, 1)");
  requireNumber(minimum > 0 && minimum <= maximum, "damping minimum", minimum, "> 0 and at most the maximum");
  return {
    initial,
    every,
    adapt(damping, ratio) {
      // A ratio that is not a number (the model predicts no change at all) is no evidence against the model.
      const change = ratio > 0.75 ? factor ** every : ratio < 0.25 ? factor ** -every : 1;
      return Math.min(maximum, Math.max(minimum, damping * change));
    },
  };
}
