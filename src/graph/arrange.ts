/** Operations that move elements without changing them: reshape, transpose, broadcast, concatenate, slice, pad. */
import { formatShape, sameShape, sizeOf } from "../tensor.ts";
import { sumTo } from "./elementwise.ts";
import { broadcastShapes, normalizeAxis } from "./shapes.ts";
import { apply, type Operation, type SymbolicTensor } from "./symbolic.ts";

const reshapeOperation: Operation<{ shape: readonly number[] }> = {
  name: "reshape",
  infer([x], { shape }) {
    if (sizeOf(shape) !== x.size) {
      throw new Error(
        `reshape: ${formatShape(x.shape)} to ${formatShape(shape)} changes the number of elements`,
      );
    }
    return { shape, dtype: x.dtype };
  },
  vjp: ({ inputs: [x] }, cotangent) => [reshape(cotangent, x.shape)],
  lower: ({ attributes }, [x], emit) => emit.node("Reshape", [x, emit.integers(attributes.shape)]),
  flops: () => 0,
};

/** The same elements in row-major order under another shape; one dimension may be −1. */
export function reshape(x: SymbolicTensor, shape: readonly number[]): SymbolicTensor {
  const known = shape.reduce((product, dimension) => (dimension === -1 ? product : product * dimension), 1);
  const full = shape.map((dimension) => (dimension === -1 ? Math.floor(x.size / known) : dimension));
  return sameShape(full, x.shape) ? x : apply(reshapeOperation, [x], { shape: full });
}

const transposeOperation: Operation<{ permutation: readonly number[] }> = {
  name: "transpose",
  infer([x], { permutation }) {
    const valid = permutation.length === x.rank && new Set(permutation).size === x.rank;
    if (!valid) throw new Error(`transpose: ${formatShape(permutation)} does not permute ${x.rank} axes`);
    return { shape: permutation.map((axis) => x.shape[axis]), dtype: x.dtype };
  },
  vjp({ attributes: { permutation } }, cotangent) {
    return [
      transpose(
        cotangent,
        permutation.map((_, axis) => permutation.indexOf(axis)),
      ),
    ];
  },
  lower: ({ attributes }, [x], emit) =>
    emit.node("Transpose", [x], { perm: { ints: attributes.permutation } }),
};

/** Axis k of the result is axis `permutation[k]` of x; all axes reversed by default. */
export function transpose(x: SymbolicTensor, permutation?: readonly number[]): SymbolicTensor {
  const order =
    permutation?.map((axis) => normalizeAxis(axis, x.rank)) ?? x.shape.map((_, k) => x.rank - 1 - k);
  return order.every((axis, k) => axis === k) ? x : apply(transposeOperation, [x], { permutation: order });
}

const broadcastOperation: Operation<{ shape: readonly number[] }> = {
  name: "broadcast",
  infer([x], { shape }) {
    if (!sameShape(broadcastShapes(x.shape, shape), shape)) {
      throw new Error(`broadcast: ${formatShape(x.shape)} does not broadcast to ${formatShape(shape)}`);
    }
    return { shape, dtype: x.dtype };
  },
  vjp: ({ inputs: [x] }, cotangent) => [sumTo(cotangent, x.shape)],
  lower: ({ attributes }, [x], emit) => emit.node("Expand", [x, emit.integers(attributes.shape)]),
};

/** x repeated to a larger shape, by NumPy's rule. */
export function broadcastTo(x: SymbolicTensor, shape: readonly number[]): SymbolicTensor {
  return sameShape(x.shape, shape) ? x : apply(broadcastOperation, [x], { shape });
}

const concatenateOperation: Operation<{ axis: number }> = {
  name: "concatenate",
  infer(parts, { axis }) {
    const [first] = parts;
    for (const part of parts) {
      const fits = part.rank === first.rank && part.shape.every((d, k) => k === axis || d === first.shape[k]);
      if (!fits || part.dtype !== first.dtype) {
        throw new Error(`concatenate: ${parts.map((p) => formatShape(p.shape)).join(", ")} on axis ${axis}`);
      }
    }
    const total = parts.reduce((sum, part) => sum + part.shape[axis], 0);
    return { shape: first.shape.map((d, k) => (k === axis ? total : d)), dtype: first.dtype };
  },
  vjp({ inputs, attributes: { axis } }, cotangent) {
    let start = 0;
    return inputs.map((part) => {
      const from = start;
      start += part.shape[axis];
      return sliceAxis(cotangent, axis, from, start);
    });
  },
  lower: ({ attributes }, inputs, emit) => emit.node("Concat", inputs, { axis: { int: attributes.axis } }),
};

/** The parts one after another along an axis. */
export function concatenate(parts: readonly SymbolicTensor[], axis = 0): SymbolicTensor {
  if (parts.length === 0) throw new Error("concatenate: no parts");
  if (parts.length === 1) return parts[0];
  return apply(concatenateOperation, parts, { axis: normalizeAxis(axis, parts[0].rank) });
}

interface Range {
  readonly starts: readonly number[];
  readonly ends: readonly number[];
}

const sliceOperation: Operation<Range> = {
  name: "slice",
  infer([x], { starts, ends }) {
    const valid = x.shape.every((d, k) => 0 <= starts[k] && starts[k] <= ends[k] && ends[k] <= d);
    if (!valid || starts.length !== x.rank || ends.length !== x.rank) {
      throw new Error(`slice: ${formatShape(starts)} to ${formatShape(ends)} of ${formatShape(x.shape)}`);
    }
    return { shape: ends.map((end, k) => end - starts[k]), dtype: x.dtype };
  },
  vjp: ({ inputs: [x], attributes: { starts, ends } }, cotangent) => [
    pad(
      cotangent,
      starts,
      ends.map((end, k) => x.shape[k] - end),
    ),
  ],
  lower({ attributes: { starts, ends }, inputs }, [x], emit) {
    const axes = starts.map((_, k) => k).filter((k) => starts[k] > 0 || ends[k] < inputs[0].shape[k]);
    const at = (bounds: readonly number[]) => emit.integers(axes.map((k) => bounds[k]));
    return emit.node("Slice", [x, at(starts), at(ends), emit.integers(axes)]);
  },
};

/** Elements `starts[k] ≤ index < ends[k]` on every axis k. */
export function slice(x: SymbolicTensor, starts: readonly number[], ends: readonly number[]): SymbolicTensor {
  const whole = starts.every((start) => start === 0) && sameShape(ends, x.shape);
  return whole ? x : apply(sliceOperation, [x], { starts, ends });
}

/** Elements `start ≤ index < end` along one axis. */
export function sliceAxis(x: SymbolicTensor, axis: number, start: number, end: number): SymbolicTensor {
  const along = normalizeAxis(axis, x.rank);
  return slice(
    x,
    x.shape.map((_, k) => (k === along ? start : 0)),
    x.shape.map((d, k) => (k === along ? end : d)),
  );
}

const padOperation: Operation<{ before: readonly number[]; after: readonly number[] }> = {
  name: "pad",
  infer([x], { before, after }) {
    if (before.length !== x.rank || after.length !== x.rank || [...before, ...after].some((n) => n < 0)) {
      throw new Error(`pad: ${formatShape(before)} and ${formatShape(after)} around ${formatShape(x.shape)}`);
    }
    return { shape: x.shape.map((d, k) => before[k] + d + after[k]), dtype: x.dtype };
  },
  vjp: ({ inputs: [x], attributes: { before } }, cotangent) => [
    slice(
      cotangent,
      before,
      before.map((start, k) => start + x.shape[k]),
    ),
  ],
  lower: ({ attributes: { before, after } }, [x], emit) =>
    emit.node("Pad", [x, emit.integers([...before, ...after])]),
};

/** x with zeros around it: `before[k]` and `after[k]` of them on axis k. */
export function pad(x: SymbolicTensor, before: readonly number[], after: readonly number[]): SymbolicTensor {
  const nothing = [...before, ...after].every((count) => count === 0);
  return nothing ? x : apply(padOperation, [x], { before, after });
}
