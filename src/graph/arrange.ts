/** Operations that move elements without changing them: reshape, transpose, broadcast, concatenate, slice, pad. */
import { formatShape, sameShape, sizeOf } from "../tensor.ts";
import { sumTo } from "./elementwise.ts";
import { broadcastShapes, normalizeAxes, normalizeAxis } from "./shapes.ts";
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
  expand({ inputs: [x], attributes: { permutation }, shape }) {
    // ONNX Runtime would copy, though no element moves, where only axes of one element do.
    const long = permutation.filter((axis) => x.shape[axis] > 1);
    return long.every((axis, k) => k === 0 || axis > long[k - 1]) ? reshape(x, shape) : undefined;
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
  readonly steps: readonly number[];
}

const sliceOperation: Operation<Range> = {
  name: "slice",
  infer([x], { starts, ends, steps }) {
    const within = x.shape.every((d, k) => 0 <= starts[k] && starts[k] <= ends[k] && ends[k] <= d);
    const ranks = [starts, ends, steps].every(({ length }) => length === x.rank);
    if (!within || !ranks || steps.some((step) => !(step >= 1))) {
      throw new Error(`slice: ${formatShape(starts)} to ${formatShape(ends)} of ${formatShape(x.shape)}`);
    }
    return { shape: ends.map((end, k) => Math.ceil((end - starts[k]) / steps[k])), dtype: x.dtype };
  },
  vjp({ inputs: [x], attributes: { starts, steps } }, cotangent) {
    const spread = spreadOut(cotangent, steps);
    return [
      pad(
        spread,
        starts,
        x.shape.map((d, k) => d - starts[k] - spread.shape[k]),
      ),
    ];
  },
  lower({ attributes: { starts, ends, steps }, inputs }, [x], emit) {
    const axes = starts
      .map((_, k) => k)
      .filter((k) => starts[k] > 0 || ends[k] < inputs[0].shape[k] || steps[k] > 1);
    const at = (values: readonly number[]) => emit.integers(axes.map((k) => values[k]));
    const operands = [x, at(starts), at(ends), emit.integers(axes)];
    return emit.node("Slice", steps.every((step) => step === 1) ? operands : [...operands, at(steps)]);
  },
};

/** Elements `starts[k] ≤ index < ends[k]` on every axis k, one of every `steps[k]` (1 by default). */
export function slice(
  x: SymbolicTensor,
  starts: readonly number[],
  ends: readonly number[],
  steps: readonly number[] = starts.map(() => 1),
): SymbolicTensor {
  const whole =
    starts.every((start) => start === 0) && sameShape(ends, x.shape) && steps.every((step) => step === 1);
  return whole ? x : apply(sliceOperation, [x], { starts, ends, steps });
}

/** x with `steps[k] − 1` zeros between any two neighbours on axis k. */
export function spreadOut(x: SymbolicTensor, steps: readonly number[]): SymbolicTensor {
  return steps.reduce((spread, step, axis) => {
    const count = spread.shape[axis];
    if (step === 1 || count === 0) return spread;
    const [before, after] = [spread.shape.slice(0, axis), spread.shape.slice(axis + 1)];
    const column = reshape(spread, [...before, count, 1, ...after]);
    const zeros = column.shape.map((_, k) => (k === axis + 1 ? step - 1 : 0));
    const padded = pad(
      column,
      zeros.map(() => 0),
      zeros,
    );
    return sliceAxis(reshape(padded, [...before, count * step, ...after]), axis, 0, (count - 1) * step + 1);
  }, x);
}

const reverseOperation: Operation<{ axes: readonly number[] }> = {
  name: "reverse",
  infer: ([x]) => x,
  vjp: ({ attributes: { axes } }, cotangent) => [reverse(cotangent, axes)],
  lower({ inputs: [{ shape }], attributes: { axes } }, [x], emit) {
    const every = (value: (axis: number) => number) => emit.integers(axes.map(value));
    return emit.node("Slice", [
      x,
      every((axis) => shape[axis] - 1),
      every((axis) => -shape[axis] - 1),
      every((axis) => axis),
      every(() => -1),
    ]);
  },
};

/** x with the order along some axes turned round. */
export function reverse(x: SymbolicTensor, axes: readonly number[]): SymbolicTensor {
  const moved = normalizeAxes(axes, x.rank).filter((axis) => x.shape[axis] > 1);
  return moved.length === 0 ? x : apply(reverseOperation, [x], { axes: moved });
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
