/** What is compared, and the budget that every method gets. */
import { fineRates, tuningGrid } from "../../src/cli/tuning.ts";
import { findMethod, type LearningRate } from "../../src/optimizers/index.ts";

export const tasks: readonly string[] = ["weather", "house", "ecoli", "friedman1"];

/** Units of the hidden layers, as they are named: `32-16` is [32, 16]. */
export const networks: readonly string[] = ["4", "32-16", "32-16-16"];

/** The same for every method. */
export interface Plan {
  /** Settings tried. */
  readonly trials: number;
  /** Steps of one trial. */
  readonly trialSteps: number;
  /** Steps of one training, unless it has had {@link Plan.epochs} before. */
  readonly steps: number;
  readonly epochs: number;
  /** Trainings with the settings found, each with weights and an order of batches of its own. */
  readonly seeds: number;
  /** How often the loss over all training rows is looked at in one training. */
  readonly evaluations: number;
  /** Seconds after which no further trial begins, and after which a training is cut. */
  readonly tuningSeconds: number;
  readonly trainingSeconds: number;
}

export const fullPlan: Plan = {
  ...{ trials: 28, trialSteps: 200, steps: 1000, epochs: 60, seeds: 3, evaluations: 25 },
  ...{ tuningSeconds: 5, trainingSeconds: 6 },
};

/** A look at whether everything works, not at who wins. */
export const quickPlan: Plan = {
  ...{ trials: 4, trialSteps: 20, steps: 60, epochs: 10, seeds: 1, evaluations: 6 },
  ...{ tuningSeconds: 1, trainingSeconds: 1 },
};

export type Options = Readonly<Record<string, unknown>>;

/** What is tuned beside the learning rate: the damping, or what comes nearest to it. */
const companions: Readonly<Record<string, readonly number[]>> = {
  damping: tuningGrid.damping,
  epsilon: [1e-8, 1e-4, 1e-2, 1],
  momentum: [0, 0.5, 0.9, 0.99],
};

/**
 * The settings to try, as many for every method: the grids of `natgrad compare --tune`, in an order whose beginning is spread over
 * all of it. A method with only one option to tune gets a finer grid of that.
 */
export function settingsOf(method: string, { trials }: Pick<Plan, "trials">): Options[] {
  const { options, defaults } = findMethod(method);
  const companion = Object.keys(companions).find((name) => options.includes(name));
  const tunesRate = options.includes("learningRate");
  const rates = !tunesRate ? [undefined] : companion ? tuningGrid.learningRate : fineRates;
  const values = !companion ? [undefined] : tunesRate ? companions[companion] : fineRates;
  const count = rates.length * values.length;
  return Array.from({ length: Math.min(trials, count) }, (_, k) => {
    // 7 and 4, or 28 and 1, of either: without a common factor, so every pair comes once, and all rates among the first.
    const learningRate = rates[(11 * k) % rates.length];
    const value = values[tunesRate ? k % values.length : (11 * k) % values.length];
    return {
      ...defaults,
      ...(tunesRate ? { learningRate } : {}),
      ...(companion === undefined ? {} : { [companion]: within(defaults[companion], value!) }),
    };
  });
}

/** The rate falls to a hundredth along half a cosine, so that long trainings like the same rates as short ones. */
export function onCosine(options: Options, steps: number): Options {
  const { learningRate } = options;
  if (typeof learningRate !== "number") return options;
  const schedule: LearningRate = {
    ...{ schedule: "cosine", initial: learningRate, final: learningRate / 100, steps },
  };
  return { ...options, learningRate: schedule };
}

/** A policy keeps its form and begins with the value. */
function within(byDefault: unknown, value: number): unknown {
  return typeof byDefault === "object" && byDefault !== null ? { ...byDefault, initial: value } : value;
}
