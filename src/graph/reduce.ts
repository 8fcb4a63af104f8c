/** Reductions over axes, and the softmax family over the last axis. */
import { broadcastTo, reshape } from "./arrange.ts";
import { cast, divide, equal, multiply, subtract } from "./elementwise.ts";
import { normalizeAxes, reducedShape } from "./shapes.ts";
import { apply, type Operation, type SymbolicTensor } from "./symbolic.ts";

type None = Record<string, never>;

interface Reduction {
  readonly axes: readonly number[];
  readonly keepDims: boolean;
}

const sumOperation: Operation<Reduction> = {
  name: "sum",
  infer: ([x], { axes, keepDims }) => ({ shape: reducedShape(x.shape, axes, keepDims), dtype: x.dtype }),
  vjp({ inputs: [x], attributes: { axes } }, cotangent) {
    return [broadcastTo(reshape(cotangent, reducedShape(x.shape, axes, true)), x.shape)];
  },
  lower({ inputs: [operand], attributes: { axes, keepDims } }, [x], emit) {
    const floating = operand.dtype === "float32" || operand.dtype === "float64";
    if (floating && operand.rank === 2 && !keepDims && axes.length === 1 && axes[0] === 0) {
      // A row of ones times the matrix takes half the time of ReduceSum; over the last axis it would take ten times as long.
      const rows = operand.shape[0];
      const ones = emit.initializer(new Array(rows).fill(1), [rows], operand.dtype);
      return emit.node("MatMul", [ones, x]);
    }
    return emit.node("ReduceSum", [x, emit.integers(axes)], { keepdims: { int: keepDims ? 1 : 0 } });
  },
  flops: ({ inputs: [x] }) => x.size,
};

/** The axes that a node sums over; none where it is no sum. */
export function summedAxes({ operation, attributes }: SymbolicTensor): readonly number[] | undefined {
  return operation === (sumOperation as Operation) ? (attributes as Reduction).axes : undefined;
}

/** Sum over `axes` (all of them by default). */
export function sum(x: SymbolicTensor, axes?: readonly number[], keepDims = false): SymbolicTensor {
  return reduce(sumOperation, x, axes, keepDims);
}

/** Arithmetic mean over `axes` (all of them by default). */
export function mean(x: SymbolicTensor, axes?: readonly number[], keepDims = false): SymbolicTensor {
  const total = sum(x, axes, keepDims);
  return multiply(total, total.size / x.size);
}

const squaredNormOperation: Operation<None> = {
  name: "squaredNorm",
  infer: ([x]) => ({ shape: [], dtype: x.dtype }),
  vjp: ({ inputs: [x] }, cotangent) => [multiply(x, multiply(cotangent, 2))],
  lower: (_, [x], emit) => emit.node("ReduceSumSquare", [x], { keepdims: { int: 0 } }),
  flops: ({ inputs: [x] }) => 2 * x.size,
};

/** Sum of the squares of all elements, a scalar, in one pass. */
export function squaredNorm(x: SymbolicTensor): SymbolicTensor {
  return apply(squaredNormOperation, [x], {});
}

const maxOperation: Operation<Reduction> = {
  name: "max",
  infer: ([x], { axes, keepDims }) => ({ shape: reducedShape(x.shape, axes, keepDims), dtype: x.dtype }),
  vjp(node, cotangent) {
    const [x] = node.inputs;
    const kept = reducedShape(x.shape, node.attributes.axes, true);
    const attained = cast(equal(x, reshape(node as SymbolicTensor, kept)), x.dtype);
    const share = divide(attained, sum(attained, node.attributes.axes, true));
    return [multiply(share, reshape(cotangent, kept))];
  },
  lower: ({ attributes: { axes, keepDims } }, [x], emit) =>
    emit.node("ReduceMax", [x, emit.integers(axes)], { keepdims: { int: keepDims ? 1 : 0 } }),
  flops: ({ inputs: [x] }) => x.size,
};

/** Largest element over `axes` (all of them by default); where several attain it, they share the derivative. */
export function max(x: SymbolicTensor, axes?: readonly number[], keepDims = false): SymbolicTensor {
  return reduce(maxOperation, x, axes, keepDims);
}

function reduce(
  operation: Operation<Reduction>,
  x: SymbolicTensor,
  axes: readonly number[] | undefined,
  keepDims: boolean,
): SymbolicTensor {
  const normalized = normalizeAxes(axes, x.rank);
  if (normalized.length === 0) return x;
  const trivial = normalized.every((axis) => x.shape[axis] === 1);
  if (trivial) return reshape(x, reducedShape(x.shape, normalized, keepDims));
  return apply(operation, [x], { axes: normalized, keepDims });
}

function withLastAxis(name: string, x: SymbolicTensor): SymbolicTensor {
  if (x.rank === 0) throw new Error(`${name}: a tensor of rank 0 has no last axis`);
  return x;
}

const softmaxOperation: Operation<None> = {
  name: "softmax",
  infer: ([x]) => withLastAxis("softmax", x),
  vjp(node, cotangent) {
    const weighted = multiply(cotangent, node);
    return [subtract(weighted, multiply(node, sum(weighted, [-1], true)))];
  },
  lower: (_, [x], emit) => emit.node("Softmax", [x], { axis: { int: -1 } }),
  flops: (node) => 4 * node.size,
};

/** exp(x) / Σ exp(x) over the last axis. */
export function softmax(x: SymbolicTensor): SymbolicTensor {
  return apply(softmaxOperation, [x], {});
}

const logSoftmaxOperation: Operation<None> = {
  name: "logSoftmax",
  infer: ([x]) => withLastAxis("logSoftmax", x),
  vjp: (node, cotangent) => [
    subtract(cotangent, multiply(softmax(node.inputs[0]), sum(cotangent, [-1], true))),
  ],
  lower(_, [x], emit) {
    if (emit.has("LogSoftmax")) return emit.node("LogSoftmax", [x], { axis: { int: -1 } });
    const last = emit.integers([-1]);
    const shifted = emit.node("Sub", [x, emit.node("ReduceMax", [x, last], { keepdims: { int: 1 } })]);
    const total = emit.node("ReduceSum", [emit.node("Exp", [shifted]), last], { keepdims: { int: 1 } });
    return emit.node("Sub", [shifted, emit.node("Log", [total])]);
  },
  flops: (node) => 4 * node.size,
};

/** x − log Σ exp(x) over the last axis. */
export function logSoftmax(x: SymbolicTensor): SymbolicTensor {
  return apply(logSoftmaxOperation, [x], {});
}
