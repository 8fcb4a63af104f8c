/**
 * Table 1 of the survey: the training loss that TENGraD and SGD reach on three datasets with three networks each, both tuned on the
 * same grid of learning rates and with as many settings.
 *
 * The paper's table was not at hand: its own numbers are not shown beside these, and none are made up.
 */
import { openRuntime } from "../runtime/runtime.ts";
import type { Experiment, ExperimentContext, ExperimentResult } from "./experiment.ts";
import {
  bestOf,
  fullGrid,
  inWords,
  loadTask,
  quickGrid,
  settingOf,
  surveyData,
  surveyNetworks,
  type TaskName,
  taskNames,
  tryAll,
} from "./survey-tasks.ts";
import { type Setting, type Training, trainBeside } from "./train-beside.ts";

const METHODS = ["tengrad", "sgd"] as const;
type MethodName = (typeof METHODS)[number];

/** Cells of the nine in which the survey, too, has TENGraD below SGD. */
const WANTED = 7;
const SEEDS = 3;

export const shresthaTable1: Experiment = {
  id: "shrestha-table1",
  title: "Training loss of TENGraD and SGD, tuned alike",
  source:
    "Shrestha 2023, Natural Gradient Methods, table 1; without the paper's numbers, which were not at hand",
  summary:
    "Tunes TENGraD and SGD on the same grid on three datasets with three networks each, and compares the training losses that they reach in the same number of steps.",
  claims: [
    {
      id: "tengrad",
      claim:
        "TENGraD's training loss is below SGD's in at least seven of the nine cells (the count is ours, of the survey's table).",
      quick: true,
    },
  ],
  data: surveyData,
  duration: { full: "3 min", quick: "8 s" },
  run,
};

interface Outcome {
  /** Median over the seeds of the best setting; infinite when it broke down. */
  readonly loss: number;
  readonly losses: readonly number[];
  readonly best?: string;
  readonly trials: number;
  readonly diverged: number;
}

interface Cell extends Readonly<Record<MethodName, Outcome>> {
  readonly task: TaskName;
  readonly hidden: readonly number[];
  readonly steps: number;
}

async function run(context: ExperimentContext): Promise<ExperimentResult> {
  const { quick, signal, progress } = context;
  const limits = quick ? { steps: 80, epochs: 60 } : { steps: 1500, epochs: 60 };
  const count = taskNames.length * surveyNetworks.length;
  const runtime = await openRuntime();
  try {
    const cells: Cell[] = [];
    for (const task of taskNames) {
      const data = await loadTask(task, context);
      for (const hidden of surveyNetworks) {
        const setting = settingOf(data, hidden, { runtime, signal, looks: 1, ...limits });
        const outcomes: Outcome[] = [];
        for (const [k, method] of METHODS.entries()) {
          outcomes.push(
            await outcomeOf(setting, method, context, (done) =>
              progress(
                (cells.length + (k + done) / METHODS.length) / count,
                `${method}, ${task} ${hidden.join("-")}`,
              ),
            ),
          );
        }
        cells.push({ task, hidden, steps: setting.steps, tengrad: outcomes[0], sgd: outcomes[1] });
      }
    }
    return resultOf(cells, quick);
  } finally {
    runtime.dispose();
  }
}

/** Tunes with one seed; further seeds train with what was best. */
async function outcomeOf(
  setting: Setting,
  method: MethodName,
  { quick, seed }: ExperimentContext,
  report: (done: number) => Promise<void>,
): Promise<Outcome> {
  const trials = await tryAll(setting, method, quick ? quickGrid : fullGrid, seed, report);
  const diverged = trials.filter(({ loss }) => !Number.isFinite(loss)).length;
  const best = bestOf(trials);
  const counts = { trials: trials.length, diverged };
  if (best === undefined) return { ...counts, loss: Number.POSITIVE_INFINITY, losses: [] };
  const trainings: Training[] = [best];
  for (let k = 1; k < (quick ? 1 : SEEDS); k++) {
    trainings.push(await trainBeside(setting, method, best.options, seed + k));
  }
  const losses = trainings.map(({ loss }) => (Number.isFinite(loss) ? loss : Number.POSITIVE_INFINITY));
  const sorted = losses.toSorted((a, b) => a - b);
  return { ...counts, loss: sorted[sorted.length >> 1], losses, best: inWords(best.options) };
}

function resultOf(cells: readonly Cell[], quick: boolean): ExperimentResult {
  const lower = cells.filter(({ tengrad, sgd }) => tengrad.loss < sgd.loss);
  const elsewhere = cells.filter((cell) => !lower.includes(cell)).map(nameOf);
  const finite = (method: MethodName) =>
    cells.flatMap((cell, x) =>
      Number.isFinite(cell[method].loss) ? [{ x: x + 1, y: cell[method].loss }] : [],
    );
  return {
    values: { cells, lower: lower.length },
    charts: [
      {
        id: "losses",
        title: "Training loss at the end",
        note: `Cells in the order of the table: ${cells.map((cell, k) => `${k + 1} ${nameOf(cell)}`).join("; ")}.`,
        x: { label: "cell", scale: "linear", integer: true },
        y: { label: "training loss", scale: "log" },
        series: METHODS.map((method) => ({ label: method, points: finite(method) })),
      },
    ],
    tables: [
      {
        title: `Training loss${quick ? "" : `, median of ${SEEDS} seeds`}; the settings with the lowest one`,
        headings: [
          "dataset and hidden layers",
          "steps",
          "tengrad",
          "sgd",
          "tengrad's settings",
          "sgd's settings",
        ],
        rows: cells.map((cell) => [
          nameOf(cell),
          String(cell.steps),
          ...METHODS.map((method) => formatLoss(cell[method].loss)),
          ...METHODS.map((method) => cell[method].best ?? "every one broke down"),
        ]),
      },
    ],
    claims: [
      {
        id: "tengrad",
        measured: `It is in ${lower.length} of ${cells.length}${elsewhere.length > 0 ? `, not in ${elsewhere.join(", ")}` : ""}.`,
        agrees: lower.length >= WANTED,
      },
    ],
  };
}

function nameOf({ task, hidden }: Pick<Cell, "task" | "hidden">): string {
  return `${task} ${hidden.join("-")}`;
}

function formatLoss(loss: number): string {
  if (!Number.isFinite(loss)) return "broke down";
  return loss < 1e-3 ? loss.toExponential(2) : loss.toPrecision(3);
}
