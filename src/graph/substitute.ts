/** Known values in place of computed ones. */
import { apply, type SymbolicTensor, topologicalOrder } from "./symbolic.ts";

/** The outputs with some nodes replaced by others of the same value; what only the replaced ones needed is gone. */
export function substitute(
  outputs: readonly SymbolicTensor[],
  replacements: ReadonlyMap<SymbolicTensor, SymbolicTensor>,
): SymbolicTensor[] {
  const rewritten = new Map(replacements);
  for (const node of topologicalOrder(outputs, rewritten)) {
    const inputs = node.inputs.map((operand) => rewritten.get(operand)!);
    const changed = inputs.some((operand, k) => operand !== node.inputs[k]);
    rewritten.set(node, changed ? apply(node.operation, inputs, node.attributes) : node);
  }
  return outputs.map((output) => rewritten.get(output)!);
}
