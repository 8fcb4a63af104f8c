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
import { RunError } from "../errors.ts";
import { openRuntime } from "../runtime/runtime.ts";
import type { Runtime } from "../runtime/session.ts";
import type { Tensor } from "../tensor.ts";
import { analyticKernels, type KernelMatrix } from "../theory/index.ts";
import { type ClassSubset, type Examples, loadSubset, syntheticClasses } from "./class-subset.ts";
import type { Experiment, ExperimentChart, ExperimentContext, ExperimentResult } from "./experiment.ts";
import { trainKfac } from "./kfac-training.ts";
import { type WideKernels, type WideMethodName, wideMethods } from "./wide-methods.ts";
import { accuracyOf, reluNetwork } from "./wide-training.ts";

const NETWORK = reluNetwork(3);
const CLASSES = 10;
const datasets = ["mnist", "cifar10"];
const layerWise = ["exact", "block-diagonal", "block tri-diagonal"] as const;
const methods: readonly WideMethodName[] = [...layerWise, "K-FAC"];
/** At αη = 1 the layer-wise methods fit in one step; two more make up for the finite width. */
const STEPS = 3;
/** Differences of accuracy that count as agreement. */
const LIMITS = { full: { methods: 0.03, width: 0.05 }, quick: { methods: 0.1, width: 0.25 } };

/** Test accuracies with so many training samples. */
interface Point {
  readonly samples: number;
  readonly predicted: Readonly<Record<WideMethodName, number>>;
  /** Absent where no network was trained. */
  readonly trained?: Readonly<Record<WideMethodName, number>>;
}

interface Size {
  readonly samples: readonly number[];
  /** Networks are trained with up to so many. */
  readonly mostTrained: number;
  readonly test: number;
  readonly width: number;
  /** K-FAC's networks, steps, and c = αη of each. */
  readonly kfac: { readonly width: number; readonly steps: number; readonly fraction: number };
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
  duration: { full: "3 min", quick: "4 s" },
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
        const predicted = await predict(subset);
        const trains = samples <= size.mostTrained;
        const trained = trains ? await train(subset, size, context.seed, runtime, context.signal) : undefined;
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

/** Accuracies of f_∞ with f_0 = 0. */
async function predict(subset: ClassSubset): Promise<Record<WideMethodName, number>> {
  const kernels: WideKernels = {
    train: analyticKernels(NETWORK, subset.training.inputs),
    test: analyticKernels(NETWORK, subset.training.inputs, subset.test.inputs),
  };
  const accuracies = {} as Record<WideMethodName, number>;
  for (const name of layerWise) {
    accuracies[name] = accuracyOf(await limitOf(name, kernels, subset.training.targets, subset), subset.test);
  }
  const outputs = new Float64Array(subset.test.targets.data.length);
  for (let c = 0; c < CLASSES; c++) {
    const own = await limitOf("K-FAC", kernels, columnOf(subset.training.targets, c), subset);
    for (let n = 0; n < own.data.length; n++) outputs[n * CLASSES + c] = own.data[n];
  }
  accuracies["K-FAC"] = accuracyOf({ data: outputs }, subset.test);
  return accuracies;
}

async function limitOf(
  name: WideMethodName,
  kernels: WideKernels,
  targets: Tensor,
  { test }: ClassSubset,
): Promise<KernelMatrix> {
  const zeros = (rows: number): Tensor => ({
    shape: [rows, targets.shape[1]],
    data: new Float64Array(rows * targets.shape[1]),
  });
  const problem = {
    targets,
    initial: zeros(targets.shape[0]),
    initialTest: zeros(test.inputs.shape[0]),
  };
  const dynamics = await wideMethods[name].predict(kernels, problem);
  if (dynamics.failure !== undefined) throw new RunError(`no prediction: ${dynamics.failure}`);
  return dynamics.limit().test!;
}

function columnOf({ shape: [rows, columns], data }: Tensor, column: number): Tensor {
  return {
    shape: [rows, 1],
    data: Float64Array.from({ length: rows }, (_, n) => data[n * columns + column]),
  };
}

/** Accuracies of trained networks. */
async function train(
  subset: ClassSubset,
  { width, kfac }: Size,
  seed: number,
  runtime: Runtime,
  signal: AbortSignal,
): Promise<Record<WideMethodName, number>> {
  const accuracies = {} as Record<WideMethodName, number>;
  const onStep = async () => signal.throwIfAborted();
  const samples = subset.training.labels.length;
  for (const name of layerWise) {
    const learningRate = 1 / wideMethods[name].factor(NETWORK.depth, samples);
    const training = {
      network: NETWORK,
      width,
      learningRate,
      steps: STEPS,
      seed,
      runtime,
      onStep,
    };
    accuracies[name] = (await wideMethods[name].train(subset, training)).testAccuracies.at(-1)!;
  }
  const learningRate = kfac.fraction / wideMethods["K-FAC"].factor(NETWORK.depth, samples);
  const outputs = new Float64Array(subset.test.targets.data.length);
  for (let c = 0; c < CLASSES; c++) {
    const own = {
      training: { ...subset.training, targets: columnOf(subset.training.targets, c) },
      test: { ...subset.test, targets: columnOf(subset.test.targets, c) },
    };
    const { finalTest } = await trainKfac(own, {
      ...{ network: NETWORK, width: kfac.width, learningRate, steps: kfac.steps },
      ...{ seed: seed + c, runtime, onStep },
    });
    for (let n = 0; n < finalTest.data.length; n++) outputs[n * CLASSES + c] = finalTest.data[n];
  }
  accuracies["K-FAC"] = accuracyOf({ data: outputs }, subset.test);
  return accuracies;
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
    Math.max(...layerWise.map((name) => Math.abs(predicted[name] - predicted.exact))),
  );
  const kfac = worst(({ predicted }) => Math.abs(predicted["K-FAC"] - predicted.exact));
  const finite = worst(({ predicted, trained }) =>
    trained ? Math.max(...layerWise.map((name) => Math.abs(trained[name] - predicted[name]))) : 0,
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
        measured: `Infinitely wide, their accuracies are within ${percent(approximate)} of exact natural gradient's (agreement: ${100 * limits.methods} %); ${list(layerWise)}.`,
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
