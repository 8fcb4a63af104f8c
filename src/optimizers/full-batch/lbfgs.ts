/**
 * L-BFGS [Liu & Nocedal 1989; Nocedal & Wright, 2nd ed., algorithms 7.4 and 7.5].
 *
 *   d = −H g,   θ' = θ + αd,   s = θ' − θ,   y = g' − g,   g and g' on the same batch
 *
 * with H of the last m pairs (s, y), `limited-memory.ts`, and α by a line search, `line-search.ts`. With `powell` a pair is
 * damped, so that every step teaches something positive definite [Powell 1978; Nocedal & Wright, procedure 18.2]:
 *
 *   y ← φy + (1 − φ)Bs,   φ = 1 where sᵀy ≥ ⅕ sᵀBs, else ⅘ sᵀBs / (sᵀBs − sᵀy),   Bs = −αg, for B d = −g
 *
 * | symbol | option         |
 * | ------ | -------------- |
 * | m      | `memory`       |
 * | α      | `learningRate`: the first step tried, or every step without a line search |
 *
 * Differs from the papers: both gradients of a pair are of one batch [as in oLBFGS, Schraudolph, Yu & Günter 2007],
 * which on full batches is the same thing; where no step along d lowers the loss, the pairs are forgotten and −g is
 * tried; before there are pairs the direction is −g, shortened to length 1 in the 1-norm where it is longer.
 */
import { requireOption } from "../../errors.ts";
import type { Optimizer } from "../optimizer.ts";
import { requireMethodOptions } from "../option-names.ts";
import { checkLearningRate, type LearningRate } from "../schedule.ts";
import { LbfgsMethod } from "./lbfgs-method.ts";

export interface LbfgsOptions {
  /** The first step tried, or every step without a line search; a number or a schedule, default 1. */
  readonly learningRate?: LearningRate;
  /** m, the pairs kept; default 10. */
  readonly memory?: number;
  /** How the step's length is found; default `"strong-wolfe"`. */
  readonly lineSearch?: LineSearchName;
  /** Whether pairs are damped; default false: without positive curvature a pair is left out. */
  readonly powell?: boolean;
}

export type LineSearchName = "strong-wolfe" | "armijo" | "none";

const lineSearches: readonly LineSearchName[] = ["strong-wolfe", "armijo", "none"];

/** L-BFGS, for full or large batches. @throws UsageError when an option is misspelt or out of range */
export function lbfgs(options: LbfgsOptions = {}): Optimizer {
  requireMethodOptions("lbfgs", options);
  const { learningRate = 1, memory = 10, lineSearch = "strong-wolfe", powell = false } = options;
  checkLearningRate(learningRate);
  requireOption(Number.isInteger(memory) && memory > 0, "memory", memory, "a positive integer");
  requireOption(lineSearches.includes(lineSearch), "lineSearch", lineSearch, lineSearches.join(" | "));
  requireOption(typeof powell === "boolean", "powell", powell, "true or false");
  const settings = { learningRate, memory, lineSearch, powell };
  return { name: "lbfgs", options, start: async (problem) => new LbfgsMethod(problem, settings) };
}
