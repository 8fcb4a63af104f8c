/** Matrix products. */
import { formatShape } from "../tensor.ts";
import { transpose } from "./arrange.ts";
import { sumTo } from "./elementwise.ts";
import { broadcastShapes } from "./shapes.ts";
import { apply, type Operation, type SymbolicTensor } from "./symbolic.ts";

export interface MatmulOptions {
  /** Use aᵀ (its last two axes swapped). */
  readonly transposeA?: boolean;
  /** Use bᵀ (its last two axes swapped). */
  readonly transposeB?: boolean;
}

interface MatmulAttributes {
  readonly transposeA: boolean;
  readonly transposeB: boolean;
}

const matmulOperation: Operation<MatmulAttributes> = {
  name: "matmul",
  infer([a, b], { transposeA, transposeB }) {
    if (a.dtype !== b.dtype) throw new Error(`matmul: dtypes ${a.dtype} and ${b.dtype} differ`);
    if (a.rank < 2 || b.rank < 2) {
      throw new Error(
        `matmul: ${formatShape(a.shape)} and ${formatShape(b.shape)} must have two axes or more`,
      );
    }
    const [rows, inner] = matrixShape(a, transposeA);
    const [innerB, columns] = matrixShape(b, transposeB);
    if (inner !== innerB) {
      const show = (x: SymbolicTensor, t: boolean) => formatShape(x.shape) + (t ? "ᵀ" : "");
      throw new Error(`matmul: ${show(a, transposeA)} and ${show(b, transposeB)} do not fit`);
    }
    const batch = broadcastShapes(a.shape.slice(0, -2), b.shape.slice(0, -2));
    return { shape: [...batch, rows, columns], dtype: a.dtype };
  },
  vjp({ inputs: [a, b], attributes: { transposeA, transposeB } }, cotangent) {
    const toA = transposeA
      ? matmul(b, cotangent, { transposeA: transposeB, transposeB: true })
      : matmul(cotangent, b, { transposeB: !transposeB });
    const toB = transposeB
      ? matmul(cotangent, a, { transposeA: true, transposeB: transposeA })
      : matmul(a, cotangent, { transposeA: !transposeA });
    return [sumTo(toA, a.shape), sumTo(toB, b.shape)];
  },
  lower({ inputs: [a, b], attributes: { transposeA, transposeB } }, names, emit) {
    if (!transposeA && !transposeB) return emit.node("MatMul", names);
    if (a.rank === 2 && b.rank === 2 && a.dtype !== "int32") {
      return emit.node("Gemm", names, {
        transA: { int: transposeA ? 1 : 0 },
        transB: { int: transposeB ? 1 : 0 },
      });
    }
    const swapped = (name: string, x: SymbolicTensor) =>
      emit.node("Transpose", [name], { perm: { ints: swapLastTwo(x.rank) } });
    const left = transposeA ? swapped(names[0], a) : names[0];
    const right = transposeB ? swapped(names[1], b) : names[1];
    return emit.node("MatMul", [left, right]);
  },
  flops(node) {
    const [, inner] = matrixShape(node.inputs[0], node.attributes.transposeA);
    return 2 * node.size * inner;
  },
};

/**
 * Matrix product over the last two axes, earlier axes broadcast: (…, M, K) · (…, K, N) → (…, M, N).
 *
 * Writing the transpose as an option instead of an operation lets the lowering fuse it into the product.
 */
export function matmul(a: SymbolicTensor, b: SymbolicTensor, options: MatmulOptions = {}): SymbolicTensor {
  const { transposeA = false, transposeB = false } = options;
  return apply(matmulOperation, [a, b], { transposeA, transposeB });
}

/** x with its last two axes swapped. */
export function matrixTranspose(x: SymbolicTensor): SymbolicTensor {
  return transpose(x, swapLastTwo(x.rank));
}

/** Whether a node is a matrix product of two matrices, and how its operands are transposed. */
export function matmulAttributes(node: SymbolicTensor): MatmulAttributes | undefined {
  return node.operation === (matmulOperation as Operation)
    ? (node.attributes as MatmulAttributes)
    : undefined;
}

function matrixShape(x: SymbolicTensor, transposed: boolean): [number, number] {
  const [rows, columns] = x.shape.slice(-2);
  return transposed ? [columns, rows] : [rows, columns];
}

function swapLastTwo(rank: number): number[] {
  return Array.from({ length: rank }, (_, k) => (k < rank - 2 ? k : 2 * rank - 3 - k));
}
