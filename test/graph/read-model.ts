/** Reads back the parts of an encoded ONNX model that the tests look at. */
import protobuf from "protobufjs/minimal.js";
import type { OnnxModel } from "../../src/graph/onnx-model.ts";

export interface ReadNode {
  readonly type: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attributes: Readonly<Record<string, number>>;
}

export interface ReadModel {
  readonly nodes: readonly ReadNode[];
  readonly initializers: number;
  readonly inputs: string[];
  readonly outputs: string[];
}

type Field = number | Uint8Array;

/** Field number → values in order, for one message. */
function fields(bytes: Uint8Array): Map<number, Field[]> {
  const reader = protobuf.Reader.create(bytes);
  const found = new Map<number, Field[]>();
  while (reader.pos < reader.len) {
    const tag = reader.uint32();
    const wireType = tag & 7;
    const value = wireType === 0 ? Number(reader.int64()) : wireType === 5 ? reader.float() : reader.bytes();
    const values = found.get(tag >>> 3);
    if (values) values.push(value);
    else found.set(tag >>> 3, [value]);
  }
  return found;
}

const text = (value: Field) => new TextDecoder().decode(value as Uint8Array);
const texts = (message: Map<number, Field[]>, number: number) => (message.get(number) ?? []).map(text);

export function readModel({ bytes }: Pick<OnnxModel, "bytes">): ReadModel {
  const message = (value: Field) => fields(value as Uint8Array);
  const graph = message(fields(bytes).get(7)![0]);
  const names = (number: number) => (graph.get(number) ?? []).flatMap((value) => texts(message(value), 1));
  return {
    nodes: (graph.get(1) ?? []).map((value) => {
      const node = message(value);
      const attributes = (node.get(5) ?? []).map(message).map((attribute) => {
        const [number] = attribute.get(2) ?? attribute.get(3) ?? [Number.NaN];
        return [texts(attribute, 1)[0], number as number];
      });
      return {
        type: texts(node, 4)[0],
        inputs: texts(node, 1),
        outputs: texts(node, 2),
        attributes: Object.fromEntries(attributes),
      };
    }),
    initializers: (graph.get(5) ?? []).length,
    inputs: names(11),
    outputs: names(12),
  };
}

/** The operators of a model, in order. */
export function operators(model: Pick<OnnxModel, "bytes">): string[] {
  return readModel(model).nodes.map(({ type }) => type);
}
