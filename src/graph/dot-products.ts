/**
 * Sums of products over the last axes as dot products: Σ_t x_t y_t in one pass over both, where the product of its own would be
 * written to memory and read again. Channels' sums of squares and of derivatives are such sums.
 *
 * As products of matrices (1, T) and (T, 1), one for each place before the last axes; a product for each is worth it where T is some
 * hundreds. In float64 ONNX Runtime would copy one of the operands.
 */
import { sameShape, sizeOf } from "../tensor.ts";
import { reshape } from "./arrange.ts";
import { matmul } from "./matmul.ts";
import { sum, summedAxes } from "./reduce.ts";
import { apply, type SymbolicTensor, topologicalOrder } from "./symbolic.ts";

/** The shortest sum that is worth a product: with 64 terms it takes four times as long as the two passes, with 1024 half as long. */
const SHORTEST = 256;

/** Equivalent outputs with dot products, where the elementwise product has no other use. */
export function formDotProducts(outputs: readonly SymbolicTensor[]): SymbolicTensor[] {
  const order = topologicalOrder(outputs);
  const readers = new Map<SymbolicTensor, number>();
  for (const node of [...order.flatMap(({ inputs }) => [...new Set(inputs)]), ...outputs]) {
    readers.set(node, (readers.get(node) ?? 0) + 1);
  }
  const rewritten = new Map<SymbolicTensor, SymbolicTensor>();
  for (const node of order) {
    const product = node.inputs[0];
    const leading = leadingAxes(node);
    if (leading !== undefined && readers.get(product) === 1) {
      const [x, y] = product.inputs.map((operand) => rewritten.get(operand)!);
      rewritten.set(node, dotProduct(node, leading, x, y));
      continue;
    }
    const inputs = node.inputs.map((operand) => rewritten.get(operand)!);
    const changed = inputs.some((operand, k) => operand !== node.inputs[k]);
    rewritten.set(node, changed ? apply(node.operation, inputs, node.attributes) : node);
  }
  return outputs.map((output) => rewritten.get(output)!);
}

/** How many axes lie before those that end the operand of a sum of products, all of them summed and long together. */
function leadingAxes(node: SymbolicTensor): number | undefined {
  const axes = summedAxes(node);
  const [product] = node.inputs;
  if (axes === undefined || product.operation.name !== "multiply" || product.dtype !== "float32")
    return undefined;
  if (!product.inputs.every(({ shape }) => sameShape(shape, product.shape))) return undefined;
  let leading = product.rank;
  while (axes.includes(leading - 1)) leading--;
  const terms = sizeOf(product.shape.slice(leading));
  return leading > 0 && terms >= SHORTEST ? leading : undefined;
}

function dotProduct(
  node: SymbolicTensor,
  leading: number,
  x: SymbolicTensor,
  y: SymbolicTensor,
): SymbolicTensor {
  const before = x.shape.slice(0, leading);
  const places = sizeOf(before);
  const rows = (operand: SymbolicTensor) => reshape(operand, [places, 1, x.size / places]);
  const dots = reshape(matmul(rows(x), rows(y), { transposeB: true }), before);
  const rest = summedAxes(node)!.filter((axis) => axis < leading);
  return reshape(rest.length > 0 ? sum(dots, rest) : dots, node.shape);
}
