/**
 * RMSprop [Tieleman & Hinton 2012], in PyTorch's convention.
 *
 *   s ← ρs + (1 − ρ)g²,   θ ← θ − η g/(√s + ε)
 *
 * | symbol | option         |
 * | ------ | -------------- |
 * | η      | `learningRate` |
 * | ρ      | `decay`        |
 * | ε      | `epsilon`      |
 *
 * Differs from the lecture: it has no weight decay and no ε; neither momentum nor a centred variant.
 */
import { requireNumber } from "../../errors.ts";
import { add, divide, multiply, sqrt, square } from "../../graph/index.ts";
import type { Optimizer } from "../optimizer.ts";
import { checkLearningRate, type LearningRate } from "../schedule.ts";
import { firstOrder } from "./first-order.ts";

export interface RmspropOptions {
  /** η, a number or a schedule; default 0.01. */
  readonly learningRate?: LearningRate;
  /** ρ; default 0.99. */
  readonly decay?: number;
  /** ε; default 1e-8. */
  readonly epsilon?: number;
  /** L2 penalty added to the gradient; default 0. */
  readonly weightDecay?: number;
}

/** RMSprop. @throws UsageError when a number is out of range */
export function rmsprop(options: RmspropOptions = {}): Optimizer {
  const { learningRate = 0.01, decay = 0.99, epsilon = 1e-8, weightDecay = 0 } = options;
  checkLearningRate(learningRate);
  requireNumber(decay >= 0 && decay < 1, "decay", decay, "in [0, 1)");
  requireNumber(epsilon > 0, "epsilon", epsilon, "> 0");
  requireNumber(weightDecay >= 0 && Number.isFinite(weightDecay), "weightDecay", weightDecay, ">= 0");
  return firstOrder("rmsprop", options, learningRate, {
    scaled: false,
    slots: ["meanSquare"],
    divisor: "meanSquare",
    scalars: (_, rate) => ({ learningRate: rate }),
    update({ parameter, gradient, slots, scalars }) {
      const g = weightDecay === 0 ? gradient : add(gradient, multiply(parameter, weightDecay));
      const meanSquare = add(multiply(slots.meanSquare, decay), multiply(square(g), 1 - decay));
      const scaled = divide(g, add(sqrt(meanSquare), epsilon));
      return { step: multiply(scaled, scalars.learningRate), slots: { meanSquare } };
    },
  });
}
