/**
 * Levenberg-Marquardt for nonlinear least squares [Levenberg 1944; Marquardt 1963; Madsen, Nielsen & Tingleff 2004, algorithm
 * 3.16], with geodesic acceleration [Transtrum & Sethna 2012, arXiv 1201.5885].
 *
 *   (JᵀJ/N + λD) v = −Jᵀr/N,   (JᵀJ/N + λD) a = −Jᵀr''/N,   θ' = θ + ηv + ½η²a,   r'' = ∂²r(θ + tv)/∂t² at 0
 *
 * A step that does not lower the loss of its batch, or with 2‖a‖/‖v‖ > α, is tried again with more damping; `least-squares-system.ts`
 * has the algebra. λ afterwards, in `marquardt-damping.ts`:
 *
 *   gain ratio              ρ = (L(θ) − L(θ')) / (L(θ) − L̂(θ + ηv)),  λ ← λ·max(⅓, 1 − (2ρ − 1)³) | λ ← λν, ν ← 2ν      [Nielsen 1999]
 *   delayed gratification   λ ← λ/3 | λ ← 2λ                                                   [Transtrum & Sethna 2012]
 *
 * | symbol | option         |
 * | ------ | -------------- |
 * | λ      | `damping`, of the first step |
 * | D      | `scaling`: I, or Marquardt's diag(JᵀJ)/N |
 * | α      | `acceleration`; norms are in the metric D |
 * | η      | `learningRate` |
 *
 * Differs from the papers: everything is divided by N, so that λ means the same for any batch size, and norms are in
 * the metric D; L̂, the quadratic model of ηv, leaves a out of ρ; D is the current batch's, with entries of at least
 * 1e-8 of the largest, not a running maximum; no uphill steps and no Broyden updates, which arXiv 1201.5885 also
 * proposes; η < 1 is for batches smaller than the data.
 */
import type { DirectSolver } from "../../curvature/solver.ts";
import { requireOption, UsageError } from "../../errors.ts";
import type { Optimizer } from "../optimizer.ts";
import { requireMethodOptions } from "../option-names.ts";
import { checkLearningRate, type LearningRate } from "../schedule.ts";
import { LevenbergMarquardtMethod } from "./levenberg-marquardt-method.ts";
import { type AdaptationName, dampingRules } from "./marquardt-damping.ts";

export interface LevenbergMarquardtOptions {
  /** η, a number or a schedule; default 1, the full step. */
  readonly learningRate?: LearningRate;
  /** λ of the first step; default 0.01. */
  readonly damping?: number;
  /** D; default `"identity"`. */
  readonly scaling?: "identity" | "diagonal";
  /** How λ follows from the steps; default `"gain-ratio"`. */
  readonly adaptation?: AdaptationName;
  /** α, the largest 2‖a‖/‖v‖ that is accepted; 0 for no acceleration; default 0.75. */
  readonly acceleration?: number;
  /** How often a step is tried again before it is rejected; default 10. */
  readonly retries?: number;
  /** The space the system is solved in, sample or parameter space; default `"auto"`, the smaller. */
  readonly solver?: DirectSolver;
}

const scalings = ["identity", "diagonal"];
const solvers = ["auto", "gram", "dense"];

/**
 * Levenberg-Marquardt, for the gaussian likelihood and full or large batches.
 *
 * @throws UsageError when an option is misspelt or out of range, and at the start for another likelihood
 */
export function levenbergMarquardt(options: LevenbergMarquardtOptions = {}): Optimizer {
  requireMethodOptions("levenbergMarquardt", options);
  const { learningRate = 1, damping = 0.01, scaling = "identity", adaptation = "gain-ratio" } = options;
  const { acceleration = 0.75, retries = 10, solver = "auto" } = options;
  checkLearningRate(learningRate);
  requireOption(Number.isFinite(damping) && damping > 0, "damping", damping, "a number > 0");
  requireOption(scalings.includes(scaling), "scaling", scaling, scalings.join(" | "));
  const adaptations = Object.keys(dampingRules);
  requireOption(adaptations.includes(adaptation), "adaptation", adaptation, adaptations.join(" | "));
  const accelerationValid = Number.isFinite(acceleration) && acceleration >= 0;
  requireOption(accelerationValid, "acceleration", acceleration, ">= 0; 0 for none");
  requireOption(Number.isInteger(retries) && retries >= 0, "retries", retries, "an integer >= 0");
  requireOption(solvers.includes(solver), "solver", solver, solvers.join(" | "));
  const settings = { learningRate, damping, scaling, adaptation, acceleration, retries, solver };
  return {
    name: "levenbergMarquardt",
    options,
    async start(problem) {
      const { name } = problem.likelihood;
      if (name !== "gaussian") {
        throw new UsageError(
          `levenbergMarquardt fits least squares, the gaussian likelihood, not the ${name} one (use exactNgd or lbfgs)`,
        );
      }
      return new LevenbergMarquardtMethod(problem, settings);
    },
  };
}
