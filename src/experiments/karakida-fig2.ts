/**
 * Where training ends away from the training points: test accuracy of exact, block-diagonal, block tri-diagonal natural gradient and
 * K-FAC, on ten classes of pictures [Karakida20, fig. 2].
 *
 * All fit the training targets, at the same rate, and are different functions elsewhere: f_∞(x') = Θ̄(x', x)Θ̄⁻¹y, kernel regressions with
 * kernels of their own. Lines are infinitely wide networks (of first output 0, its mean), points are trained ones. Targets are one-hot; the
 * theory of K-FAC and the form of it without damping are for one output, so K-FAC's classifiers are ten
 * networks, one a class.
 *
 * Differs from the published code: ten classes in place of two for K-FAC, in the way just said.
 */
import { openRuntime } from "../runtime/runtime.ts";
import type { Tensor } from "../tensor.ts";
import { type Examples, loadSubset, syntheticClasses } from "./class-subset.ts";
import type { Experiment, ExperimentChart, ExperimentContext, ExperimentResult } from "./experiment.ts";
import {
  type Accuracies,
  type AccuracyTraining,
  layerWiseMethods,
  predictAccuracies,
  trainAccuracies,
} from "./wide-accuracy.ts";
import type { WideMethodName } from "./wide-methods.ts";

const CLASSES = 10;
const datasets = ["mnist", "cifar10"];
const methods: readonly WideMethodName[] = [...layerWiseMethods, "K-FAC"];
/** Differences of accuracy that count as agreement. */
const LIMITS = { full: { methods: 0.03, width: 0.05 }, quick: { methods: 0.1, width: 0.25 } };

/** Test accuracies with so many training samples. */
interface Point {
  readonly samples: number;
  readonly predicted: Accuracies;
  /** Absent where no network was trained. */
  readonly trained?: Accuracies;
}

interface Size extends AccuracyTraining {
  readonly samples: readonly number[];
  /** Networks are trained with up to so many. */
  readonly mostTrained: number;
  readonly test: number;
}

const sizes: Readonly<Record<"full" | "quick", Size>> = {
  full: {
    samples: [50, 100, 200, 400],
    mostTrained: 100,
    test: 1000,
    width: 1024,
    kfac: { width: 512, steps: 16, fraction: 0.25 },
  },
  quick: {
    samples: [20, 40],
    mostTrained: 20,
    test: 100,
    width: 256,
    kfac: { width: 64, steps: 4, fraction: 0.6 },
  },
};

export const karakidaFigure2: Experiment = {
  id: "karakida-fig2",
  title: "Test accuracy of natural gradients with approximate Fisher matrices",
  source: "Karakida & Osawa 2020, Understanding approximate Fisher information …, figure 2",
  summary:
    "Predicts the test accuracy of infinitely wide networks after training by four natural gradients on 50 to 400 pictures of ten classes, and trains finite ones.",
  claims: [
    {
      id: "layer-wise",
      claim: "Layer-wise approximations generalize about as exact natural gradient does.",
      quick: true,
    },
    { id: "kfac", claim: "K-FAC generalizes about as exact natural gradient does.", quick: false },
    {
      id: "trained",
      claim: "Networks trained by the layer-wise methods have the test accuracy that the theory says.",
      quick: true,
    },
  ],
  data: { datasets, synthetic: syntheticClasses },
  duration: { full: "5 min", quick: "4 s" },
  run,
};

async function run(context: ExperimentContext): Promise<ExperimentResult> {
  const { quick, progress } = context;
  const size = sizes[quick ? "quick" : "full"];
  const classes = Array.from({ length: CLASSES }, (_, c) => c);
  const found: Record<string, Point[]> = {};
  const runtime = await openRuntime();
  const chosen = quick ? datasets.slice(0, 1) : datasets;
  const total = chosen.length * size.samples.length;
  let done = 0;
  try {
    for (const dataset of chosen) {
      found[dataset] = [];
      const most = Math.max(...size.samples);
      await progress(done / total, dataset);
      const whole = await loadSubset({ dataset, classes, training: most, test: size.test }, context);
      for (const samples of size.samples) {
        await progress(done / total, `${dataset}, ${samples} pictures`);
        const subset = { training: firstOf(whole.training, samples), test: whole.test };
        const predicted = await predictAccuracies(subset);
        const trains = samples <= size.mostTrained;
        const trained = trains
          ? await trainAccuracies(subset, size, context.seed, runtime, context.signal)
          : undefined;
        found[dataset].push({ samples, predicted, trained });
        done++;
      }
    }
  } finally {
    runtime.dispose();
  }
  return conclude(found, size, LIMITS[quick ? "quick" : "full"]);
}

/** The first samples of a part. */
function firstOf({ inputs, targets, labels }: Examples, count: number): Examples {
  const rows = ({ shape: [, width], data }: Tensor): Tensor => ({
    shape: [count, width],
    data: data.slice(0, count * width),
  });
  return { inputs: rows(inputs), targets: rows(targets), labels: labels.slice(0, count) };
}

function conclude(
  found: Readonly<Record<string, readonly Point[]>>,
  { width, kfac: { width: kfacWidth }, test }: Size,
  limits: { readonly methods: number; readonly width: number },
): ExperimentResult {
  const all = Object.entries(found).flatMap(([dataset, points]) =>
    points.map((point) => ({ dataset, ...point })),
  );
  const percent = (share: number) => `${(100 * share).toFixed(1)} %`;
  const worst = (of: (point: (typeof all)[number]) => number) => Math.max(...all.map(of));
  const approximate = worst(({ predicted }) =>
    Math.max(...layerWiseMethods.map((name) => Math.abs(predicted[name] - predicted.exact))),
  );
  const kfac = worst(({ predicted }) => Math.abs(predicted["K-FAC"] - predicted.exact));
  const finite = worst(({ predicted, trained }) =>
    trained ? Math.max(...layerWiseMethods.map((name) => Math.abs(trained[name] - predicted[name]))) : 0,
  );
  const largest = Object.entries(found).map(([dataset, points]) => ({ dataset, ...points.at(-1)! }));
  const list = (names: readonly WideMethodName[]) =>
    largest
      .map(
        ({ dataset, samples, predicted }) =>
          `${dataset}, ${samples} pictures: ${names.map((name) => `${name} ${percent(predicted[name])}`).join(", ")}`,
      )
      .join("; ");
  return {
    values: { width, kfacWidth, test, found },
    charts: Object.entries(found).map(([dataset, points]) =>
      accuracyChart(dataset, points, width, kfacWidth),
    ),
    tables: [accuracyTable(all)],
    claims: [
      {
        id: "layer-wise",
        measured: `Infinitely wide, their accuracies are within ${percent(approximate)} of exact natural gradient's (agreement: ${100 * limits.methods} %); ${list(layerWiseMethods)}.`,
        agrees: approximate < limits.methods,
      },
      {
        id: "kfac",
        measured: `Infinitely wide, its accuracy is up to ${percent(kfac)} from exact natural gradient's (agreement: ${100 * limits.methods} %); ${list(["K-FAC"])}.`,
        agrees: kfac < limits.methods,
      },
      {
        id: "trained",
        measured: `At width ${width} they are within ${percent(finite)} of it on ${test} pictures (agreement: ${100 * limits.width} %).`,
        agrees: finite < limits.width,
      },
    ],
  };
}

function accuracyChart(
  dataset: string,
  points: readonly Point[],
  width: number,
  kfacWidth: number,
): ExperimentChart {
  return {
    id: dataset,
    title: `Test accuracy, ${dataset}`,
    note: `Lines: infinitely wide networks. Symbols: trained ones, width ${width} and, for K-FAC, ${kfacWidth}.`,
    x: { label: "training pictures", scale: "log" },
    y: { label: "test accuracy", scale: "linear" },
    series: methods.map((name) => ({
      label: name,
      line: points.map(({ samples, predicted }) => ({ x: samples, y: predicted[name] })),
      points: points.flatMap(({ samples, trained }) => (trained ? [{ x: samples, y: trained[name] }] : [])),
    })),
  };
}

function accuracyTable(all: readonly (Point & { readonly dataset: string })[]) {
  const percent = (share: number | undefined) =>
    share === undefined ? "–" : `${(100 * share).toFixed(1)} %`;
  return {
    title: "Test accuracy: infinitely wide, and trained",
    headings: ["data", "pictures", ...methods.flatMap((name) => [name, "trained"])],
    rows: all.map(({ dataset, samples, predicted, trained }) => [
      dataset,
      String(samples),
      ...methods.flatMap((name) => [percent(predicted[name]), percent(trained?.[name])]),
    ]),
  };
}
