/**
 * Figure 3 of the survey: what batch size does to the loss that is reached in the same number of epochs. Larger batches make fewer
 * steps of an epoch.
 */
import { selectRows } from "../data/dataset.ts";
import { openRuntime } from "../runtime/runtime.ts";
import type { ChartSeries, Experiment, ExperimentContext, ExperimentResult } from "./experiment.ts";
import {
  bestOf,
  type Found,
  foundOn,
  onAllTasks,
  quickGrid,
  settingOf,
  surveyData,
  type TaskName,
  taskNames,
  tryAll,
} from "./survey-tasks.ts";

const METHODS = ["sgd", "exactNgd", "tengrad", "kfac"] as const;
/** Rows of a dataset that are trained on, the first ones: the smallest batches take many steps. */
const ROWS = 4096;

export const shresthaFigure3: Experiment = {
  id: "shrestha-fig3",
  title: "Training loss against batch size",
  source: "Shrestha 2023, Natural Gradient Methods, figure 3; claims in our words",
  summary:
    "Trains a network with hidden layers 32-16 on three datasets for the same epochs with batches of several sizes, tuned anew for each size.",
  claims: [
    {
      id: "lower",
      claim: "Exact natural gradient ends with a lower training loss than SGD at every batch size.",
      quick: true,
    },
    {
      id: "large",
      claim:
        "Larger batches cost exact natural gradient less than SGD: from the smallest to the largest its loss after the same epochs grows by a smaller factor, on most of the datasets.",
      quick: false,
    },
  ],
  data: surveyData,
  duration: { full: "3 min", quick: "8 s" },
  run,
};

/** The best training loss at each batch size. */
type Losses = readonly { readonly batchSize: number; readonly loss: number; readonly options?: object }[];

async function run(context: ExperimentContext): Promise<ExperimentResult> {
  const { quick, signal, seed } = context;
  const runtime = await openRuntime();
  try {
    const sizes = quick ? [32, 128] : [16, 32, 64, 128, 256, 512];
    const hidden = quick ? [4] : [32, 16];
    const epochs = quick ? 6 : 10;
    const limits = { steps: Number.POSITIVE_INFINITY, epochs, runtime, signal, looks: 1 };
    const grid = quick ? { learningRate: [0.3, 0.1], damping: [0.1, 0.01], momentum: [0, 0.9] } : quickGrid;
    const found = await onAllTasks(
      context,
      METHODS,
      (data) => settingOf(firstRows(data), hidden, limits),
      async ({ data }, method, report): Promise<Losses> => {
        const losses: Losses[number][] = [];
        const own = sizes.filter((size) => 2 * size <= data.inputs.shape[0]);
        for (const [k, batchSize] of own.entries()) {
          const setting = settingOf(data, hidden, { ...limits, batchSize });
          const trials = await tryAll(setting, method, grid, seed, (done) => report((k + done) / own.length));
          const best = bestOf(trials);
          losses.push({ batchSize, loss: best?.loss ?? Number.NaN, options: best?.options });
        }
        return losses;
      },
    );
    return resultOf(found, epochs);
  } finally {
    runtime.dispose();
  }
}

function firstRows(data: Parameters<typeof selectRows>[0]) {
  if (data.inputs.shape[0] <= ROWS) return data;
  return selectRows(
    data,
    Int32Array.from({ length: ROWS }, (_, k) => k),
  );
}

function resultOf(found: readonly Found<Losses>[], epochs: number): ExperimentResult {
  const pairs = taskNames.flatMap((task) => {
    const sgd = foundOn(found, task, "sgd");
    return foundOn(found, task, "exactNgd").map(({ batchSize, loss }, k) => {
      return { task, batchSize, ratio: loss / sgd[k].loss };
    });
  });
  const lower = pairs.filter(({ ratio }) => ratio < 1);
  const growths = taskNames.map((task) => ({
    task,
    sgd: growth(found, task, "sgd"),
    exact: growth(found, task, "exactNgd"),
  }));
  const smaller = growths.filter(({ sgd, exact }) => exact < sgd);
  return {
    values: { epochs, losses: found.map(({ task, method, value }) => ({ task, method, losses: value })) },
    charts: taskNames.map((task) => ({
      id: task,
      title: `Training loss on ${task} after ${epochs} epochs`,
      note: `At most the first ${ROWS} rows; each method and size with its best settings of the grid; lines join what was measured.`,
      x: { label: "batch size", scale: "log" },
      y: { label: "training loss", scale: "log" },
      series: METHODS.map((method): ChartSeries => {
        const finite = foundOn(found, task, method).filter(({ loss }) => Number.isFinite(loss));
        const points = finite.map(({ batchSize, loss }) => ({ x: batchSize, y: loss }));
        return { label: method, points, line: points };
      }),
    })),
    tables: [
      {
        title: `Training loss after ${epochs} epochs, by batch size`,
        headings: ["dataset and batch size", ...METHODS],
        rows: pairs.map(({ task, batchSize }) => [
          `${task}, ${batchSize}`,
          ...METHODS.map((method) => {
            const { loss } = foundOn(found, task, method).find((one) => one.batchSize === batchSize)!;
            return Number.isFinite(loss) ? loss.toPrecision(3) : "broke down";
          }),
        ]),
      },
    ],
    claims: [
      {
        id: "lower",
        measured: `It does in ${lower.length} of ${pairs.length} combinations of dataset and size; its loss is ${extreme(pairs, Math.min)} to ${extreme(pairs, Math.max)} of SGD's.`,
        agrees: lower.length === pairs.length,
      },
      {
        id: "large",
        measured: `${growths.map(({ task, sgd, exact }) => `On ${task} by ${exact.toPrecision(2)} where SGD's grows by ${sgd.toPrecision(2)}`).join("; ")}.`,
        agrees: 2 * smaller.length > taskNames.length,
      },
    ],
  };
}

/** Loss with the largest batches over that with the smallest. */
function growth(found: readonly Found<Losses>[], task: TaskName, method: string): number {
  const losses = foundOn(found, task, method);
  return losses.at(-1)!.loss / losses[0].loss;
}

function extreme(pairs: readonly { ratio: number }[], choose: typeof Math.min): string {
  return choose(...pairs.map(({ ratio }) => ratio)).toPrecision(2);
}
