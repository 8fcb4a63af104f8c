/**
 * Figure 2 of the survey: how the training loss falls with the epochs, for SGD and natural gradients from the exact one to the
 * approximations.
 */
import { openRuntime } from "../runtime/runtime.ts";
import type { ChartSeries, Experiment, ExperimentContext, ExperimentResult, Finding } from "./experiment.ts";
import {
  bestOf,
  type Found,
  foundOn,
  fullGrid,
  type Grid,
  inWords,
  onAllTasks,
  settingOf,
  surveyData,
  surveyMethods,
  taskNames,
  tryAll,
} from "./survey-tasks.ts";
import { type Training, trainBeside } from "./train-beside.ts";

/** Of the quick version. */
const smallGrid: Grid = { learningRate: [0.3, 0.1], damping: [0.1, 0.01], momentum: [0, 0.9] };

const approximations = ["tengrad", "kfac", "ekfac", "kbfgs"] as const;

export const shresthaFigure2: Experiment = {
  id: "shrestha-fig2",
  title: "Convergence by epochs",
  source: "Shrestha 2023, Natural Gradient Methods, figure 2; claims in our words",
  summary:
    "Trains a network with hidden layers 32-16 on three datasets by SGD and six natural gradient methods, each with its best settings of the same grid, and follows the training loss.",
  claims: [
    {
      id: "exact",
      claim:
        "Exact natural gradient ends with a lower training loss than SGD after the same epochs, on every dataset.",
      quick: true,
    },
    {
      id: "block",
      claim: "So does block-wise natural gradient, which drops the coupling between layers.",
      quick: true,
    },
    {
      id: "approximations",
      claim:
        "TENGraD, K-FAC, EKFAC and K-BFGS each reach SGD's last loss in fewer epochs than SGD on most of the datasets.",
      quick: false,
    },
  ],
  data: surveyData,
  duration: { full: "4 min", quick: "8 s" },
  run,
};

async function run(context: ExperimentContext): Promise<ExperimentResult> {
  const { quick, signal, seed } = context;
  const runtime = await openRuntime();
  try {
    const limits = { steps: quick ? 60 : 800, epochs: 60, runtime, signal };
    const found = await onAllTasks(
      context,
      surveyMethods,
      (data) => settingOf(data, quick ? [4] : [32, 16], { ...limits, looks: 1 }),
      async (setting, method, report) => {
        const trials = await tryAll(setting, method, quick ? smallGrid : fullGrid, seed, (done) =>
          report(0.9 * done),
        );
        const best = bestOf(trials);
        if (best === undefined) return undefined;
        await report(0.9);
        return trainBeside({ ...setting, looks: quick ? 12 : 40 }, method, best.options, seed);
      },
    );
    return resultOf(found);
  } finally {
    runtime.dispose();
  }
}

type Curves = readonly Found<Training | undefined>[];

function resultOf(found: Curves): ExperimentResult {
  return {
    values: {
      trainings: found.map(({ task, method, setting, value }) => ({
        ...{ task, method, steps: setting.steps, batchSize: setting.batchSize },
        ...{ options: value?.options, looks: value?.looks },
      })),
    },
    charts: taskNames.map((task) => ({
      id: task,
      title: `Training loss on ${task}`,
      note: "Mean loss over all training rows as it was measured along the lines; each method with the settings of the grid that end lowest.",
      x: { label: "epoch", scale: "linear", fromZero: true },
      y: { label: "training loss", scale: "log" },
      series: surveyMethods.flatMap((method, index): ChartSeries[] => {
        const looks = foundOn(found, task, method)?.looks ?? [];
        if (looks.length === 0) return [];
        const points = looks.map(({ epoch, loss }) => ({ x: epoch, y: loss }));
        return [{ label: method, index, line: points }];
      }),
    })),
    tables: [
      {
        title: "Training loss at the end, and the epochs until SGD's last loss over SGD's epochs",
        headings: ["method", ...taskNames.flatMap((task) => [task, "epochs", "settings"])],
        rows: surveyMethods.map((method) => [
          method,
          ...taskNames.flatMap((task) => {
            const training = foundOn(found, task, method);
            const share = shareOfEpochs(found, task, method);
            return [
              training ? training.loss.toPrecision(3) : "broke down",
              share === undefined ? "–" : share.toFixed(2),
              training ? inWords(training.options) : "–",
            ];
          }),
        ]),
      },
    ],
    claims: [
      lowerThanSgd(found, "exact", "exactNgd"),
      lowerThanSgd(found, "block", "blockDiagonalNgd"),
      sooner(found),
    ],
  };
}

function lowerThanSgd(found: Curves, id: string, method: string): Finding {
  const ratios = taskNames.map((task) => lastLoss(found, task, method) / lastLoss(found, task, "sgd"));
  return {
    id,
    measured: `It ends at ${taskNames.map((task, k) => `${ratios[k].toPrecision(2)} of SGD's loss on ${task}`).join(", ")}.`,
    agrees: ratios.every((ratio) => ratio < 1),
  };
}

function sooner(found: Curves): Finding {
  const counts = approximations.map((method) => {
    const shares = taskNames.map((task) => shareOfEpochs(found, task, method));
    return shares.filter((share) => share !== undefined && share < 1).length;
  });
  return {
    id: "approximations",
    measured: `${approximations.map((method, k) => `${method} does on ${counts[k]}`).join(", ")} of ${taskNames.length} datasets.`,
    agrees: counts.every((count) => 2 * count > taskNames.length),
  };
}

function lastLoss(found: Curves, task: (typeof taskNames)[number], method: string): number {
  return foundOn(found, task, method)?.loss ?? Number.POSITIVE_INFINITY;
}

/** Epochs until a method's loss is where SGD's ends, over SGD's epochs; `undefined` where it does not get there. */
function shareOfEpochs(found: Curves, task: (typeof taskNames)[number], method: string): number | undefined {
  const target = lastLoss(found, task, "sgd");
  const looks = foundOn(found, task, method)?.looks ?? [];
  const all = looks.at(-1)?.step ?? 0;
  const reached = looks.find(({ loss }) => loss <= target)?.step;
  return reached === undefined || all === 0 ? undefined : reached / all;
}
