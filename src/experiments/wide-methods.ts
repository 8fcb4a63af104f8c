/**
 * The methods of Karakida & Osawa 2020: how each trains a network of finite width here, and what the theory says of an infinitely
 * wide one. All without damping.
 */
import { RunError } from "../errors.ts";
import { blockDiagonalNgd, blockTridiagonalNgd, exactNgd } from "../optimizers/index.ts";
import {
  type Dynamics,
  type DynamicsResult,
  exactDynamics,
  isotropyFactor,
  kfacDynamics,
  type LayerKernels,
  type LearningProblem,
  layerWiseDynamics,
} from "../theory/index.ts";
import type { ClassSubset } from "./class-subset.ts";
import { trainKfac } from "./kfac-training.ts";
import { type TrainedCourse, trainWide, type WideTraining } from "./wide-training.ts";

export type WideMethodName = "exact" | "block-diagonal" | "block tri-diagonal" | "K-FAC";

/** Kernels of the infinitely wide network between training points, and from them to test points. */
export interface WideKernels {
  readonly train: LayerKernels;
  readonly test: LayerKernels;
}

export type MethodTraining = Omit<WideTraining, "optimizer"> & { readonly learningRate: number };

export interface WideMethod {
  readonly name: WideMethodName;
  /** α of Θ̄ = αI; 1/α is the learning rate that fits all training points in one step. */
  factor(depth: number, samples: number): number;
  train(subset: ClassSubset, training: MethodTraining): Promise<TrainedCourse>;
  predict(kernels: WideKernels, problem: LearningProblem): Promise<DynamicsResult>;
}

const exact: WideMethod = {
  name: "exact",
  factor: () => 1,
  train: (subset, { learningRate, ...training }) =>
    trainWide(subset, { ...training, optimizer: exactNgd({ learningRate, damping: 0 }) }),
  predict: ({ train, test }, problem) => exactDynamics(train.theta, problem, test.theta),
};

const blockDiagonal: WideMethod = {
  name: "block-diagonal",
  factor: (depth) => isotropyFactor("identity", depth),
  train: (subset, { learningRate, ...training }) =>
    trainWide(subset, { ...training, optimizer: blockDiagonalNgd({ learningRate, damping: 0 }) }),
  predict: ({ train, test }, problem) => layerWiseDynamics(train.layers, problem, "identity", test.layers),
};

const blockTridiagonal: WideMethod = {
  name: "block tri-diagonal",
  factor: (depth) => isotropyFactor("tridiagonal", depth),
  train: (subset, { learningRate, ...training }) =>
    trainWide(subset, { ...training, optimizer: blockTridiagonalNgd({ learningRate, damping: 0 }) }),
  predict: ({ train, test }, problem) => layerWiseDynamics(train.layers, problem, "tridiagonal", test.layers),
};

const kfac: WideMethod = {
  name: "K-FAC",
  factor: (depth, samples) => samples * (depth - 1) + 1,
  train: trainKfac,
  predict: ({ train, test }, problem) => kfacDynamics(train, problem, test),
};

/** By name; K-FAC is for networks of one output. */
export const wideMethods = {
  exact,
  "block-diagonal": blockDiagonal,
  "block tri-diagonal": blockTridiagonal,
  "K-FAC": kfac,
} as const satisfies Record<WideMethodName, WideMethod>;

/** The prediction. @throws RunError where there is none */
export async function requireDynamics(
  method: WideMethod,
  kernels: WideKernels,
  problem: LearningProblem,
): Promise<Dynamics> {
  const dynamics = await method.predict(kernels, problem);
  if (dynamics.failure !== undefined) throw new RunError(`no prediction: ${dynamics.failure}`);
  return dynamics;
}
