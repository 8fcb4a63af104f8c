/** Layers, models, likelihoods. */
export * from "./activations.ts";
export { type BatchNormOptions, batchNorm } from "./batch-norm.ts";
export { concat, residual } from "./branches.ts";
export { type Conv2dOptions, conv2d, type Size } from "./convolution.ts";
export { type DenseOptions, dense } from "./dense.ts";
export { dropout } from "./dropout.ts";
export { type ExponentialFamily, exponentialFamily, poisson } from "./exponential-family.ts";
export type { InitializerName } from "./initializers.ts";
export type { BufferSpec, ConvolutionTap, Layer, LinearTap, ParameterSpec, ScaleTap, Tap } from "./layer.ts";
export type { Likelihood, Metric, SquareRootColumn } from "./likelihood.ts";
export * from "./likelihoods.ts";
export { avgPool, globalAvgPool, maxPool, type PoolingOptions } from "./pooling.ts";
export { type BuiltModel, type Forward, type Model, type Pass, sequential } from "./sequential.ts";
