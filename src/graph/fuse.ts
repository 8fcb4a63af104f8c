/**
 * Fusion of scaled products and sums into ONNX's Gemm, α·A·B + β·C in one pass over memory: dense layers with their
 * bias, means of outer products, momentum buffers; and of a convolution with its bias into one Conv.
 *
 * Gemm's α and β are float32 attributes; in float64 they are used only where float32 holds them exactly. ONNX Runtime has
 * no Gemm of integers.
 */

import { sameShape } from "../tensor.ts";
import { reshape } from "./arrange.ts";
import { isBareConvolution, withBias } from "./convolution.ts";
import { matmulAttributes } from "./matmul.ts";
import { broadcastShapes } from "./shapes.ts";
import { apply, type Operation, type SymbolicTensor, scalarValue, topologicalOrder } from "./symbolic.ts";

export interface GemmAttributes {
  readonly alpha: number;
  readonly beta: number;
  readonly transposeA: boolean;
  readonly transposeB: boolean;
}

const gemmOperation: Operation<GemmAttributes> = {
  name: "gemm",
  infer([a, b, c], { transposeA, transposeB }) {
    const shape = [a.shape[transposeA ? 1 : 0], b.shape[transposeB ? 0 : 1]];
    return { shape: c ? broadcastShapes(shape, c.shape) : shape, dtype: a.dtype };
  },
  lower: ({ attributes: { alpha, beta, transposeA, transposeB } }, inputs, emit) =>
    emit.node("Gemm", inputs, {
      alpha: { float: alpha },
      beta: { float: beta },
      transA: { int: transposeA ? 1 : 0 },
      transB: { int: transposeB ? 1 : 0 },
    }),
  flops: ({ inputs: [a], size, attributes: { transposeA } }) => 2 * size * a.shape[transposeA ? 0 : 1],
};

/** α·A·B + β·C of two matrices and an optional third operand that broadcasts. */
export function gemm(operands: readonly SymbolicTensor[], attributes: GemmAttributes): SymbolicTensor {
  return apply(gemmOperation, operands, attributes);
}

/** Whether a node is a product of two matrices, fused or not, and how it is taken. */
export function gemmAttributes(node: SymbolicTensor): GemmAttributes | undefined {
  if (node.operation === (gemmOperation as Operation)) return node.attributes as GemmAttributes;
  const product = node.rank === 2 && node.inputs.every(({ rank }) => rank === 2) && matmulAttributes(node);
  return product && node.dtype !== "int32" ? { alpha: 1, beta: 0, ...product } : undefined;
}

/** Equivalent outputs with Gemm nodes, and Conv nodes with a bias, where a product has no other use. */
export function fuse(outputs: readonly SymbolicTensor[]): SymbolicTensor[] {
  const order = topologicalOrder(outputs);
  const uses = new Map<SymbolicTensor, number>();
  for (const node of [...order.flatMap(({ inputs }) => inputs), ...outputs]) {
    uses.set(node, (uses.get(node) ?? 0) + 1);
  }
  const rewritten = new Map<SymbolicTensor, SymbolicTensor>();
  for (const node of order) {
    const product = match(node, uses);
    const biased = product ? undefined : biasedConvolution(node, uses);
    const inputs = (product?.inputs ?? biased ?? node.inputs).map((operand) => rewritten.get(operand)!);
    const changed = inputs.some((operand, k) => operand !== node.inputs[k]);
    if (product) rewritten.set(node, gemm(inputs, product.attributes));
    else if (biased) rewritten.set(node, withBias(inputs[0], reshape(inputs[1], [node.shape[1]])));
    else rewritten.set(node, changed ? apply(node.operation, inputs, node.attributes) : node);
  }
  return outputs.map((output) => rewritten.get(output)!);
}

/** Convolution and bias (O, 1, 1) of their sum, where the convolution has no other use. */
function biasedConvolution(
  { operation, inputs }: SymbolicTensor,
  uses: Uses,
): readonly SymbolicTensor[] | undefined {
  if (operation.name !== "add") return undefined;
  const [convolution, bias] = isBareConvolution(inputs[0]) ? inputs : [inputs[1], inputs[0]];
  if (!isBareConvolution(convolution) || uses.get(convolution) !== 1) return undefined;
  return sameShape(bias.shape, [convolution.shape[1], 1, 1]) ? [convolution, bias] : undefined;
}

interface Match {
  readonly inputs: readonly SymbolicTensor[];
  readonly attributes: GemmAttributes;
}

type Uses = ReadonlyMap<SymbolicTensor, number>;

function match(node: SymbolicTensor, uses: Uses): Match | undefined {
  const { name } = node.operation;
  if (name === "multiply") {
    const product = scaledProduct(node, uses, true);
    return product && joined(product, undefined, node);
  }
  if (name !== "add" && name !== "subtract") return undefined;
  const [left, right] = node.inputs;
  const sign = name === "add" ? 1 : -1;
  const first = scaledProduct(left, uses);
  if (first) {
    const fused = joined(first, scaled(right, sign), node);
    if (fused) return fused;
  }
  const second = scaledProduct(right, uses);
  return second && joined({ ...second, alpha: sign * second.alpha }, scaled(left, 1), node);
}

function joined(product: Product, addend: Scaled | undefined, node: SymbolicTensor): Match | undefined {
  const { alpha, matmul } = product;
  const beta = addend?.factor ?? 0;
  const exact =
    node.dtype === "float32" ||
    (node.dtype === "float64" && [alpha, beta].every((value) => Math.fround(value) === value));
  const fits =
    exact &&
    sameShape(node.shape, matmul.shape) &&
    (!addend || addend.x.rank <= 2) &&
    !selfScaled(addend, node);
  if (!fits) return undefined;
  return {
    inputs: addend ? [...matmul.inputs, addend.x] : matmul.inputs,
    attributes: { alpha, beta, ...matmulAttributes(matmul)! },
  };
}

/** A scalar addend gains nothing and some Gemm implementations refuse rank 0. */
function selfScaled(addend: Scaled | undefined, node: SymbolicTensor): boolean {
  return addend !== undefined && (addend.x.rank === 0 || addend.x.dtype !== node.dtype);
}

interface Product {
  readonly matmul: SymbolicTensor;
  readonly alpha: number;
}

/** α·(A·B) of two matrices whose product is used nowhere else. */
function scaledProduct(node: SymbolicTensor, uses: Uses, scaledOnly = false): Product | undefined {
  const isProduct = (x: SymbolicTensor) =>
    matmulAttributes(x) !== undefined && x.rank === 2 && uses.get(x) === 1;
  if (!scaledOnly && isProduct(node) && node.inputs.every((x) => x.rank === 2))
    return { matmul: node, alpha: 1 };
  if (node.operation.name !== "multiply" || (!scaledOnly && uses.get(node) !== 1)) return undefined;
  const { x, factor } = scaled(node, 1);
  return x !== node && isProduct(x) && x.inputs.every(({ rank }) => rank === 2)
    ? { matmul: x, alpha: factor }
    : undefined;
}

interface Scaled {
  readonly x: SymbolicTensor;
  readonly factor: number;
}

/** Takes a constant factor out of a product with a scalar. */
function scaled(node: SymbolicTensor, sign: number): Scaled {
  if (node.operation.name === "multiply") {
    const [a, b] = node.inputs;
    const left = scalarValue(a);
    const right = scalarValue(b);
    if (right !== undefined && b.rank === 0) return { x: a, factor: sign * right };
    if (left !== undefined && a.rank === 0) return { x: b, factor: sign * left };
  }
  return { x: node, factor: sign };
}
