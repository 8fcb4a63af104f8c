/**
 * Training wide networks by the library's own optimizers on a few images, and what came of it at every step; and the same of a
 * prediction, so that the two can be drawn over each other.
 *
 * Losses are (1/2N) Σ‖y − f‖², the gaussian likelihood's and that of the published code.
 */
import { RunError } from "../errors.ts";
import { gaussian } from "../nn/index.ts";
import type { Optimizer } from "../optimizers/index.ts";
import type { Runtime } from "../runtime/session.ts";
import { type FloatDType, indexOfLargest, type Tensor } from "../tensor.ts";
import { type Dynamics, finiteNetwork, type WideNetwork } from "../theory/index.ts";
import { createTrainer } from "../training/create-trainer.ts";
import type { ClassSubset, Examples } from "./class-subset.ts";
import type { KinkCrossings } from "./kinks.ts";

/** The networks of Karakida & Osawa 2020: ReLU, σ_w² = 2, no biases. */
export function reluNetwork(depth: number): WideNetwork {
  return { depth, activation: "relu", sigmaW: Math.SQRT2 };
}

export interface WideTraining {
  readonly network: WideNetwork;
  readonly width: number;
  readonly optimizer: Optimizer;
  readonly steps: number;
  readonly seed: number;
  /** Default `"float64"`. */
  readonly dtype?: FloatDType;
  readonly runtime: Runtime;
  /** Called after every step. */
  onStep?(step: number): Promise<void>;
}

/** At steps 0 … T. */
export interface Course {
  readonly losses: readonly number[];
  readonly testLosses: readonly number[];
  /** Shares of right signs, or of right largest outputs. */
  readonly accuracies: readonly number[];
  readonly testAccuracies: readonly number[];
}

export interface TrainedCourse extends Course {
  /** f_0 at the two parts. */
  readonly initial: Tensor;
  readonly initialTest: Tensor;
  /** The last outputs at the test part. */
  readonly finalTest: Pick<Tensor, "data">;
  /** Of the last step; only of K-FAC with rectifiers. */
  readonly crossings?: KinkCrossings;
}

/**
 * Trains on the whole training part at every step.
 *
 * @throws RunError when a step is rejected, unless it left the finite numbers: the course then ends there
 */
export async function trainWide(subset: ClassSubset, training: WideTraining): Promise<TrainedCourse> {
  const { network, width, optimizer, steps, seed, dtype = "float64", runtime, onStep } = training;
  const { inputs, targets } = subset.training;
  const trainer = await createTrainer(
    {
      model: finiteNetwork(network, width, targets.shape[1]),
      ...{ inputShape: [inputs.shape[1]], likelihood: gaussian(), optimizer, dtype, seed },
      batchSize: inputs.shape[0],
    },
    { runtime },
  );
  try {
    const batch = { inputs: converted(inputs, dtype), targets: converted(targets, dtype) };
    const testInputs = converted(subset.test.inputs, dtype);
    const predict = async () => [await trainer.predict(batch.inputs), await trainer.predict(testInputs)];
    const [initial, initialTest] = await predict();
    const outputs = [[initial, initialTest]];
    for (let step = 1; step <= steps; step++) {
      const { accepted, status } = await trainer.step(batch);
      if (!accepted) throw new RunError(`${optimizer.name}, step ${step}: ${status}`);
      outputs.push(await predict());
      await onStep?.(step);
    }
    return { initial, initialTest, finalTest: outputs.at(-1)![1], ...courseOf(subset, outputs) };
  } finally {
    trainer.dispose();
  }
}

/** What a prediction says of the steps 0 … T. */
export function predictCourse(
  subset: ClassSubset,
  dynamics: Dynamics,
  steps: number,
  learningRate: number,
): Course {
  const outputs = Array.from({ length: steps + 1 }, (_, step) => {
    const { train, test } = dynamics.at(step, learningRate);
    if (test === undefined) throw new Error(`${dynamics.metric}: a prediction without test points`);
    return [train, test];
  });
  return courseOf(subset, outputs);
}

/** Losses and accuracies of the outputs at both parts, step by step. */
export function courseOf(
  { training, test }: ClassSubset,
  outputs: readonly (readonly Pick<Tensor, "data">[])[],
): Course {
  return {
    losses: outputs.map(([own]) => lossOf(own, training)),
    testLosses: outputs.map(([, other]) => lossOf(other, test)),
    accuracies: outputs.map(([own]) => accuracyOf(own, training)),
    testAccuracies: outputs.map(([, other]) => accuracyOf(other, test)),
  };
}

/** (1/2N) Σ‖y − f‖². */
export function lossOf({ data }: Pick<Tensor, "data">, { targets }: Examples): number {
  let sum = 0;
  for (let k = 0; k < targets.data.length; k++) sum += (data[k] - targets.data[k]) ** 2;
  return sum / (2 * targets.shape[0]);
}

/** The share of samples whose class is the one of the largest output, or of the sign. */
export function accuracyOf({ data }: Pick<Tensor, "data">, { targets, labels }: Examples): number {
  const [samples, outputs] = targets.shape;
  let right = 0;
  for (let n = 0; n < samples; n++) {
    const signed = data[n] > 0 ? 0 : 1;
    const best = outputs === 1 ? signed : indexOfLargest(data.subarray(n * outputs, (n + 1) * outputs));
    if (best === labels[n]) right++;
  }
  return right / samples;
}

/** The largest |a/b − 1| of the steps at which b is above a threshold. */
export function largestGap(a: readonly number[], b: readonly number[], threshold: number): number {
  const gaps = a.flatMap((value, step) => (b[step] > threshold ? [Math.abs(value / b[step] - 1)] : []));
  return Math.max(0, ...gaps);
}

function converted({ shape, data }: Tensor, dtype: FloatDType): Tensor {
  return { shape, data: dtype === "float64" ? Float64Array.from(data) : Float32Array.from(data) };
}
