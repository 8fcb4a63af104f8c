/** Traced computations compiled for a runtime. */
import { lowered } from "../graph/lowered.ts";
import type { NamedOutputs } from "../graph/onnx.ts";
import type { InPlacePair, OnnxModel, OnnxValue } from "../graph/onnx-model.ts";
import { allocate, sizeOf, type Tensor, type TypedArray } from "../tensor.ts";
import type { Arrays, Binding, Runtime, Session } from "./session.ts";

/** Operators that ONNX Runtime's WebGPU provider lacks. */
const MISSING_ON_WEBGPU: ReadonlySet<string> = new Set(["LogSoftmax"]);

/** A compiled computation. */
export class Program {
  readonly inputs: readonly OnnxValue[];
  /** As they were traced; the model may have them in another shape. */
  readonly outputs: readonly OnnxValue[];
  /** Estimated floating-point operations of one run. */
  readonly flops: number;
  readonly #session: Session;

  constructor(model: OnnxModel, session: Session, outputs: NamedOutputs) {
    this.inputs = model.inputs;
    this.outputs = model.outputs.map((value) => ({ ...value, shape: outputs[value.name].shape }));
    this.flops = model.flops;
    this.#session = session;
  }

  /** Ties arrays to inputs and outputs; feeds that the computation turned out not to need are left out. */
  bind(feeds: Arrays, fetches: Arrays): Binding {
    return this.#session.bind(pick(feeds, this.inputs), pick(fetches, this.outputs));
  }

  dispose(): void {
    this.#session.dispose();
  }
}

/**
 * Compiles a computation; inputs are the input nodes that it depends on.
 *
 * @param inPlace outputs that will be bound to the memory of an input, where the runtime is native
 * @param check throws where the model must not be loaded
 */
export async function compile(
  runtime: Runtime,
  outputs: NamedOutputs,
  inPlace: readonly InPlacePair[] = [],
  check?: (model: OnnxModel) => void,
): Promise<Program> {
  const missing = runtime.device === "webgpu" ? MISSING_ON_WEBGPU : undefined;
  const model = lowered(outputs, { missing, inPlace });
  check?.(model);
  return new Program(model, await runtime.load(model), outputs);
}

/** Compiles, runs once and releases a computation. */
export async function evaluate(
  runtime: Runtime,
  outputs: NamedOutputs,
  feeds: Readonly<Record<string, Tensor>> = {},
): Promise<Record<string, Tensor>> {
  const program = await compile(runtime, outputs);
  try {
    const results = program.outputs.map(({ name, dtype, shape }) => {
      return [name, { shape, data: allocate(dtype, sizeOf(shape)) }] as const;
    });
    const arrays = (entries: readonly (readonly [string, Tensor])[]) =>
      Object.fromEntries(entries.map(([name, { data }]) => [name, data]));
    const binding = program.bind(arrays(Object.entries(feeds)), arrays(results));
    await binding.run();
    binding.dispose();
    return Object.fromEntries(results);
  } finally {
    program.dispose();
  }
}

function pick(arrays: Arrays, values: readonly OnnxValue[]): Record<string, TypedArray> {
  const known = values.filter(({ name }) => arrays[name] !== undefined);
  return Object.fromEntries(known.map(({ name }) => [name, arrays[name]]));
}
