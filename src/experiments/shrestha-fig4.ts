/**
 * Figure 4 of the survey: stability. The same grid of learning rates and dampings for all, and what every setting ends with: how much
 * depends on finding the right ones.
 */
import { openRuntime } from "../runtime/runtime.ts";
import type { ChartSeries, Experiment, ExperimentContext, ExperimentResult } from "./experiment.ts";
import {
  bestOf,
  type Found,
  foundOn,
  fullGrid,
  onAllTasks,
  settingOf,
  surveyData,
  surveyMethods,
  type TaskName,
  taskNames,
  tryAll,
} from "./survey-tasks.ts";
import type { Training } from "./train-beside.ts";

/** A setting is near the best one when its loss is at most so many times as large. */
const NEAR = 1.5;

export const shresthaFigure4: Experiment = {
  id: "shrestha-fig4",
  title: "Stability over a grid of learning rates and dampings",
  source: "Shrestha 2023, Natural Gradient Methods, figure 4; claims in our words",
  summary:
    "Trains a network with hidden layers 32-16 on three datasets with every setting of one grid and looks at the losses they end with: SGD's momenta take the place of dampings.",
  claims: [
    {
      id: "range",
      claim:
        "Exact natural gradient with a suitable damping reaches SGD's best loss over a range of learning rates of at least a factor of three, on every dataset.",
      quick: true,
    },
  ],
  data: surveyData,
  duration: { full: "3 min", quick: "8 s" },
  run,
};

async function run(context: ExperimentContext): Promise<ExperimentResult> {
  const { quick, signal, seed } = context;
  const methods = quick ? ["sgd", "exactNgd", "tengrad"] : surveyMethods;
  const grid = quick ? { learningRate: [1, 0.3, 0.1], damping: [0.1, 0.01], momentum: [0, 0.9] } : fullGrid;
  const runtime = await openRuntime();
  try {
    const found = await onAllTasks(
      context,
      methods,
      (data) =>
        settingOf(data, quick ? [4] : [32, 16], {
          ...{ steps: quick ? 60 : 600, epochs: 60 },
          ...{ runtime, signal, looks: 1 },
        }),
      (setting, method, report) => tryAll(setting, method, grid, seed, report),
    );
    return resultOf(found, methods, grid.learningRate);
  } finally {
    runtime.dispose();
  }
}

type Trials = readonly Found<readonly Training[]>[];

function resultOf(found: Trials, methods: readonly string[], rates: readonly number[]): ExperimentResult {
  const ranges = taskNames.map((task) => ({ task, ...rangeBelowSgd(found, task, rates) }));
  const counts = (method: string) => {
    const own = taskNames.flatMap((task) => foundOn(found, task, method));
    return { above: own.filter(endsAbove).length, all: own.length };
  };
  return {
    values: {
      trials: found.map(({ task, method, setting, value }) => ({
        ...{ task, method, steps: setting.steps },
        trials: value.map(({ options, loss, rejected }) => ({ options, loss, rejected })),
      })),
      ranges,
    },
    charts: taskNames.map((task) => ({
      id: task,
      title: `Training loss on ${task} by learning rate`,
      note: "At each learning rate with the best damping or momentum of the grid; lines join what was measured, and what broke down is left out.",
      x: { label: "learning rate", scale: "log" },
      y: { label: "training loss", scale: "log" },
      series: methods.map((method): ChartSeries => {
        const points = atEachRate(foundOn(found, task, method), rates);
        return { label: method, points, line: points };
      }),
    })),
    tables: [
      {
        title: `Settings of all datasets: share within ${NEAR} times the method's best loss, share that end above the loss they began with`,
        headings: ["method", "near the best", "end above", "settings"],
        rows: methods.map((method) => {
          const { above, all } = counts(method);
          const near = taskNames.reduce((sum, task) => sum + nearBest(foundOn(found, task, method)), 0);
          return [method, percent(near / all), percent(above / all), String(all)];
        }),
      },
    ],
    claims: [
      {
        id: "range",
        measured: `${ranges.map(({ task, factor, from, to }) => (factor === 0 ? `On ${task} at 0 of ${rates.length} rates` : `On ${task} from ${from} to ${to}`)).join("; ")}, of rates from ${Math.min(...rates)} to ${Math.max(...rates)}.`,
        agrees: ranges.every(({ factor }) => factor >= 3),
      },
    ],
  };
}

/** The rates at which exact natural gradient ends at or below SGD's best loss. */
function rangeBelowSgd(found: Trials, task: TaskName, rates: readonly number[]) {
  const target = bestOf(foundOn(found, task, "sgd"))?.loss ?? Number.POSITIVE_INFINITY;
  const good = atEachRate(foundOn(found, task, "exactNgd"), rates).filter(({ y }) => y <= target);
  if (good.length === 0) return { factor: 0, from: 0, to: 0 };
  const [from, to] = [Math.min, Math.max].map((choose) => choose(...good.map(({ x }) => x)));
  return { factor: to / from, from, to };
}

function atEachRate(trials: readonly Training[], rates: readonly number[]) {
  return rates
    .toSorted((a, b) => a - b)
    .flatMap((rate) => {
      const best = bestOf(trials.filter(({ options }) => options.learningRate === rate));
      return best ? [{ x: rate, y: best.loss }] : [];
    });
}

function endsAbove({ loss, looks }: Training): boolean {
  return !(loss <= looks[0].loss);
}

function nearBest(trials: readonly Training[]): number {
  const best = bestOf(trials)?.loss ?? 0;
  return trials.filter(({ loss }) => loss <= NEAR * best).length;
}

function percent(share: number): string {
  return `${Math.round(100 * share)} %`;
}
