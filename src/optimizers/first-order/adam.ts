/**
 * Adam [Kingma & Ba 2015, Algorithm 1] and AdamW [Loshchilov & Hutter 2019, Algorithm 2].
 *
 *   m ← β₁m + (1 − β₁)g,   s ← β₂s + (1 − β₂)g²
 *   θ ← θ − η/(1 − β₁ᵗ) · m / (√s/√(1 − β₂ᵗ) + ε)          t = 1, 2, …
 *   AdamW subtracts ηwθ as well; Adam adds wθ to the gradient instead.
 *
 * | symbol | option         | slot       |
 * | ------ | -------------- | ---------- |
 * | η      | `learningRate` |            |
 * | β₁, β₂ | `beta1`, `beta2` |          |
 * | ε      | `epsilon`      |            |
 * | w      | `weightDecay`  |            |
 * | m, s   |                | `mean`, `meanSquare` |
 *
 * Differs from the papers: AdamW's decay is multiplied by η itself, as in PyTorch, in the paper by the schedule's
 * factor alone; no AMSGrad variant.
 */
import { requireNumber } from "../../errors.ts";
import { add, divide, multiply, sqrt, square } from "../../graph/index.ts";
import type { Optimizer } from "../optimizer.ts";
import { checkLearningRate, type LearningRate } from "../schedule.ts";
import { firstOrder } from "./first-order.ts";
import type { UpdateRule } from "./rule.ts";

export interface AdamOptions {
  /** η, a number or a schedule; default 0.01. */
  readonly learningRate?: LearningRate;
  /** β₁; default 0.9. */
  readonly beta1?: number;
  /** β₂; default 0.999. */
  readonly beta2?: number;
  /** ε; default 1e-8. */
  readonly epsilon?: number;
  /** w; default 0 for Adam (L2 penalty), 0.01 for AdamW (decoupled). */
  readonly weightDecay?: number;
}

/** Adam, with weight decay as an L2 penalty. @throws UsageError when a number is out of range */
export function adam(options: AdamOptions = {}): Optimizer {
  const { learningRate = DEFAULT_LEARNING_RATE, weightDecay = 0 } = options;
  const rule = adamRule({ ...options, learningRate, weightDecay }, false);
  return firstOrder("adam", options, learningRate, rule);
}

/** AdamW, with decoupled weight decay. @throws UsageError when a number is out of range */
export function adamw(options: AdamOptions = {}): Optimizer {
  const { learningRate = DEFAULT_LEARNING_RATE, weightDecay = 0.01 } = options;
  const rule = adamRule({ ...options, learningRate, weightDecay }, true);
  return firstOrder("adamw", options, learningRate, rule);
}

const DEFAULT_LEARNING_RATE = 0.01;

type CheckedAdamOptions = AdamOptions & Required<Pick<AdamOptions, "learningRate" | "weightDecay">>;

/**
 * The rule shared by Adam and the methods that leave some parameters to it.
 *
 * @param decoupled AdamW's weight decay in place of an L2 penalty
 * @throws UsageError when a number is out of range
 */
export function adamRule(options: CheckedAdamOptions, decoupled: boolean): UpdateRule {
  const { beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8, weightDecay } = options;
  checkLearningRate(options.learningRate);
  requireNumber(beta1 >= 0 && beta1 < 1, "beta1", beta1, "in [0, 1)");
  requireNumber(beta2 >= 0 && beta2 < 1, "beta2", beta2, "in [0, 1)");
  requireNumber(epsilon > 0, "epsilon", epsilon, "> 0");
  requireNumber(weightDecay >= 0 && Number.isFinite(weightDecay), "weightDecay", weightDecay, ">= 0");
  return {
    scaled: false,
    slots: ["mean", "meanSquare"],
    divisor: "meanSquare",
    scalars: (step, learningRate) => ({
      stepSize: learningRate / (1 - beta1 ** (step + 1)),
      inverseCorrection: 1 / Math.sqrt(1 - beta2 ** (step + 1)),
      shrinkage: learningRate * weightDecay,
    }),
    update({ parameter, gradient, slots, scalars }) {
      const penalized = weightDecay > 0 && !decoupled;
      const g = penalized ? add(gradient, multiply(parameter, weightDecay)) : gradient;
      const mean = add(multiply(slots.mean, beta1), multiply(g, 1 - beta1));
      const meanSquare = add(multiply(slots.meanSquare, beta2), multiply(square(g), 1 - beta2));
      const scale = add(multiply(sqrt(meanSquare), scalars.inverseCorrection), epsilon);
      const adaptive = divide(multiply(mean, scalars.stepSize), scale);
      const step =
        weightDecay > 0 && decoupled ? add(adaptive, multiply(parameter, scalars.shrinkage)) : adaptive;
      return { step, slots: { mean, meanSquare } };
    },
  };
}
