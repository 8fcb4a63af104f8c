/** Small models for the tests of the runtime. */

import {
  encodeModel,
  type OnnxInitializer,
  type OnnxModel,
  type OnnxNode,
  type OnnxValue,
} from "../../src/graph/onnx-model.ts";
import type { DType } from "../../src/tensor.ts";

// These tests name the implementation they mean, whatever the environment prefers.
delete process.env.NATGRAD_SESSION;

export function value(name: string, dtype: DType, shape: readonly number[]): OnnxValue {
  return { name, dtype, shape };
}

export function model(
  nodes: readonly OnnxNode[],
  inputs: readonly OnnxValue[],
  outputs: readonly OnnxValue[],
  { initializers = [], flops = 0 }: { initializers?: readonly OnnxInitializer[]; flops?: number } = {},
): OnnxModel {
  return { bytes: encodeModel({ nodes, inputs, outputs, initializers }), inputs, outputs, flops };
}

/** c = a + b for one dtype. */
export function addition(dtype: DType, shape: readonly number[]): OnnxModel {
  const inputs = [value("a", dtype, shape), value("b", dtype, shape)];
  return model([{ type: "Add", inputs: ["a", "b"], outputs: ["c"] }], inputs, [value("c", dtype, shape)]);
}

/** y = tanh(x W) repeated; `layers` products of (n, n) matrices. */
export function chain(n: number, layers: number, dtype: DType = "float32"): OnnxModel {
  const nodes: OnnxNode[] = [];
  for (let layer = 0; layer < layers; layer++) {
    const input = layer === 0 ? "x" : `h${layer - 1}`;
    const output = layer === layers - 1 ? "y" : `h${layer}`;
    nodes.push({ type: "MatMul", inputs: [input, "w"], outputs: [`s${layer}`] });
    nodes.push({ type: "Tanh", inputs: [`s${layer}`], outputs: [output] });
  }
  const inputs = [value("x", dtype, [n, n]), value("w", dtype, [n, n])];
  return model(nodes, inputs, [value("y", dtype, [n, n])], { flops: 2 * layers * n ** 3 });
}
