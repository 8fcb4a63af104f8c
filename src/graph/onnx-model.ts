/**
 * Writes ONNX models. Only the few message types and fields a traced program needs are declared, as data; the field
 * numbers are facts of the format (onnx.proto). protobufjs' `Writer` does the encoding: unlike its reflection it generates no
 * code at run time, so pages that forbid `eval` can train as well.
 */

import protobuf from "protobufjs/minimal.js";
import { type DType, dtypeOf, formatShape, isTypedArray, sizeOf, type TypedArray } from "../tensor.ts";

export type OnnxAttribute =
  | { int: number }
  | { float: number }
  | { ints: readonly number[] }
  | { string: string };

/** One operation; an optional input that is left out is named `""`. */
export interface OnnxNode {
  type: string;
  inputs: readonly string[];
  outputs: readonly string[];
  attributes?: Readonly<Record<string, OnnxAttribute>>;
}

/** An input or an output of a graph. */
export interface OnnxValue {
  name: string;
  dtype: DType;
  shape: readonly number[];
}

/** A constant. `int64` holds shapes, axes and indices, which many operations take in no other type. */
export interface OnnxInitializer {
  name: string;
  dtype: DType | "int64";
  shape: readonly number[];
  data: TypedArray | readonly number[];
}

export interface OnnxGraph {
  /** In an order in which every node comes after those it reads. */
  nodes: readonly OnnxNode[];
  inputs: readonly OnnxValue[];
  outputs: readonly OnnxValue[];
  initializers: readonly OnnxInitializer[];
}

/** An encoded graph and what a session must know of it. */
export interface OnnxModel {
  bytes: Uint8Array;
  inputs: readonly OnnxValue[];
  outputs: readonly OnnxValue[];
  /** Estimated floating-point operations of one run; it decides threads and whether the first run may block. */
  flops: number;
  /** Estimated bytes of intermediate results of one run, at their peak; none known by default. */
  workingBytes?: number;
  /** Whether it computes in float64, where rewrites that keep scale factors in float32 attributes are not allowed. */
  float64?: boolean;
  /** Outputs that may lie in the memory of an input of the same shape: [output, input] pairs. */
  inPlace?: readonly InPlacePair[];
}

/** The name of an output, and of the input that it may overwrite. */
export type InPlacePair = readonly [output: string, input: string];

const IR_VERSION = 10;
const OPSET_VERSION = 21;

/** ONNX's element type codes (TensorProto.DataType). */
export const ELEMENT_TYPES = { float32: 1, int32: 6, int64: 7, bool: 9, float64: 11 } as const;

/** AttributeProto.AttributeType. */
const ATTRIBUTE_TYPES = { float: 1, int: 2, string: 3, ints: 7 } as const;

type Scalar = "int32" | "int64" | "float" | "string" | "bytes";

/** Message → field → [field number, type]; lists are written one entry at a time. */
const MESSAGES = {
  Model: {
    irVersion: [1, "int64"],
    producerName: [2, "string"],
    graph: [7, "Graph"],
    opsetImport: [8, "OperatorSet"],
  },
  OperatorSet: { domain: [1, "string"], version: [2, "int64"] },
  Graph: {
    node: [1, "Node"],
    name: [2, "string"],
    initializer: [5, "Tensor"],
    input: [11, "ValueInfo"],
    output: [12, "ValueInfo"],
  },
  Node: {
    input: [1, "string"],
    output: [2, "string"],
    name: [3, "string"],
    opType: [4, "string"],
    attribute: [5, "Attribute"],
  },
  Attribute: {
    name: [1, "string"],
    f: [2, "float"],
    i: [3, "int64"],
    s: [4, "bytes"],
    ints: [8, "int64"],
    type: [20, "int32"],
  },
  Tensor: { dims: [1, "int64"], dataType: [2, "int32"], name: [8, "string"], rawData: [9, "bytes"] },
  ValueInfo: { name: [1, "string"], type: [2, "Type"] },
  Type: { tensorType: [1, "TensorType"] },
  TensorType: { elemType: [1, "int32"], shape: [2, "Shape"] },
  Shape: { dim: [1, "Dimension"] },
  Dimension: { dimValue: [1, "int64"] },
} as const satisfies Record<string, Record<string, readonly [number, string]>>;

type MessageName = keyof typeof MESSAGES;
type Message = { readonly [field: string]: unknown };

/** The bytes of an ONNX model (IR version 10, operator set 21 of the default domain). */
export function encodeModel(graph: OnnxGraph): Uint8Array {
  const model: Message = {
    irVersion: IR_VERSION,
    producerName: "natgrad",
    opsetImport: { domain: "", version: OPSET_VERSION },
    graph: {
      name: "program",
      node: graph.nodes.map(nodeMessage),
      initializer: graph.initializers.map(tensorMessage),
      input: graph.inputs.map(valueMessage),
      output: graph.outputs.map(valueMessage),
    },
  };
  return write(protobuf.Writer.create(), "Model", model).finish();
}

function nodeMessage(node: OnnxNode, index: number): Message {
  return {
    input: node.inputs,
    output: node.outputs,
    // Errors of the runtime name the node: "MatMul_12" finds it.
    name: `${node.type}_${index}`,
    opType: node.type,
    attribute: Object.entries(node.attributes ?? {}).map(([name, value]) => attributeMessage(name, value)),
  };
}

function attributeMessage(name: string, attribute: OnnxAttribute): Message {
  if ("int" in attribute) return { name, i: attribute.int, type: ATTRIBUTE_TYPES.int };
  if ("float" in attribute) return { name, f: attribute.float, type: ATTRIBUTE_TYPES.float };
  if ("ints" in attribute) return { name, ints: attribute.ints, type: ATTRIBUTE_TYPES.ints };
  return { name, s: new TextEncoder().encode(attribute.string), type: ATTRIBUTE_TYPES.string };
}

function valueMessage({ name, dtype, shape }: OnnxValue): Message {
  const dimensions = { dim: shape.map((dimension) => ({ dimValue: dimension })) };
  return { name, type: { tensorType: { elemType: ELEMENT_TYPES[dtype], shape: dimensions } } };
}

function tensorMessage({ name, dtype, shape, data }: OnnxInitializer): Message {
  if (data.length !== sizeOf(shape)) {
    throw new Error(`invalid initializer ${name}: ${data.length} numbers for shape ${formatShape(shape)}`);
  }
  return { dims: shape, dataType: ELEMENT_TYPES[dtype], name, rawData: rawBytes(dtype, data) };
}

/** Little endian, as the format wants it and as every machine that JavaScript runs on stores it. */
function rawBytes(dtype: DType | "int64", data: TypedArray | readonly number[]): Uint8Array {
  const stored = isTypedArray(data) && dtypeOf(data) === dtype ? data : convert(dtype, data);
  return new Uint8Array(stored.buffer, stored.byteOffset, stored.byteLength);
}

function convert(dtype: DType | "int64", data: TypedArray | readonly number[]): TypedArray | BigInt64Array {
  switch (dtype) {
    case "float32":
      return Float32Array.from(data);
    case "float64":
      return Float64Array.from(data);
    case "int32":
      return Int32Array.from(data);
    case "int64":
      return BigInt64Array.from(Array.from(data, BigInt));
    case "bool":
      return Uint8Array.from(data, (value) => (value ? 1 : 0));
  }
}

function write(writer: protobuf.Writer, message: MessageName, values: Message): protobuf.Writer {
  const fields: Readonly<Record<string, readonly [number, Scalar | MessageName]>> = MESSAGES[message];
  for (const [name, value] of Object.entries(values)) {
    const [number, type] = fields[name];
    for (const entry of Array.isArray(value) ? value : [value]) writeField(writer, number, type, entry);
  }
  return writer;
}

/** The wire types that are not 2, length and bytes: 0 is an integer of variable length, 5 four bytes. */
const WIRE_TYPES: { readonly [type in Scalar | MessageName]?: number } = { int32: 0, int64: 0, float: 5 };

function writeField(writer: protobuf.Writer, number: number, type: Scalar | MessageName, value: unknown) {
  writer.uint32((number << 3) | (WIRE_TYPES[type] ?? 2));
  switch (type) {
    case "int32":
      return writer.int32(value as number);
    case "int64":
      return writer.int64(value as number);
    case "float":
      return writer.float(value as number);
    case "string":
      return writer.string(value as string);
    case "bytes":
      return writer.bytes(value as Uint8Array);
    default:
      return write(writer.fork(), type, value as Message).ldelim();
  }
}
