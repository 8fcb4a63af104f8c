/**
 * Natural gradient = Fisher type × structure × solver × damping policy × step rule.
 *
 *   δθ = (F̃ + λI)⁻¹ g,   v ← μv + δθ + wθ,   θ ← θ − ηv
 *
 * KL clipping scales δθ by ν = min(1, √(κ / (η² Σ_l ⟨δθ_l, g_l⟩))) [Ba et al. 2017].
 */

import { checkSolver, type SolverOption } from "../curvature/solver.ts";
import type { Structure } from "../curvature/structure.ts";
import { requireOption } from "../errors.ts";
import { type FisherOption, parseFisher } from "../fisher/index.ts";
import { type DampingOption, dampingPolicy } from "./damping.ts";
import { NaturalMethod } from "./natural-method.ts";
import type { Optimizer } from "./optimizer.ts";
import { checkLearningRate, type LearningRate } from "./schedule.ts";
import { type MomentumOptions, momentumRule } from "./sgd.ts";

export interface NaturalOptions extends MomentumOptions {
  /** η, a number or a schedule; default the preset's. */
  readonly learningRate?: LearningRate;
  /** λ, a number or a policy; default the preset's. */
  readonly damping?: DampingOption;
  /** Whose targets the scores are taken at. */
  readonly fisher?: FisherOption;
  /** How each block is solved; default `"auto"`. */
  readonly solver?: SolverOption;
  /** Steps between refreshes of the curvature; default 1. */
  readonly refreshEvery?: number;
  /** κ, the bound on η²⟨δθ, g⟩, twice the KL divergence of a step to second order; default none. */
  readonly klClip?: number;
}

/**
 * Assembles a natural-gradient optimizer from its parts.
 *
 * @throws UsageError when an option is out of range or two do not go together
 */
export function naturalGradient(
  name: string,
  structure: Structure,
  options: NaturalOptions,
  defaults: Required<Pick<NaturalOptions, "fisher" | "damping" | "learningRate">>,
): Optimizer {
  const { solver = "auto", refreshEvery = 1, klClip, learningRate = defaults.learningRate } = options;
  const fisher = parseFisher(options.fisher ?? defaults.fisher);
  const damping = dampingPolicy(options.damping ?? defaults.damping);
  checkLearningRate(learningRate);
  checkSolver(solver);
  requireOption(
    Number.isInteger(refreshEvery) && refreshEvery > 0,
    "refreshEvery",
    refreshEvery,
    "a positive integer",
  );
  requireOption(klClip === undefined || klClip > 0, "klClip", klClip, "> 0");
  const needsDamping = refreshEvery > 1 || fisher.type === "monte-carlo";
  requireOption(
    damping.initial > 0 || !needsDamping,
    "damping",
    damping.initial,
    "> 0 with refreshEvery above 1 or the monte-carlo Fisher",
  );
  const settings = {
    structure,
    fisher,
    solver,
    damping,
    refreshEvery,
    klClip,
    rule: momentumRule(options, learningRate),
    learningRate,
  };
  return { name, options, start: async (problem) => new NaturalMethod(problem, settings) };
}
