/** A batch as the programs of a method see it. */

import type { SlotSpec } from "../../curvature/block.ts";
import { type GradientScale, traceGradient } from "../../fisher/index.ts";
import { input, type SymbolicTensor } from "../../graph/index.ts";
import type { Forward, Likelihood } from "../../nn/index.ts";
import { allocate, type DType, sizeOf, type TypedArray } from "../../tensor.ts";
import type { Batch, Problem } from "../optimizer.ts";

export interface TracedBatch {
  readonly samples: number;
  readonly inputs: SymbolicTensor;
  readonly targets: SymbolicTensor;
  /** Input nodes of the parameters, by full name. */
  readonly parameters: ReadonlyMap<string, SymbolicTensor>;
  readonly forward: Forward;
}

/** Name under which a program is fed a parameter. */
export function parameterInput(name: string): string {
  return `parameter/${name}`;
}

/** Traces the forward pass of a batch of `samples`. */
export function traceBatch(
  { model, likelihood, dtype }: Problem,
  samples: number,
  nameOf: (parameter: string) => string = parameterInput,
): TracedBatch {
  const parameters = new Map(
    [...model.parameters].map(([name, { shape }]) => [name, input(nameOf(name), shape, dtype)] as const),
  );
  const specs = batchSpecs({ model, likelihood, dtype }, samples);
  const inputs = input("inputs", specs.inputs.shape, specs.inputs.dtype);
  const targets = input("targets", specs.targets.shape, specs.targets.dtype);
  return { samples, inputs, targets, parameters, forward: model.forward(inputs, parameters) };
}

/** Gradient of the batch's mean loss for every parameter, by full name. */
export function traceNamedGradient(
  likelihood: Likelihood,
  { forward, targets, parameters }: TracedBatch,
  scale: GradientScale = {},
): Map<string, SymbolicTensor> {
  const names = [...parameters.keys()];
  const gradients = traceGradient(forward, likelihood, targets, [...parameters.values()], scale);
  return new Map(names.map((name, k) => [name, gradients[k]]));
}

/** Shapes and dtypes of a batch's inputs and targets. */
export function batchSpecs(
  { model, likelihood, dtype }: Pick<Problem, "model" | "likelihood" | "dtype">,
  samples: number,
): { inputs: SlotSpec; targets: SlotSpec } {
  const targets = likelihood.targets(samples, model.outputShape[0]);
  return {
    inputs: { shape: [samples, ...model.inputShape], dtype },
    targets: { shape: targets.shape, dtype: targets.dtype === "float" ? dtype : targets.dtype },
  };
}

/** Arrays that batches of one size are copied into. */
export function batchArrays(problem: Problem, samples: number): { inputs: TypedArray; targets: TypedArray } {
  const { inputs, targets } = batchSpecs(problem, samples);
  return { inputs: allocateSpec(inputs), targets: allocateSpec(targets) };
}

export function allocateSpec({ shape, dtype }: { shape: readonly number[]; dtype: DType }): TypedArray {
  return allocate(dtype, sizeOf(shape));
}

/** Copies a batch into arrays of its size. */
export function loadBatch(
  arrays: { inputs: TypedArray; targets: TypedArray },
  { inputs, targets }: Batch,
): void {
  arrays.inputs.set(inputs.data);
  arrays.targets.set(targets.data);
}
