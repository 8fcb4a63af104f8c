/**
 * Natural gradient = Fisher type × structure × solver × damping policy × step rule.
 *
 *   δθ = (F̃ + λI)⁻¹ g,   v ← μv + δθ + wθ,   θ ← θ − ηv
 *
 * KL clipping scales δθ by ν = min(1, √(κ / (η² Σ_l ⟨δθ_l, g_l⟩))) [Ba et al. 2017]. Other step rules: `step-rule.ts`.
 */

import { checkSolver, type SolverOption, solverName } from "../../curvature/solver.ts";
import type { Structure } from "../../curvature/structure.ts";
import { requireNumber, requireOption } from "../../errors.ts";
import { type FisherOption, parseFisher } from "../../fisher/index.ts";
import type { UpdateRule } from "../first-order/rule.ts";
import { type MomentumOptions, momentumRule } from "../first-order/sgd.ts";
import type { Optimizer } from "../optimizer.ts";
import { type MethodName, requireMethodOptions } from "../option-names.ts";
import { checkLearningRate, type LearningRate } from "../schedule.ts";
import { quadraticRule } from "../step-rules/quadratic-rule.ts";
import { parseStepRule, type StepRuleOption } from "../step-rules/step-rule.ts";
import { type DampingOption, dampingPolicy } from "./damping.ts";
import { NaturalMethod, type NaturalSettings } from "./natural-method.ts";

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
  /** How a direction becomes a step: coefficients, trust region, rejection; default `"given"`. */
  readonly stepRule?: StepRuleOption;
}

/** Options of the structures whose blocks are solved exactly from their score matrices. */
export interface CarryingOptions extends NaturalOptions {
  /**
   * `"heavy-ball"`, the velocity of the update above, or `"spring"`: the last direction, times μ, is where the next least-
   * squares problem starts from [Goldshlager24]; μ is then 0.99 by default. Default `"heavy-ball"`.
   */
  readonly momentumRule?: "heavy-ball" | "spring";
}

/** μ of SPRING [Goldshlager24 §5]. */
const SPRING_MOMENTUM = 0.99;

/**
 * Assembles a natural-gradient optimizer from its parts.
 *
 * @throws UsageError when an option is misspelt or out of range, or two do not go together
 */
export function naturalGradient(
  name: MethodName,
  structure: Structure,
  options: CarryingOptions,
  defaults: Required<Pick<NaturalOptions, "fisher" | "damping" | "learningRate">>,
): Optimizer {
  const { solver = "auto", refreshEvery = 1, klClip } = options;
  const { learningRate = defaults.learningRate } = options;
  const fisher = parseFisher(options.fisher === undefined ? defaults.fisher : options.fisher);
  const damping = dampingPolicy(options.damping === undefined ? defaults.damping : options.damping);
  checkLearningRate(learningRate);
  checkSolver(solver);
  requireOption(
    Number.isInteger(refreshEvery) && refreshEvery > 0,
    "refreshEvery",
    refreshEvery,
    "a positive integer",
  );
  if (klClip !== undefined) requireNumber(klClip > 0, "klClip", klClip, "> 0");
  const needsDamping = refreshEvery > 1 || fisher.type === "monte-carlo";
  requireOption(
    damping.initial > 0 || !needsDamping,
    "damping",
    damping.initial,
    "> 0 with refreshEvery above 1 or the monte-carlo Fisher",
  );
  const settings: NaturalSettings = {
    structure,
    fisher,
    solver,
    damping,
    refreshEvery,
    klClip,
    learningRate,
    ...updateParts(structure, { ...options, solver, learningRate }),
  };
  requireMethodOptions(name, options);
  return { name, options, start: async (problem) => new NaturalMethod(problem, settings) };
}

/** Everything that comes after the direction, and what is carried over to the next. */
function updateParts(
  structure: Structure,
  options: CarryingOptions & Required<Pick<NaturalOptions, "solver" | "learningRate">>,
): Pick<NaturalSettings, "rule" | "stepRule" | "carry" | "weightDecay"> {
  const { weightDecay = 0, learningRate, stepRule: asked = "given" } = options;
  const given = momentumRule(options, learningRate); // checks the numbers, whoever uses them
  const carry = carriedShare(structure, options);
  const momentum = carry > 0 ? 0 : options.momentum;
  const company = { ...options, weightDecay, momentum: carry > 0 ? carry : (options.momentum ?? 0) };
  const stepRule = parseStepRule(asked, company);
  let rule: UpdateRule = given;
  if (stepRule.coefficients === "quadratic-model") rule = quadraticRule(momentum !== 0);
  else if (carry > 0) rule = momentumRule({ weightDecay }, learningRate);
  return { rule, stepRule, carry, weightDecay };
}

/** μ of SPRING, 0 without it. */
function carriedShare(structure: Structure, options: CarryingOptions): number {
  const { momentumRule: rule = "heavy-ball", solver = "auto", nesterov = false, klClip } = options;
  requireOption(["heavy-ball", "spring"].includes(rule), "momentumRule", rule, "heavy-ball | spring");
  if (rule === "heavy-ball") return 0;
  const must = "heavy-ball here: spring is for exactNgd, blockDiagonalNgd and tengrad";
  requireOption(structure.carries === true, "momentumRule", rule, must);
  requireOption(solverName(solver) !== "cg", "momentumRule", rule, "heavy-ball with solver cg");
  const { momentum = SPRING_MOMENTUM } = options;
  requireOption(!nesterov, "nesterov", nesterov, "false with momentumRule spring");
  // ⟨φ, g⟩ no longer stands for φᵀFφ.
  const without = "left out with momentumRule spring: use trustRegion";
  requireOption(klClip === undefined, "klClip", klClip, without);
  requireOption(momentum > 0, "momentum", momentum, "> 0 with momentumRule spring");
  return momentum;
}
