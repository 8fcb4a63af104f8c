/**
 * Stochastic gradient descent with momentum, in PyTorch's convention [Sutskever et al. 2013].
 *
 *   v ← μv + g + wθ,   θ ← θ − ηv                     Nesterov: θ ← θ − η(g + wθ + μv)
 *
 * | symbol | option         |
 * | ------ | -------------- |
 * | η      | `learningRate` |
 * | μ      | `momentum`     |
 * | w      | `weightDecay`  |
 *
 * Differs from the paper: only in rounding, as the state holds ηv, rescaled when the learning rate changes, which
 * saves a pass over the parameters.
 */
import { requireNumber, requireOption } from "../../errors.ts";
import { add, multiply } from "../../graph/index.ts";
import type { Optimizer } from "../optimizer.ts";
import { checkLearningRate, type LearningRate, learningRateAt } from "../schedule.ts";
import { firstOrder } from "./first-order.ts";
import type { UpdateResult, UpdateRule } from "./rule.ts";

export interface MomentumOptions {
  /** μ; default 0. */
  readonly momentum?: number;
  /** Look ahead along the velocity; default false. */
  readonly nesterov?: boolean;
  /** w, the L2 penalty's factor; default 0. */
  readonly weightDecay?: number;
}

export interface SgdOptions extends MomentumOptions {
  /** η, a number or a schedule; default 0.1. */
  readonly learningRate?: LearningRate;
}

/** SGD, with momentum, Nesterov's look-ahead and weight decay. @throws UsageError when a number is out of range */
export function sgd(options: SgdOptions = {}): Optimizer {
  const { learningRate = 0.1 } = options;
  checkLearningRate(learningRate);
  return firstOrder("sgd", options, learningRate, momentumRule(options, learningRate));
}

/**
 * The rule shared by SGD and the natural-gradient methods, which put their direction in the gradient's place.
 *
 * The slot `velocity` holds ηv: with u = ηv the update is u ← μ(η/η₋)u + η(g + wθ), θ ← θ − u, η₋ the rate of the step
 * before, which spares a pass over the parameters.
 */
export function momentumRule(options: MomentumOptions, rate: LearningRate): UpdateRule {
  const { momentum = 0, nesterov = false, weightDecay = 0 } = options;
  requireNumber(momentum >= 0 && momentum < 1, "momentum", momentum, "in [0, 1)");
  requireNumber(weightDecay >= 0 && Number.isFinite(weightDecay), "weightDecay", weightDecay, ">= 0");
  requireOption(typeof nesterov === "boolean", "nesterov", nesterov, "true or false");
  requireOption(!nesterov || momentum > 0, "nesterov", nesterov, "false without momentum");
  const rescales = momentum > 0 && typeof rate !== "number";
  return {
    scaled: true,
    slots: momentum > 0 ? ["velocity"] : [],
    ...(momentum > 0 &&
      !nesterov &&
      weightDecay === 0 && {
        displacement: { slot: "velocity", carried: ({ rescale = 1 }) => momentum * rescale },
      }),
    scalars(step, learningRate): Readonly<Record<string, number>> {
      if (!rescales) return { learningRate };
      const before = step === 0 ? learningRate : learningRateAt(rate, step - 1);
      return { learningRate, rescale: before === 0 ? 0 : learningRate / before };
    },
    update({ parameter, gradient, slots, scalars }): UpdateResult {
      const decay = multiply(scalars.learningRate, weightDecay);
      const decayed = weightDecay === 0 ? gradient : add(gradient, multiply(parameter, decay));
      if (momentum === 0) return { step: decayed, slots: {} };
      const carried = multiply(slots.velocity, rescales ? multiply(scalars.rescale, momentum) : momentum);
      const velocity = add(carried, decayed);
      const step = nesterov ? add(decayed, multiply(velocity, momentum)) : velocity;
      return { step, slots: { velocity } };
    },
  };
}
