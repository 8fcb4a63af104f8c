/** Layers, models, likelihoods. */
export * from "./activations.ts";
export { type DenseOptions, dense } from "./dense.ts";
export type { InitializerName } from "./initializers.ts";
export type { Layer, ParameterSpec, Tap } from "./layer.ts";
export * from "./likelihoods.ts";
export { type BuiltModel, type Forward, type Model, sequential } from "./sequential.ts";
