/**
 * Training beside theory: the loss of a wide network on two classes by exact, block-diagonal, block tri-diagonal natural gradient
 * and K-FAC, over what the theory says of the infinitely wide one [Karakida20, fig. 1a].
 *
 * Each method is given a fraction of its own optimal rate, η = c/α, so that the loss falls as (1 − c)²ᵗ. The fractions differ only to tell
 * the curves apart. They are small because the theory is of the first order: a network of width M departs from it by the curvature of
 * its function along the way, about c/√M of the loss.
 */
import { openRuntime } from "../runtime/runtime.ts";
import type { Runtime } from "../runtime/session.ts";
import { analyticKernels } from "../theory/index.ts";
import { type ClassSubset, loadSubset, syntheticClasses } from "./class-subset.ts";
import type { Experiment, ExperimentContext, ExperimentResult } from "./experiment.ts";
import { type WideKernels, type WideMethodName, wideMethods } from "./wide-methods.ts";
import { comparisonTable, type Comparison, compareWithTheory, lossChart } from "./wide-comparison.ts";
import { reluNetwork } from "./wide-training.ts";

const DEPTH = 3;
/** c of η = c/α. */
const fractions: Readonly<Record<WideMethodName, number>> = {
  exact: 0.15,
  "block-diagonal": 0.1,
  "block tri-diagonal": 0.125,
  "K-FAC": 0.075,
};
/** Losses are compared down to this. */
const LEAST_LOSS = 1e-4;
/** Largest relative gap that counts as agreement, at width 4096 and in the quick version. */
const FULL_GAP = 0.05;
const QUICK_GAP = 0.3;

export const karakidaFigure1a: Experiment = {
  id: "karakida-fig1a",
  title: "Natural gradients of wide networks: training beside theory",
  source: "Karakida & Osawa 2020, Understanding approximate Fisher information …, figure 1a",
  summary:
    "Trains networks of three layers and width 4096 on 100 digits by four natural gradients without damping, and draws the losses over the predicted ones.",
  claims: [
    {
      id: "same-dynamics",
      claim:
        "In wide networks, exact, block-diagonal, block tri-diagonal natural gradient and K-FAC all converge exponentially, as y + (1 − αη)ᵗ(f_0 − y) says.",
      quick: true,
    },
  ],
  data: { datasets: ["mnist"], synthetic: syntheticClasses },
  duration: { full: "2 min", quick: "5 s" },
  run,
};

async function run(context: ExperimentContext): Promise<ExperimentResult> {
  const { quick } = context;
  const [samples, width, limit] = quick ? [30, 256, QUICK_GAP] : [100, 4096, FULL_GAP];
  await context.progress(0, "data");
  const request = { dataset: "mnist", classes: [0, 7], training: samples, test: quick ? 20 : 50 };
  const subset = await loadSubset(request, context);
  const network = reluNetwork(DEPTH);
  const { inputs } = subset.training;
  const kernels = {
    train: analyticKernels(network, inputs),
    test: analyticKernels(network, inputs, subset.test.inputs),
  };
  const runtime = await openRuntime();
  try {
    const comparisons: Comparison[] = [];
    for (const name of Object.keys(fractions) as WideMethodName[]) {
      const done = comparisons.length / Object.keys(fractions).length;
      comparisons.push(await one(name, subset, kernels, { context, width, runtime, done }));
    }
    const largest = Math.max(...comparisons.map(({ gap }) => gap));
    return {
      values: { samples, width, depth: DEPTH, leastLoss: LEAST_LOSS, limit, largestGap: largest, methods: comparisons },
      charts: [
        lossChart("loss", "Training loss", comparisons, ({ losses }) => losses),
        lossChart("test-loss", "Test loss", comparisons, ({ testLosses }) => testLosses),
      ],
      tables: [comparisonTable(`Width ${width}, ${samples} samples`, comparisons)],
      claims: [
        {
          id: "same-dynamics",
          measured: `At width ${width} the training losses are within ${(100 * largest).toFixed(1)} % of the predicted ones while these are above ${LEAST_LOSS} (agreement: ${100 * limit} %): ${comparisons.map(({ label, gap }) => `${label} ${(100 * gap).toFixed(1)} %`).join(", ")}.`,
          agrees: largest < limit,
        },
      ],
    };
  } finally {
    runtime.dispose();
  }
}

interface Setting {
  readonly context: ExperimentContext;
  readonly width: number;
  readonly runtime: Runtime;
  /** Share of the experiment that is done. */
  readonly done: number;
}

function one(
  name: WideMethodName,
  subset: ClassSubset,
  kernels: WideKernels,
  { context, width, runtime, done }: Setting,
): Promise<Comparison> {
  const [fraction, count] = [fractions[name], Object.keys(fractions).length];
  // The loss begins near 1/8 and falls by (1 − c)² a step.
  const steps = Math.ceil(Math.log(LEAST_LOSS / 0.15) / (2 * Math.log(1 - fraction)));
  return compareWithTheory(wideMethods[name], subset, kernels, {
    ...{ network: reluNetwork(DEPTH), width, fraction, steps, runtime },
    ...{ seed: context.seed, leastLoss: LEAST_LOSS, label: `${name}, η = ${fraction}/α` },
    onStep: (step) => context.progress(done + step / steps / count, `${name}, step ${step} of ${steps}`),
  });
}
