/**
 * How a direction becomes a step: where learning rate and momentum come from, how far the step may go, whether it is kept.
 *
 * | part           | rule                                                                  | file                 |
 * | -------------- | --------------------------------------------------------------------- | -------------------- |
 * | `coefficients` | η and μ as given, or chosen by the quadratic model [Martens15 §6.4, §7] | `quadratic-rule.ts` |
 * | `trustRegion`  | ½ dᵀFd ≤ ε [Schulman15 App. C; Nocedal & Wright 2006, Algorithm 4.1]  | `trust-region.ts`    |
 * | `lineSearch`   | L(θ + td) decreases sufficiently, or meets both Wolfe conditions      | `step-length.ts`     |
 * | `rejectIncrease` | a step that raises the loss of its batch is taken back              | `step-control.ts`    |
 *
 * They act in this order, on the whole step: momentum and weight decay included.
 */
import { requireOption } from "../../errors.ts";
import { type TrustRegion, type TrustRegionOption, trustRegionPolicy } from "./trust-region.ts";

export type LineSearchName = "armijo" | "strong-wolfe";
export type Coefficients = "given" | "quadratic-model";

export interface StepRuleOptions {
  /**
   * `"given"`: η and μ are the options `learningRate` and `momentum`. `"quadratic-model"`: both are chosen on every step,
   * only η where `momentum` is 0; `learningRate` is not used. Default `"given"`.
   */
  readonly coefficients?: Coefficients;
  /** ε, the bound on ½ dᵀFd of a step d in the batch's exact Fisher matrix; default none. */
  readonly trustRegion?: TrustRegionOption;
  /**
   * Multiplies the step by a length with sufficient decrease of the batch's loss, or with both strong Wolfe conditions; for
   * full batches, and without momentum and weight decay but the quadratic model's. Default none.
   */
  readonly lineSearch?: LineSearchName;
  /** Takes back steps that raise the loss of their batch; default false, but true where a radius or λ adapts. */
  readonly rejectIncrease?: boolean;
}

/** A part alone by name, or several parts. */
export type StepRuleOption = Coefficients | StepRuleOptions;

export interface StepRule {
  readonly coefficients: Coefficients;
  readonly trustRegion?: TrustRegion;
  readonly lineSearch?: LineSearchName;
  readonly rejectIncrease: boolean;
}

/** What a step rule must go together with. */
export interface StepRuleCompany {
  /** μ, of whichever momentum rule. */
  readonly momentum: number;
  readonly weightDecay: number;
  readonly nesterov?: boolean;
  readonly klClip?: number;
}

/** @throws UsageError for an unknown rule, a number out of range, or parts that exclude each other */
export function parseStepRule(
  option: StepRuleOption,
  { momentum, weightDecay, nesterov = false, klClip }: StepRuleCompany,
): StepRule {
  const options = typeof option === "string" ? { coefficients: option } : option;
  requireOption(typeof options === "object" && options !== null, "stepRule", option, "a rule or its options");
  const { coefficients = "given", trustRegion, lineSearch, rejectIncrease = false, ...unknown } = options;
  const names: readonly string[] = ["given", "quadratic-model"];
  requireOption(names.includes(coefficients), "stepRule", coefficients, names.join(" | "));
  const [stranger] = Object.keys(unknown);
  requireOption(
    stranger === undefined,
    "stepRule option",
    stranger,
    "coefficients | trustRegion | lineSearch | rejectIncrease",
  );
  requireOption(typeof rejectIncrease === "boolean", "rejectIncrease", rejectIncrease, "true or false");
  const chosen = coefficients === "quadratic-model";
  requireOption(!chosen || !nesterov, "nesterov", nesterov, "false with the quadratic model");
  requireOption(
    !chosen || klClip === undefined,
    "klClip",
    klClip,
    "left out with the quadratic model: use trustRegion",
  );
  if (lineSearch !== undefined) {
    checkLineSearch(lineSearch, trustRegion);
    // Steps of the quadratic model descend; others may not, but for the natural gradient alone.
    const company = "0 with a line search, except by the quadratic model";
    requireOption(chosen || momentum === 0, "momentum", momentum, company);
    requireOption(chosen || weightDecay === 0, "weightDecay", weightDecay, company);
  }
  return {
    coefficients,
    lineSearch,
    trustRegion: trustRegion === undefined ? undefined : trustRegionPolicy(trustRegion),
    rejectIncrease,
  };
}

/** @throws UsageError for an unknown search, or beside another rule that decides the length */
function checkLineSearch(lineSearch: LineSearchName, trustRegion: TrustRegionOption | undefined): void {
  const names: readonly string[] = ["armijo", "strong-wolfe"];
  requireOption(names.includes(lineSearch), "lineSearch", lineSearch, names.join(" | "));
  requireOption(trustRegion === undefined, "lineSearch", lineSearch, "left out with a trust region");
}

/** Whether steps are judged on their batch, which takes the batch's network in the program of the update. */
export function usesNetwork({ coefficients, trustRegion, lineSearch }: StepRule): boolean {
  return coefficients === "quadratic-model" || trustRegion !== undefined || lineSearch !== undefined;
}
