/**
 * The order in which ONNX Runtime runs a model's nodes, and how to have it run them in a good one.
 *
 * It does not keep the model's: from the last node that nothing reads to the first, it runs what each still needs, and of a node's
 * operands the one emitted last comes first (seen in its profiles). So the outputs at the shortest distance from the inputs are
 * emitted last. The loss then comes before any derivative, the derivatives of the last layer before those of the first, and what the
 * forward pass left is freed on the way. Were the first layer's gradient to come first, whatever backward passes make of activations
 * alone, the masks of rectifiers among them, would be made as soon as the activations are there, and wait.
 *
 * Nodes that ONNX Runtime fuses get new numbers, beyond all others: products with what scales or transposes them. One that is an
 * output would be run before everything else, so a reshape that moves nothing takes its place.
 */
import type { OnnxNode } from "./onnx-model.ts";
import { type SymbolicTensor, topologicalOrder } from "./symbolic.ts";

/** The outputs, those at the longest distance from the inputs first. */
export function deepestFirst(outputs: readonly SymbolicTensor[]): SymbolicTensor[] {
  const depths = new Map<SymbolicTensor, number>();
  for (const node of topologicalOrder(outputs)) {
    depths.set(node, 1 + Math.max(0, ...node.inputs.map((operand) => depths.get(operand)!)));
  }
  return [...outputs].sort((a, b) => depths.get(b)! - depths.get(a)!);
}

/** Whether ONNX Runtime fuses a node, which then gets a new number: a product by MatMul with what is scaled or transposed around it. */
export function isRenumbered(name: string, producers: ReadonlyMap<string, OnnxNode>): boolean {
  const node = producers.get(name);
  if (node?.type === "MatMul") return node.inputs.some((operand) => isFusedInto(operand, producers));
  if (node?.type !== "Mul" && node?.type !== "Div") return false;
  return node.inputs.some((operand) => producers.get(operand)?.type === "MatMul");
}

function isFusedInto(operand: string, producers: ReadonlyMap<string, OnnxNode>): boolean {
  return ["Transpose", "Mul", "Div"].includes(producers.get(operand)?.type ?? "");
}
