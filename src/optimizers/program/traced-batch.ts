/** A batch as the programs of a method see it. */

import type { SlotSpec } from "../../curvature/block.ts";
import { type GradientScale, traceGradient } from "../../fisher/index.ts";
import { input, type NamedOutputs, type SymbolicTensor } from "../../graph/index.ts";
import type { Forward, Likelihood, Pass } from "../../nn/index.ts";
import { copyNumbers } from "../../pixels.ts";
import type { Random } from "../../random.ts";
import { allocate, type DType, sizeOf, type TypedArray } from "../../tensor.ts";
import type { Batch, Problem } from "../optimizer.ts";
import { NEXT } from "./step-program.ts";

export interface TracedBatch {
  readonly samples: number;
  readonly inputs: SymbolicTensor;
  readonly targets: SymbolicTensor;
  /** Input nodes of the parameters, by full name. */
  readonly parameters: ReadonlyMap<string, SymbolicTensor>;
  readonly forward: Forward;
  /** The pass that `forward` is, for tracing it again at other parameters. */
  readonly pass: Pass;
}

/** Arrays that a batch is copied into, by the names of the programs' inputs; the noise of training among them. */
export type BatchArrays = Readonly<Record<"inputs" | "targets" | `noise/${number}`, TypedArray>>;

/** Name under which a program is fed a parameter. */
export function parameterInput(name: string): string {
  return `parameter/${name}`;
}

/** Name under which a program is fed a running statistic. */
export function bufferInput(name: string): string {
  return `buffer/${name}`;
}

/** Traces the forward pass of a batch of `samples`, a training step's unless told otherwise. */
export function traceBatch(
  { model, likelihood, dtype }: Problem,
  samples: number,
  nameOf: (parameter: string) => string = parameterInput,
  training = true,
): TracedBatch {
  const parameters = new Map(
    [...model.parameters].map(([name, { shape }]) => [name, input(nameOf(name), shape, dtype)] as const),
  );
  const specs = batchSpecs({ model, likelihood, dtype }, samples);
  const inputs = input("inputs", specs.inputs.shape, specs.inputs.dtype);
  const targets = input("targets", specs.targets.shape, specs.targets.dtype);
  const buffers = new Map(
    [...model.buffers].map(([name, { shape }]) => [name, input(bufferInput(name), shape, dtype)] as const),
  );
  const pass = { training, buffers };
  return { samples, inputs, targets, parameters, pass, forward: model.forward(inputs, parameters, pass) };
}

/** The running statistics after the step, by the names of the state's proposed tensors. */
export function traceBuffers({ forward }: TracedBatch): NamedOutputs {
  const next = [...forward.buffers].map(([name, value]) => [NEXT + bufferInput(name), value] as const);
  return Object.fromEntries(next);
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

/** Arrays that batches of a traced size are copied into. */
export function batchArrays({ inputs, targets, forward }: TracedBatch): BatchArrays {
  const noise = forward.noise.map((node, k) => [`noise/${k}`, allocateSpec(node)] as const);
  return { inputs: allocateSpec(inputs), targets: allocateSpec(targets), ...Object.fromEntries(noise) };
}

export function allocateSpec({ shape, dtype }: { shape: readonly number[]; dtype: DType }): TypedArray {
  return allocate(dtype, sizeOf(shape));
}

/** The same for a look at a batch: the noise is what the next step would draw, and the generator stays where it stands. */
export function loadBatchAhead(arrays: BatchArrays, batch: Batch, random: Random): void {
  const before = random.state();
  loadBatch(arrays, batch, random);
  random.restore(before);
}

/** Copies a batch into arrays of its size, and draws the noise that its pass needs. */
export function loadBatch({ inputs, targets, ...noise }: BatchArrays, batch: Batch, random: Random): void {
  copyNumbers(batch.inputs, inputs);
  targets.set(batch.targets.data);
  for (const array of Object.values(noise))
    for (let k = 0; k < array.length; k++) array[k] = random.uniform();
}
