/** Learning rates that change with the step. */
import { requireKnown, requireOption } from "../errors.ts";

/** A number, or a schedule over steps counted from 0. */
export type LearningRate =
  | number
  | {
      readonly schedule: "exponential";
      readonly initial: number;
      readonly decay: number;
      readonly every?: number;
    }
  | { readonly schedule: "cosine"; readonly initial: number; readonly final?: number; readonly steps: number }
  | {
      readonly schedule: "piecewise";
      readonly initial: number;
      /** Steps at which the rate is multiplied by `factor` (default 0.1). */
      readonly milestones: readonly number[];
      readonly factor?: number;
    }
  | { readonly schedule: "warmup"; readonly steps: number; readonly after: LearningRate };

type Scheduled = Exclude<LearningRate, number>;
type OptionsOf<S> = Exclude<keyof Extract<Scheduled, { readonly schedule: S }>, "schedule">;

const scheduleOptions: { readonly [S in Scheduled["schedule"]]: readonly OptionsOf<S>[] } = {
  exponential: ["initial", "decay", "every"],
  cosine: ["initial", "final", "steps"],
  piecewise: ["initial", "milestones", "factor"],
  warmup: ["steps", "after"],
};

/**
 * The learning rate of a step.
 *
 * exponential: initial·decay^(step/every), in stairs of `every` steps when it is given ·
 * cosine: final + ½(initial − final)(1 + cos(π·step/steps)) [Loshchilov & Hutter 2017], final from `steps` on ·
 * piecewise: initial·factor^(milestones passed) · warmup: linear from 0 over `steps`, then another schedule.
 */
export function learningRateAt(rate: LearningRate, step: number): number {
  if (typeof rate === "number") return rate;
  switch (rate.schedule) {
    case "exponential":
      return rate.initial * rate.decay ** (rate.every ? Math.floor(step / rate.every) : step);
    case "cosine": {
      const final = rate.final ?? 0;
      const progress = Math.min(1, step / rate.steps);
      return final + 0.5 * (rate.initial - final) * (1 + Math.cos(Math.PI * progress));
    }
    case "piecewise":
      return (
        rate.initial * (rate.factor ?? 0.1) ** rate.milestones.filter((milestone) => step >= milestone).length
      );
    case "warmup": {
      const target = learningRateAt(rate.after, Math.max(0, step - rate.steps));
      return step < rate.steps ? (target * (step + 1)) / rate.steps : target;
    }
  }
}

/** @throws UsageError when a rate is negative or a schedule's numbers make no sense */
export function checkLearningRate(rate: LearningRate, name = "learningRate"): void {
  if (typeof rate === "number") {
    requireOption(Number.isFinite(rate) && rate >= 0, name, rate, "a number >= 0");
    return;
  }
  const isSchedule = typeof rate === "object" && rate !== null;
  requireOption(isSchedule, name, rate, "a number >= 0 or { schedule, … }");
  const { schedule } = rate;
  const schedules = Object.keys(scheduleOptions);
  requireOption(schedules.includes(schedule), `${name} schedule`, schedule, schedules.join(" | "));
  if (rate.schedule === "warmup") {
    const finite = Number.isFinite(rate.steps) && rate.steps > 0;
    requireOption(finite, `${name} steps`, rate.steps, "> 0");
    checkLearningRate(rate.after, name);
    requireKnown(rate, ["schedule", ...scheduleOptions.warmup], name);
    return;
  }
  const check = (part: string, value: number, valid: boolean, must: string) =>
    requireOption(valid && Number.isFinite(value), `${name} ${part}`, value, must);
  check("initial", rate.initial, rate.initial >= 0, "a number >= 0");
  if (rate.schedule === "exponential") {
    const { decay, every = 1 } = rate;
    check("decay", decay, decay > 0 && decay <= 1, "in (0, 1]");
    check("every", every, Number.isInteger(every) && every > 0, "a positive integer");
  } else if (rate.schedule === "cosine") {
    const { steps, final = 0 } = rate;
    check("steps", steps, steps > 0, "> 0");
    check("final", final, final >= 0, "a number >= 0");
  } else {
    const { milestones, factor = 0.1 } = rate;
    const valid = Array.isArray(milestones) && milestones.every((step) => step >= 0);
    requireOption(valid, `${name} milestones`, milestones, "a list of steps");
    check("factor", factor, factor >= 0, "a number >= 0");
  }
  requireKnown(rate, ["schedule", ...scheduleOptions[schedule]], name);
}
