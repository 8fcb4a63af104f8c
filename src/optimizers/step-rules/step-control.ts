/**
 * What happens to a proposed step before it counts: its length is searched, the reduction ratio is measured, damping and trust region follow it,
 * and a step that raises the loss of its batch is taken back.
 *
 *   ρ = (L(θ + d) − L(θ)) / (gᵀd + ½ dᵀFd)
 *
 * With weight decay w, both sides of the fraction count what d adds to the penalty (w/2)‖θ‖², and L below is the sum.
 * Levenberg-Marquardt damping measures it with the method's own Fisher type, every few steps, to judge that matrix; the
 * trust region on every step with the exact one, whose products the program of the update leaves behind.
 */
import { allocate, type TypedArray } from "../../tensor.ts";
import type { NaturalSettings } from "../natural/natural-method.ts";
import type { NaturalPlan } from "../natural/natural-plan.ts";
import { STEP_INPUTS, STEP_RESULTS } from "../natural/natural-step.ts";
import type { MethodMemory, Problem, StepStatistics } from "../optimizer.ts";
import { lossRounding } from "../program/rounding.ts";
import { lengthArrays, searchLength } from "./step-length.ts";

/** A step as it was proposed. */
export interface ProposedStep {
  /** Steps taken before it. */
  readonly index: number;
  /** L(θ). */
  readonly loss: number;
  /** Draws Monte-Carlo targets for its batch, where the step itself did not. */
  draw(): void;
}

/** What became of a step. */
export interface Verdict {
  /** Its length in units of the step that was proposed. */
  readonly length: number;
  /** In words; none where there is nothing to say. */
  readonly status?: string;
}

export class StepControl {
  /** Scalars that the programs of the update read and write. */
  readonly arrays: Readonly<Record<string, TypedArray>>;
  /** λ of the next step. */
  damping: number;
  /** ε of the next step; absent without a trust region. */
  radius: number | undefined;
  readonly #problem: Problem;
  readonly #settings: NaturalSettings;

  constructor(problem: Problem, settings: NaturalSettings) {
    this.#problem = problem;
    this.#settings = settings;
    this.damping = settings.damping.initial;
    this.radius = settings.stepRule.trustRegion?.initial;
    const names = [...STEP_INPUTS, ...STEP_RESULTS];
    const scalars = Object.fromEntries(names.map((name) => [name, allocate(problem.dtype, 1)]));
    const { lineSearch } = settings.stepRule;
    this.arrays = lineSearch ? { ...scalars, ...lengthArrays(problem) } : scalars;
  }

  /** Writes what the next update reads: the damping of the curvature in use, and the radius. */
  load(damping: number): void {
    this.arrays.modelDamping[0] = damping;
    if (this.radius !== undefined) this.arrays.trustRadius[0] = this.radius;
  }

  /** What the update that just ran was made with, beside what every update has. */
  get used(): Pick<StepStatistics, "momentum" | "trustRegion"> & { readonly learningRate?: number } {
    const { alpha, mu, trustRadius } = this.arrays;
    const chosen = this.#settings.stepRule.coefficients === "quadratic-model";
    return {
      ...(chosen && { learningRate: finite(alpha[0]), momentum: finite(mu[0]) }),
      ...(this.radius !== undefined && { trustRegion: trustRadius[0] }),
    };
  }

  recall(values: MethodMemory["values"]): void {
    this.damping = Number(values.damping);
    if (this.radius !== undefined) this.radius = Number(values.radius);
  }

  /** Searches for the step's length and judges the step, where the rules say so. */
  async judge(plan: NaturalPlan, step: ProposedStep): Promise<Verdict> {
    const { stepRule } = this.#settings;
    const found = stepRule.lineSearch
      ? await searchLength(this.#problem, this.#settings, plan, this.arrays, step.loss)
      : { length: 1, status: undefined };
    if (found.status?.startsWith("rejected")) return found;
    return { ...found, status: (await this.#judgeIncrease(plan, step)) ?? found.status };
  }

  /** Measures the reduction ratio when it is due; returns a status, in words, when the step is taken back. */
  async #judgeIncrease(plan: NaturalPlan, step: ProposedStep): Promise<string | undefined> {
    const { damping: policy, stepRule } = this.#settings;
    const dampingDue = policy.every > 0 && step.index % policy.every === 0;
    const adaptive = stepRule.trustRegion?.adaptive === true;
    if (!dampingDue && !adaptive && !stepRule.rejectIncrease) return undefined;
    if (dampingDue) step.draw();
    const running = (await (dampingDue ? plan.quadraticModel() : plan.proposedLoss())).run();
    if (running) await running;

    const { loss } = step;
    const penalty = plan.results.penaltyChange[0];
    const reached = plan.results.proposedLoss[0] + penalty;
    const rises = !(reached <= loss + lossRounding(loss, this.#problem));
    const ratioTo = (slope: number, curvature: number) =>
      rises ? 0 : (reached - loss) / (slope + curvature / 2 + penalty);
    const changes: string[] = [];
    if (dampingDue) {
      const before = this.damping;
      const { slope, curvature } = plan.results;
      this.damping = policy.adapt(before, ratioTo(slope[0], curvature[0]));
      changes.push(`damping ${short(before)} → ${short(this.damping)}`);
    }
    if (adaptive) {
      const before = this.radius!;
      const { stepSlope, stepCurvature, trustScale } = this.arrays;
      this.radius = stepRule.trustRegion!.adapt(before, {
        ratio: ratioTo(stepSlope[0], stepCurvature[0]),
        divergence: stepCurvature[0] / 2,
        bounded: trustScale[0] < 1,
      });
      changes.push(`trust region ${short(before)} → ${short(this.radius)}`);
    }
    if (!rises) return undefined;
    const counted = penalty === 0 ? "" : " (weight decay counted)";
    const rise = `rejected: the loss would rise from ${short(loss)} to ${short(reached)}${counted}`;
    return [rise, ...changes].join("; ");
  }
}

/** 0 for a coefficient that is not finite: the step that it belongs to is never taken. */
function finite(coefficient: number): number {
  return Number.isFinite(coefficient) ? coefficient : 0;
}

/** Three digits. */
export function short(value: number): string {
  return Number(value.toPrecision(3)).toString();
}
