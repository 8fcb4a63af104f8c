/** Lowering of symbolic tensors to an ONNX model. */
import { type DType, formatShape, type TypedArray } from "../tensor.ts";
import { checkInPlace } from "./in-place.ts";
import { isGiven, storage, workingBytes } from "./memory.ts";
import {
  ELEMENT_TYPES,
  encodeModel,
  type InPlacePair,
  type OnnxAttribute,
  type OnnxInitializer,
  type OnnxModel,
  type OnnxNode,
  type OnnxValue,
} from "./onnx-model.ts";
import { rewrite } from "./rewrite.ts";
import { deepestFirst, isRenumbered } from "./run-order.ts";
import { inputName, type SymbolicTensor, topologicalOrder } from "./symbolic.ts";

export interface LoweringOptions {
  /** Operators that the device lacks and an operation must spell out (WebGPU's `LogSoftmax`). */
  readonly missing?: ReadonlySet<string>;
  /** Outputs that shall be able to overwrite an input. */
  readonly inPlace?: readonly InPlacePair[];
}

/**
 * Collects the nodes and constants of one model while operations lower themselves. The names it gives begin with `%`, which
 * keeps them apart from those of inputs and outputs.
 */
export class OnnxEmitter {
  readonly nodes: OnnxNode[] = [];
  /** By the name of their first output. */
  readonly producers = new Map<string, OnnxNode>();
  readonly initializers: OnnxInitializer[] = [];
  readonly #missing: ReadonlySet<string>;
  readonly #integers = new Map<string, string>();
  #names = 0;

  constructor({ missing = new Set() }: LoweringOptions = {}) {
    this.#missing = missing;
  }

  has(operator: string): boolean {
    return !this.#missing.has(operator);
  }

  /** Adds a node of one output and returns the output's name. */
  node(type: string, inputs: readonly string[], attributes?: Record<string, OnnxAttribute>): string {
    const output = `%t${this.#names++}`;
    const node = { type, inputs, outputs: [output], attributes };
    this.nodes.push(node);
    this.producers.set(output, node);
    return output;
  }

  /** A second result of the node that computed `first`: asked for again, the same. */
  secondOutput(first: string): string {
    const node = this.producers.get(first)!;
    if (node.outputs.length === 1) node.outputs = [first, `%t${this.#names++}`];
    return node.outputs[1];
  }

  /** Adds a constant and returns its name. */
  initializer(
    data: TypedArray | readonly number[],
    shape: readonly number[],
    dtype: DType | "int64",
  ): string {
    const name = `%c${this.#names++}`;
    this.initializers.push({ name, dtype, shape, data });
    return name;
  }

  /** A constant list of integers, as shapes and axes are passed; equal lists are one constant. */
  integers(values: readonly number[]): string {
    const key = values.join();
    const known = this.#integers.get(key);
    if (known !== undefined) return known;
    const name = this.initializer(values, [values.length], "int64");
    this.#integers.set(key, name);
    return name;
  }

  cast(x: string, dtype: DType | "int64"): string {
    return this.node("Cast", [x], { to: { int: ELEMENT_TYPES[dtype] } });
  }
}

/** A traced computation by the names of its results. */
export type NamedOutputs = Readonly<Record<string, SymbolicTensor>>;

/**
 * Optimizes, fuses and encodes a computation. The model's inputs are the input nodes that are still needed, in
 * order of first use; an input that the outputs do not depend on is gone. An output that is a computed tensor in another
 * shape is that tensor in the model, in its own shape, for ONNX Runtime would copy it; all but those that overwrite an input.
 *
 * @throws Error when an output cannot overwrite the input that it shall
 */
export function lowerToOnnx(outputs: NamedOutputs, options: LoweringOptions = {}): OnnxModel {
  const names = Object.keys(outputs);
  const { inPlace = [] } = options;
  const overwriting = new Set(inPlace.map(([name]) => name));
  const results = rewrite(Object.values(outputs)).map((result, k) =>
    overwriting.has(names[k]) ? result : unshaped(result),
  );
  checkInPlace(new Map(names.map((name, k) => [name, results[k]])), inPlace);
  const emit = new OnnxEmitter(options);
  const emitted = new Map<SymbolicTensor, string>();
  const inputs = new Map<string, OnnxValue>();
  const outputsOf = new Map<SymbolicTensor, string[]>();
  results.forEach((result, k) => {
    outputsOf.set(result, [...(outputsOf.get(result) ?? []), names[k]]);
  });
  const copied = new Set(results.filter((result) => result !== storage(result)).map(storage));
  let flops = 0;
  let float64 = false;

  for (const node of topologicalOrder(deepestFirst(results))) {
    const { operation } = node;
    if (!operation.lower) throw new Error(`${operation.name} has no lowering`);
    const fed = inputName(node);
    if (fed !== undefined) declare(inputs, { name: fed, dtype: node.dtype, shape: node.shape });
    const operands = node.inputs.map((operand) => emitted.get(operand)!);
    let lowered = operation.lower(node, operands, emit);
    const named = outputsOf.get(node) ?? [];
    if (named.length > 0 && isRenumbered(lowered, emit.producers)) {
      lowered = emit.node("Reshape", [lowered, emit.integers(node.shape)]);
      copied.add(node);
    }
    emitted.set(node, lowered);
    // Here and not after all other nodes, where it would be run first.
    for (const name of named) emit.nodes.push({ type: "Identity", inputs: [lowered], outputs: [name] });
    float64 ||= node.dtype === "float64";
    flops += operation.flops?.(node) ?? node.size;
  }

  const both = names.find((name) => inputs.has(name));
  if (both !== undefined) throw new Error(`an input and an output are both named ${both}`);
  const graph = {
    nodes: nameOutputs(emit.nodes, new Set(names)),
    inputs: [...inputs.values()],
    outputs: results.map(({ dtype, shape }, k) => ({ name: names[k], dtype, shape })),
    initializers: emit.initializers,
  };
  return {
    ...{ bytes: encodeModel(graph), inputs: graph.inputs, outputs: graph.outputs },
    ...{ flops, float64, inPlace, workingBytes: workingBytes(results, copied) },
  };
}

/** What a reshape reads, where that is computed. */
function unshaped(result: SymbolicTensor): SymbolicTensor {
  const stored = storage(result);
  return isGiven(stored) ? result : stored;
}

function declare(inputs: Map<string, OnnxValue>, value: OnnxValue): void {
  const known = inputs.get(value.name);
  if (known && (known.dtype !== value.dtype || known.shape.join() !== value.shape.join())) {
    const show = ({ dtype, shape }: OnnxValue) => `${dtype} ${formatShape(shape)}`;
    throw new Error(`two inputs are named ${value.name}: ${show(known)} and ${show(value)}`);
  }
  inputs.set(value.name, value);
}

/** Gives each node that an output only copies the output's own name, so that no copy is made. */
function nameOutputs(nodes: readonly OnnxNode[], outputs: ReadonlySet<string>): OnnxNode[] {
  const renamed = new Map<string, string>();
  const computed = new Set(nodes.flatMap((node) => node.outputs));
  const kept = nodes.filter(({ type, inputs, outputs: [target] }) => {
    const [source] = inputs;
    if (type !== "Identity" || !outputs.has(target) || !computed.has(source) || renamed.has(source))
      return true;
    renamed.set(source, target);
    return false;
  });
  const rename = (name: string) => renamed.get(name) ?? name;
  return kept.map((node) => ({
    ...node,
    inputs: node.inputs.map(rename),
    outputs: node.outputs.map(rename),
  }));
}
