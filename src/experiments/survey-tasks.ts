/** Datasets, networks and methods of the survey's experiments [Shrestha], and how they are tuned. */

import { selectRows } from "../data/dataset.ts";
import { type Dataset, loadDataset } from "../data/index.ts";
import type { MethodOptions } from "../optimizers/registry.ts";
import type { ExperimentContext, ExperimentData } from "./experiment.ts";
import { denseNetwork, type Setting, type Training, trainBeside } from "./train-beside.ts";

/** What each dataset is replaced by where there are no files: of the same kind of task. */
const standIns = { weather: "friedman1", house: "teacher", ecoli: "spirals" } as const;

export type TaskName = keyof typeof standIns;
export const taskNames = Object.keys(standIns) as TaskName[];

export const surveyData: ExperimentData = {
  datasets: taskNames,
  synthetic: "friedman1, teacher and spirals in place of weather, house and ecoli",
};

/** Units of the hidden layers. */
export const surveyNetworks: readonly (readonly number[])[] = [[4], [32, 16], [32, 16, 16]];

/** The same grid for all: learning rates, and for natural gradients dampings; SGD's momenta are as many as those. */
export interface Grid {
  readonly learningRate: readonly number[];
  readonly damping: readonly number[];
  readonly momentum: readonly number[];
}

export const fullGrid: Grid = {
  learningRate: [1, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001],
  damping: [1, 0.1, 0.01, 0.001],
  momentum: [0, 0.5, 0.9, 0.99],
};

export const quickGrid: Grid = {
  learningRate: [0.3, 0.1, 0.03, 0.01],
  damping: [1, 0.1, 0.01],
  momentum: [0, 0.5, 0.9],
};

/** Rows of the quick versions. */
const QUICK_ROWS = 512;

/** The training rows of a task. */
export async function loadTask(
  name: TaskName,
  { synthetic, quick }: Pick<ExperimentContext, "synthetic" | "quick">,
): Promise<Dataset> {
  const { training } = await loadDataset(synthetic ? standIns[name] : name);
  const rows = training.inputs.shape[0];
  if (!quick || rows <= QUICK_ROWS) return training;
  return selectRows(
    training,
    Int32Array.from({ length: QUICK_ROWS }, (_, k) => k),
  );
}

/** At most 128 rows, and at least four batches an epoch. */
export function batchSizeOf(data: Dataset): number {
  return Math.max(1, Math.min(128, Math.floor(data.inputs.shape[0] / 4)));
}

/** A training of so many steps, or of so many epochs where those are fewer. */
export function settingOf(
  data: Dataset,
  hidden: readonly number[],
  limits: Pick<Setting, "runtime" | "signal" | "looks"> & {
    readonly steps: number;
    readonly epochs: number;
    readonly batchSize?: number;
  },
): Setting {
  const { steps, epochs, batchSize = batchSizeOf(data), ...rest } = limits;
  const perEpoch = Math.max(1, Math.floor(data.inputs.shape[0] / batchSize));
  return {
    ...{ ...rest, data, batchSize, model: denseNetwork(data, hidden) },
    steps: Math.min(steps, epochs * perEpoch),
  };
}

/** Every setting of the grid: SGD has a momentum where the others have a damping. */
export function settingsFor(method: string, grid: Grid): MethodOptions[] {
  const companion = method === "sgd" ? "momentum" : "damping";
  return grid.learningRate.flatMap((learningRate) =>
    grid[companion].map((value) => ({ learningRate, [companion]: value })),
  );
}

/** Trains with every setting from the same weights on the same batches. */
export async function tryAll(
  setting: Setting,
  method: string,
  grid: Grid,
  seed: number,
  onTrial: (done: number) => Promise<void>,
): Promise<Training[]> {
  const trials: Training[] = [];
  const options = settingsFor(method, grid);
  for (const [k, one] of options.entries()) {
    await onTrial(k / options.length);
    trials.push(await trainBeside(setting, method, one, seed));
  }
  return trials;
}

/** The one with the lowest training loss; `undefined` when all broke down. */
export function bestOf(trials: readonly Training[]): Training | undefined {
  return trials
    .filter(({ loss }) => Number.isFinite(loss))
    .reduce<Training | undefined>((best, one) => (best && best.loss <= one.loss ? best : one), undefined);
}

/** `learningRate 0.1, damping 0.01`. */
export function inWords(options: MethodOptions): string {
  return Object.entries(options)
    .map(([name, value]) => `${name} ${value}`)
    .join(", ");
}

/** What was found for one method on one dataset. */
export interface Found<T> {
  readonly task: TaskName;
  readonly method: string;
  readonly setting: Setting;
  readonly value: T;
}

/**
 * Goes through all datasets and methods.
 *
 * @param prepare makes the training of a dataset
 * @param each does a method's work, and says how much of it is done, 0 to 1
 */
export async function onAllTasks<T>(
  context: ExperimentContext,
  methods: readonly string[],
  prepare: (data: Dataset) => Setting,
  each: (setting: Setting, method: string, report: (done: number) => Promise<void>) => Promise<T>,
): Promise<Found<T>[]> {
  const found: Found<T>[] = [];
  const count = taskNames.length * methods.length;
  for (const task of taskNames) {
    const setting = prepare(await loadTask(task, context));
    for (const method of methods) {
      const value = await each(setting, method, (done) =>
        context.progress((found.length + done) / count, `${method} on ${task}`),
      );
      found.push({ task, method, setting, value });
    }
  }
  return found;
}

/** What one method found on one dataset. */
export function foundOn<T>(found: readonly Found<T>[], task: TaskName, method: string): T {
  return found.find((one) => one.task === task && one.method === method)!.value;
}

/** The survey's methods by their names in the registry. */
export const surveyMethods: readonly string[] = [
  ...["sgd", "exactNgd", "blockDiagonalNgd", "tengrad", "kfac", "ekfac", "kbfgs"],
];
