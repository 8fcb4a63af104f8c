/** A wide network's training beside what the theory predicts from the same first outputs: the comparison, its chart and table. */
import type { ClassSubset } from "./class-subset.ts";
import type { ExperimentChart, ExperimentTable } from "./experiment.ts";
import type { KinkCrossings } from "./kinks.ts";
import { type MethodTraining, requireDynamics, type WideKernels, type WideMethod } from "./wide-methods.ts";
import { type Course, largestGap, predictCourse } from "./wide-training.ts";

export interface ComparisonSetting extends Omit<MethodTraining, "learningRate"> {
  readonly name: string;
  /** c of η = c/α. */
  readonly fraction: number;
  /** Losses predicted below this are not compared. */
  readonly leastLoss: number;
}

export interface Comparison {
  readonly name: string;
  /** The name and η. */
  readonly label: string;
  readonly fraction: number;
  readonly learningRate: number;
  readonly trained: Course;
  readonly predicted: Course;
  /** The largest relative gap between the training losses. */
  readonly gap: number;
  /** The same between the test losses at the last step. */
  readonly testGap: number;
  /** Of the last step; only of K-FAC with rectifiers. */
  readonly crossings?: KinkCrossings;
}

/** Trains, and predicts from the f_0 that training began with. */
export async function compareWithTheory(
  method: WideMethod,
  subset: ClassSubset,
  kernels: WideKernels,
  { name, fraction, leastLoss, ...training }: ComparisonSetting,
): Promise<Comparison> {
  const { targets } = subset.training;
  const learningRate = fraction / method.factor(training.network.depth, targets.shape[0]);
  const {
    initial,
    initialTest,
    finalTest: _,
    crossings,
    ...trained
  } = await method.train(subset, { ...training, learningRate });
  const dynamics = await requireDynamics(method, kernels, { targets, initial, initialTest });
  const predicted = predictCourse(subset, dynamics, training.steps, learningRate);
  return {
    ...{ name, label: `${name}, η = ${fraction}/α`, fraction, learningRate, trained, predicted },
    ...(crossings && { crossings }),
    gap: largestGap(trained.losses, predicted.losses, leastLoss),
    testGap: Math.abs(trained.testLosses.at(-1)! / predicted.testLosses.at(-1)! - 1),
  };
}

/** Theory as lines, training as points. */
export function lossChart(
  id: string,
  title: string,
  comparisons: readonly Comparison[],
  lossesOf: (course: Course) => readonly number[],
): ExperimentChart {
  // Over αη times the steps, short steps and long ones can be drawn side by side.
  const points = (course: Course, fraction: number) =>
    lossesOf(course).map((y, step) => ({ x: fraction * step, y }));
  return {
    ...{ id, title },
    note: "Lines: the infinitely wide network, from the same first outputs. Symbols: the network that was trained.",
    x: { label: "αη × steps", scale: "linear" },
    y: { label: "loss", scale: "log" },
    series: comparisons.map(({ name, fraction, trained, predicted }) => ({
      ...{ label: name, line: points(predicted, fraction), points: points(trained, fraction) },
    })),
  };
}

export function comparisonTable(title: string, comparisons: readonly Comparison[]): ExperimentTable {
  const percent = (share: number) => `${(100 * share).toFixed(1)} %`;
  return {
    title,
    headings: [
      "method",
      "steps",
      "loss",
      "predicted",
      "largest gap",
      "test loss",
      "predicted",
      "gap",
      "test accuracy",
    ],
    rows: comparisons.map(({ label, trained, predicted, gap, testGap }) => [
      label,
      String(trained.losses.length - 1),
      trained.losses.at(-1)!.toExponential(2),
      predicted.losses.at(-1)!.toExponential(2),
      percent(gap),
      trained.testLosses.at(-1)!.toExponential(2),
      predicted.testLosses.at(-1)!.toExponential(2),
      percent(testGap),
      percent(trained.testAccuracies.at(-1)!),
    ]),
  };
}
