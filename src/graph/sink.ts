/**
 * Moves scalar factors of matrix products onto their smaller operand: s·(A·B) = (s·A)·B.
 *
 * A learning rate times a weight gradient would be a pass over all parameters; times the backward pass's (N, O) factor it
 * is almost nothing, and the bare product can fuse with what is added to it. Done only for products used nowhere else.
 */
import { multiply } from "./elementwise.ts";
import { matmulAttributes } from "./matmul.ts";
import { apply, type SymbolicTensor, scalarValue, topologicalOrder } from "./symbolic.ts";

/** Equivalent outputs with such factors moved. */
export function sinkFactors(outputs: readonly SymbolicTensor[]): SymbolicTensor[] {
  const order = topologicalOrder(outputs);
  const uses = new Map<SymbolicTensor, number>();
  for (const node of [...order.flatMap(({ inputs }) => inputs), ...outputs]) {
    uses.set(node, (uses.get(node) ?? 0) + 1);
  }
  const rewritten = new Map<SymbolicTensor, SymbolicTensor>();
  for (const node of order) {
    const inputs = node.inputs.map((operand) => rewritten.get(operand)!);
    const sunk = sink(node, uses, rewritten);
    const changed = inputs.some((operand, k) => operand !== node.inputs[k]);
    rewritten.set(node, sunk ?? (changed ? apply(node.operation, inputs, node.attributes) : node));
  }
  return outputs.map((output) => rewritten.get(output)!);
}

/** The product with the factor on its smaller operand; nothing for constants, which Gemm takes as they are. */
function sink(
  node: SymbolicTensor,
  uses: ReadonlyMap<SymbolicTensor, number>,
  rewritten: ReadonlyMap<SymbolicTensor, SymbolicTensor>,
): SymbolicTensor | undefined {
  if (node.operation.name !== "multiply") return undefined;
  const [left, right] = node.inputs;
  const [factor, product] = left.rank === 0 ? [left, right] : [right, left];
  if (factor.rank !== 0 || scalarValue(factor) !== undefined) return undefined;
  if (!matmulAttributes(product) || uses.get(product) !== 1) return undefined;
  const [a, b] = product.inputs;
  if (Math.min(a.size, b.size) >= product.size) return undefined;
  const s = rewritten.get(factor)!;
  const [newA, newB] = [rewritten.get(a)!, rewritten.get(b)!];
  const operands = a.size <= b.size ? [multiply(newA, s), newB] : [newA, multiply(newB, s)];
  return apply(product.operation, operands, product.attributes);
}
