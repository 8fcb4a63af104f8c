/**
 * Figures 9 and 10 of TENGraD: how sensitive it is to the learning rate, the damping and the weight decay, K-FAC beside it.
 *
 * The paper trains convolutional networks on accelerators. Here it is one dense network on a part of Fashion-MNIST, small enough for
 * two cores, on images of half the size; which figure has which pair of options is ours: 9 the learning rate and the damping, 10 the learning rate and the
 * weight decay.
 */

import { selectRows } from "../data/dataset.ts";
import { type Dataset, loadDataset } from "../data/index.ts";
import { avgPool, dense, flatten, relu, sequential } from "../nn/index.ts";
import { openRuntime } from "../runtime/runtime.ts";
import type { Evaluation } from "../training/evaluation.ts";
import type {
  ChartSeries,
  Experiment,
  ExperimentContext,
  ExperimentResult,
  ExperimentTable,
} from "./experiment.ts";
import { outputsOf, type Setting, type Training, trainBeside } from "./train-beside.ts";

const METHODS = ["tengrad", "kfac"] as const;

interface Sweep {
  readonly id: string;
  readonly figure: number;
  /** The option that varies beside the learning rate, and its values, of the full and of the quick version. */
  readonly option: "damping" | "weightDecay";
  readonly words: string;
  readonly values: readonly number[];
  readonly quickValues: readonly number[];
  /** Options held. */
  readonly held: Readonly<Record<string, number>>;
  readonly claim: string;
}

/** Points of accuracy that count as close to the best. */
const CLOSE = 5;

/** Test accuracies in percent, of what did not break down. */
interface Spread {
  readonly best: number;
  /** Best over the learning rates for each value of the option; 0 when all broke down. */
  readonly byValue: readonly { readonly value: number; readonly accuracy: number }[];
  /** Settings within so many points of the best. */
  readonly near: number;
  readonly all: number;
}

const sweeps: readonly Sweep[] = [
  {
    ...{ id: "tengrad-fig9", figure: 9, option: "damping", words: "damping", held: {} },
    ...{ values: [3, 1, 0.3, 0.1, 0.03], quickValues: [1, 0.1] },
    claim:
      "TENGraD does not depend on finding its damping: with a suitable learning rate every damping of the grid comes within five points of the best test accuracy.",
  },
  {
    ...{ id: "tengrad-fig10", figure: 10, option: "weightDecay", words: "weight decay" },
    ...{ values: [0, 1e-5, 1e-4, 1e-3, 1e-2], quickValues: [0, 1e-3], held: { damping: 0.3 } },
    claim:
      "TENGraD is not sensitive to weight decay: with a suitable learning rate every weight decay of the grid comes within five points of the best test accuracy.",
  },
];

export const tengradSensitivity: readonly Experiment[] = sweeps.map((sweep) => ({
  id: sweep.id,
  title: `Sensitivity to learning rate and ${sweep.words}`,
  source: `Soori et al. 2021, TENGraD, figure ${sweep.figure}, on a dense network in place of the paper's convolutional ones; the claim is in our words`,
  summary: `Trains a dense network on a part of Fashion-MNIST by TENGraD and K-FAC with every pair of a learning rate and a ${sweep.words} of a grid and compares the test accuracies.`,
  claims: [{ id: "robust", claim: sweep.claim, quick: true }],
  data: { datasets: ["fashion-mnist"], synthetic: "glyphs of 8 by 8 pixels" },
  duration: { full: "30 s", quick: "6 s" },
  run: (context) => run(sweep, context),
}));

type Trials = Readonly<Record<(typeof METHODS)[number], readonly Training[]>>;

async function run(sweep: Sweep, context: ExperimentContext): Promise<ExperimentResult> {
  const { quick, seed, progress } = context;
  const rates = quick ? [0.3, 0.1, 0.03] : [0.3, 0.1, 0.03, 0.01, 0.003];
  const values = quick ? sweep.quickValues : sweep.values;
  const options = values.flatMap((value) =>
    rates.map((learningRate) => ({ ...sweep.held, learningRate, [sweep.option]: value })),
  );
  const runtime = await openRuntime();
  try {
    const setting: Setting = { ...(await settingOf(context)), runtime };
    const trials: Record<(typeof METHODS)[number], Training[]> = { tengrad: [], kfac: [] };
    for (const [m, method] of METHODS.entries()) {
      for (const [k, one] of options.entries()) {
        await progress(
          (m + k / options.length) / METHODS.length,
          `${method}, ${Object.values(one).join(", ")}`,
        );
        trials[method].push(await trainBeside(setting, method, one, seed));
      }
    }
    return resultOf(sweep, trials, { rates, values, steps: setting.steps });
  } finally {
    runtime.dispose();
  }
}

async function settingOf({ quick, synthetic, signal }: ExperimentContext): Promise<Omit<Setting, "runtime">> {
  const rows = quick ? (synthetic ? 2000 : 640) : synthetic ? 4000 : 6000;
  const { training, validation } = await loadDataset(synthetic ? "glyphs" : "fashion-mnist", { rows });
  const hidden = quick ? 32 : 64;
  return {
    ...{
      data: training,
      heldOut: firstRows(validation, quick ? 500 : 5000),
      batchSize: quick ? 64 : 128,
      signal,
    },
    ...{ steps: quick ? (synthetic ? 400 : 120) : 300, looks: 1 },
    model: sequential([
      ...(synthetic ? [] : [avgPool(quick ? 4 : 2)]),
      flatten(),
      dense(hidden),
      relu(),
      dense(outputsOf(training)),
    ]),
  };
}

function firstRows(data: Dataset, count: number): Dataset {
  return selectRows(
    data,
    Int32Array.from({ length: Math.min(count, data.inputs.shape[0]) }, (_, k) => k),
  );
}

interface Grid {
  readonly rates: readonly number[];
  readonly values: readonly number[];
  readonly steps: number;
}

function resultOf(sweep: Sweep, trials: Trials, grid: Grid): ExperimentResult {
  const { option, words } = sweep;
  const spreads = METHODS.map((method) => ({ method, ...spreadOf(trials[method], sweep, grid) }));
  return {
    values: {
      ...grid,
      trials: METHODS.map((method) => ({
        method,
        trainings: trials[method].map(({ options, loss, heldOut, rejected }) => {
          return { options, loss, accuracy: heldOut && accuracyOf(heldOut), rejected };
        }),
      })),
      spreads,
    },
    charts: METHODS.map((method) => ({
      id: method,
      title: `Test accuracy of ${method}`,
      note: `After ${grid.steps} steps, by learning rate; one color for each ${words}. Lines join what was measured; what broke down is left out.`,
      x: { label: "learning rate", scale: "log" },
      y: { label: "test accuracy, %", scale: "linear" },
      series: grid.values.map((value): ChartSeries => {
        const points = grid.rates
          .toSorted((a, b) => a - b)
          .flatMap((rate) => {
            const found = trials[method].find(
              ({ options }) => options.learningRate === rate && options[option] === value,
            );
            return found?.heldOut ? [{ x: rate, y: accuracyOf(found.heldOut) }] : [];
          });
        return { label: `${words} ${value}`, points, line: points };
      }),
    })),
    tables: [spreadTable(spreads, sweep)],
    claims: [{ id: "robust", ...judge(spreads[0]) }],
  };
}

function spreadOf(trials: readonly Training[], { option }: Sweep, { values }: Grid): Spread {
  const accuracy = ({ heldOut }: Training) => (heldOut ? accuracyOf(heldOut) : 0);
  const best = Math.max(...trials.map(accuracy));
  return {
    ...{ best, all: trials.length },
    byValue: values.map((value) => ({
      value,
      accuracy: Math.max(...trials.filter(({ options }) => options[option] === value).map(accuracy)),
    })),
    near: trials.filter((trial) => accuracy(trial) >= best - CLOSE).length,
  };
}

function spreadTable(spreads: readonly (Spread & { method: string })[], { words }: Sweep): ExperimentTable {
  return {
    title: `Test accuracy, %, with the best learning rate for each ${words}`,
    headings: [
      "method",
      ...spreads[0].byValue.map(({ value }) => `${value}`),
      `settings within ${CLOSE} points of the best`,
    ],
    rows: spreads.map(({ method, byValue, near, all }) => [
      method,
      ...byValue.map(({ accuracy }) => (accuracy === 0 ? "broke down" : accuracy.toFixed(1))),
      `${near} of ${all}`,
    ]),
  };
}

/** In percent. */
function accuracyOf({ metric }: Evaluation): number {
  return 100 * metric.value;
}

function judge({ best, byValue, near, all }: Spread) {
  const least = Math.min(...byValue.map(({ accuracy }) => accuracy));
  return {
    measured: `The best accuracies are ${least.toFixed(1)} to ${best.toFixed(1)} % over ${byValue.length} values; ${near} of all ${all} settings are within ${CLOSE} points of the best.`,
    agrees: least >= best - CLOSE,
  };
}
