/**
 * The theory of natural gradient in wide networks [Karakida20]: kernels of infinitely wide and of finite networks, predicted training, isotropy.
 */
export { initialValues } from "../training/initial-values.ts";
export { type ActivationName, type DualActivation, dualActivation } from "./activations.ts";
export {
  type CouplingOption,
  type CouplingWeights,
  couplingWeights,
  isotropyFactor,
} from "./coupling.ts";
export {
  type CrossEntropyCourse,
  type CrossEntropyProblem,
  type CrossEntropyStep,
  crossEntropyCourse,
  softmaxResidual,
} from "./cross-entropy.ts";
export { type DiagonalMetric, type DiagonalOptions, diagonalKernel } from "./diagonal.ts";
export {
  type Dynamics,
  type DynamicsResult,
  gradientDescentDynamics,
  type LayerMove,
  type LearningProblem,
  operatorDynamics,
  type Prediction,
} from "./dynamics.ts";
export {
  type EmpiricalKernels,
  type EmpiricalOptions,
  type EmpiricalResult,
  empiricalKernels,
} from "./empirical.ts";
export { type JacobianFactors, jacobianFactors, type LayerFactors } from "./factors.ts";
export type { EvaluationOptions, FiniteNetwork } from "./finite.ts";
export { applyForster, type ForsterOptions, type ForsterResult, forsterTransform } from "./forster.ts";
export { type Isotropy, isotropy } from "./isotropy.ts";
export { analyticKernels, type LayerKernels } from "./kernels.ts";
export {
  type KfacKernel,
  type KfacOptions,
  type KroneckerKernels,
  kfacCores,
  kfacDynamics,
  kfacKernel,
} from "./kfac.ts";
export { exactDynamics, layerWiseDynamics } from "./layer-wise.ts";
export {
  type LayerWiseKernel,
  type LayerWiseKernelOptions,
  layerWiseKernel,
} from "./layer-wise-kernel.ts";
export { type KernelMatrix, kernelMatrix } from "./matrix.ts";
export { finiteNetwork, type WideNetwork } from "./network.ts";
export { linearizedParameters } from "./parameters.ts";
export { progress } from "./progress.ts";
export {
  type KernelName,
  type KernelSize,
  kernelMemory,
  type TiledKernels,
  type TileOptions,
  tiledKernels,
} from "./tiles.ts";
export { unitWiseDynamics, unitWiseFactor } from "./unit-wise.ts";
export {
  type UnitOptions,
  type UnitWiseKernel,
  unitWiseKernel,
  unitWiseNetworkDynamics,
} from "./unit-wise-kernel.ts";
