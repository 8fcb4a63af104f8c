/**
 * Test accuracies of classifiers of several classes by the methods of Karakida & Osawa 2020: of infinitely wide networks, and of trained ones.
 *
 * Targets are one-hot. The theory of K-FAC and the form of it without damping are for one output, so its classifiers are as many
 * networks as there are classes, of one output each.
 */
import { RunError } from "../errors.ts";
import type { Runtime } from "../runtime/session.ts";
import type { Tensor } from "../tensor.ts";
import { analyticKernels, type KernelMatrix } from "../theory/index.ts";
import type { ClassSubset } from "./class-subset.ts";
import { trainKfac } from "./kfac-training.ts";
import { type WideKernels, type WideMethodName, wideMethods } from "./wide-methods.ts";
import { accuracyOf, reluNetwork } from "./wide-training.ts";

export const layerWiseMethods = ["exact", "block-diagonal", "block tri-diagonal"] as const;
export type Accuracies = Readonly<Record<WideMethodName, number>>;

export interface AccuracyTraining {
  readonly width: number;
  /** K-FAC's networks, steps, and c = αη of each. */
  readonly kfac: { readonly width: number; readonly steps: number; readonly fraction: number };
}

const NETWORK = reluNetwork(3);
/** At αη = 1 the layer-wise methods fit in one step; two more make up for the finite width. */
const STEPS = 3;

/** Accuracies of f_∞ with f_0 = 0. */
export async function predictAccuracies(subset: ClassSubset): Promise<Accuracies> {
  const kernels: WideKernels = {
    train: analyticKernels(NETWORK, subset.training.inputs),
    test: analyticKernels(NETWORK, subset.training.inputs, subset.test.inputs),
  };
  const accuracies = {} as Record<WideMethodName, number>;
  for (const name of layerWiseMethods) {
    accuracies[name] = accuracyOf(await limitOf(name, kernels, subset.training.targets, subset), subset.test);
  }
  const classes = subset.training.targets.shape[1];
  const outputs = new Float64Array(subset.test.targets.data.length);
  for (let c = 0; c < classes; c++) {
    const own = await limitOf("K-FAC", kernels, columnOf(subset.training.targets, c), subset);
    for (let n = 0; n < own.data.length; n++) outputs[n * classes + c] = own.data[n];
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
export async function trainAccuracies(
  subset: ClassSubset,
  { width, kfac }: AccuracyTraining,
  seed: number,
  runtime: Runtime,
  signal: AbortSignal,
): Promise<Accuracies> {
  const accuracies = {} as Record<WideMethodName, number>;
  const onStep = async () => signal.throwIfAborted();
  const samples = subset.training.labels.length;
  for (const name of layerWiseMethods) {
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
  const classes = subset.training.targets.shape[1];
  const outputs = new Float64Array(subset.test.targets.data.length);
  for (let c = 0; c < classes; c++) {
    const own = {
      training: { ...subset.training, targets: columnOf(subset.training.targets, c) },
      test: { ...subset.test, targets: columnOf(subset.test.targets, c) },
    };
    const { finalTest } = await trainKfac(own, {
      ...{ network: NETWORK, width: kfac.width, learningRate, steps: kfac.steps },
      ...{ seed: seed + c, runtime, onStep },
    });
    for (let n = 0; n < finalTest.data.length; n++) outputs[n * classes + c] = finalTest.data[n];
  }
  accuracies["K-FAC"] = accuracyOf({ data: outputs }, subset.test);
  return accuracies;
}
