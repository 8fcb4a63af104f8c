/**
 * Convolution of images (N, C, H, W) with filters (O, C/groups, k_h, k_w), and the two maps that its derivatives are:
 * onto the input and onto the filters. The three are bilinear and closed under differentiation.
 *
 * Float32 takes ONNX's Conv. ONNX Runtime has no float64 Conv; there the input is unfolded into patches and multiplied.
 * On the input's side a unit stride is a Conv with the filters turned round, twice as fast as ConvTranspose on its CPU; the
 * filters' side is in `filter-products.ts`.
 */
import { formatShape } from "../tensor.ts";
import { concatenate, pad, reshape, reverse, slice, spreadOut, transpose } from "./arrange.ts";
import { filterProducts } from "./filter-products.ts";
import { matmul } from "./matmul.ts";
import { apply, type Operation, type SymbolicTensor } from "./symbolic.ts";

export interface Convolution {
  /** Rows, columns between neighbouring windows. */
  readonly strides: readonly [number, number];
  /** Zeros above, left, below, right of the image. */
  readonly padding: readonly [number, number, number, number];
  /** Rows, columns between neighbouring elements of a window. */
  readonly dilations: readonly [number, number];
  /** Channels are cut into so many groups that do not see each other. */
  readonly groups: number;
}

/** Rows, columns. */
export type Pair = readonly [number, number];

/** Positions of the window on an axis of `size` elements. */
export function outputSize(
  size: number,
  kernel: number,
  axis: 0 | 1,
  { strides, padding, dilations }: Omit<Convolution, "groups">,
): number {
  const padded = size + padding[axis] + padding[axis + 2];
  return Math.floor((padded - dilations[axis] * (kernel - 1) - 1) / strides[axis]) + 1;
}

const convolutionOperation: Operation<Convolution> = {
  name: "convolution",
  infer([x, w], convolution) {
    const [samples, channels, height, width] = x.shape;
    const [filters, perGroup, rows, columns] = w.shape;
    const { groups } = convolution;
    const fits = x.rank === 4 && w.rank === 4 && channels === perGroup * groups && filters % groups === 0;
    const size = [outputSize(height, rows, 0, convolution), outputSize(width, columns, 1, convolution)];
    if (!fits || x.dtype !== w.dtype || size.some((count) => count < 1)) {
      throw new Error(`convolution: ${formatShape(x.shape)} by ${formatShape(w.shape)}, ${groups} groups`);
    }
    return { shape: [samples, filters, ...size], dtype: x.dtype };
  },
  vjp({ inputs: [x, w], attributes }, cotangent) {
    return [
      convolveTransposed(cotangent, w, attributes, [x.shape[2], x.shape[3]]),
      filterProducts(x, cotangent, [w.shape[2], w.shape[3]], attributes),
    ];
  },
  expand({ inputs: [x, w], attributes, shape, dtype }) {
    if (dtype !== "float64") return undefined;
    const { groups } = attributes;
    const patches = unfold(x, [w.shape[2], w.shape[3]], attributes);
    const filters = reshape(w, [1, groups, w.shape[0] / groups, -1]);
    return reshape(matmul(filters, patches), shape);
  },
  lower: ({ attributes, inputs: [, w] }, names, emit) =>
    emit.node("Conv", names, onnxAttributes(attributes, w)),
  flops: ({ inputs: [, w], size }) => (2 * size * w.size) / w.shape[0],
};

/** Windows of x (N, C, H, W) times filters w (O, C/groups, k_h, k_w): (N, O, H', W'). Not flipped, as networks have it. */
export function convolve(x: SymbolicTensor, w: SymbolicTensor, convolution: Convolution): SymbolicTensor {
  return apply(convolutionOperation, [x, w], convolution);
}

/** A convolution node with a bias (O) that it adds before it writes its result: for graphs about to be lowered, as it has no derivative. */
export function withBias({ inputs, attributes }: SymbolicTensor, bias: SymbolicTensor): SymbolicTensor {
  return apply(convolutionOperation, [...inputs, bias], attributes as Convolution);
}

/** Whether a node is a convolution without a bias. */
export function isBareConvolution({ operation, inputs }: SymbolicTensor): boolean {
  return operation === (convolutionOperation as Operation) && inputs.length === 2;
}

interface Transposed extends Convolution {
  /** H, W of the result. */
  readonly size: Pair;
}

const transposedOperation: Operation<Transposed> = {
  name: "transposedConvolution",
  infer([y, w], { size, groups }) {
    return { shape: [y.shape[0], w.shape[1] * groups, ...size], dtype: y.dtype };
  },
  vjp({ inputs: [y, w], attributes: { size: _, ...convolution } }, cotangent) {
    return [
      convolve(cotangent, w, convolution),
      filterProducts(cotangent, y, [w.shape[2], w.shape[3]], convolution),
    ];
  },
  expand(node) {
    const { strides } = node.attributes;
    const unit = strides[0] === 1 && strides[1] === 1;
    return unit || node.dtype === "float64" ? turnedConvolution(node) : undefined;
  },
  lower({ attributes, inputs: [y, w] }, names, emit) {
    const { size, strides, dilations, padding } = attributes;
    const missing = ([0, 1] as const).map((axis) => {
      const reach = strides[axis] * (y.shape[axis + 2] - 1) + dilations[axis] * (w.shape[axis + 2] - 1) + 1;
      return size[axis] - (reach - padding[axis] - padding[axis + 2]);
    });
    return emit.node("ConvTranspose", names, {
      ...onnxAttributes(attributes, w),
      output_padding: { ints: missing },
    });
  },
  flops: ({ inputs: [y, w] }) => (2 * y.size * w.size) / w.shape[0],
};

/**
 * The transpose of {@link convolve} as a map of x: from y (N, O, H', W') to (N, C, H, W).
 *
 * @param size H and W, of which several lead to the same H' and W' when a stride is larger than 1
 */
export function convolveTransposed(
  y: SymbolicTensor,
  w: SymbolicTensor,
  convolution: Convolution,
  size: Pair,
): SymbolicTensor {
  return apply(transposedOperation, [y, w], { ...convolution, size });
}

/** The transpose as a convolution: y spread out by the strides, filters turned round, inputs and outputs exchanged. */
function turnedConvolution({ inputs: [y, w], attributes }: SymbolicTensor<Transposed>): SymbolicTensor {
  const { size, strides, padding, dilations, groups } = attributes;
  const [filters, perGroup, ...kernel] = w.shape;
  const spread = spreadOut(y, [1, 1, ...strides]);
  const before = ([0, 1] as const).map((axis) => dilations[axis] * (kernel[axis] - 1) - padding[axis]);
  const after = ([0, 1] as const).map(
    (axis) => size[axis] + dilations[axis] * (kernel[axis] - 1) - spread.shape[axis + 2] - before[axis],
  );
  const cropped = slice(
    spread,
    [0, 0, ...before.map((count) => Math.max(0, -count))],
    [...spread.shape.slice(0, 2), ...after.map((count, axis) => spread.shape[axis + 2] + Math.min(0, count))],
  );
  const zeros = [...before, ...after].map((count) => Math.max(0, count));
  const grouped = reshape(w, [groups, filters / groups, perGroup, ...kernel]);
  const exchanged = reshape(transpose(grouped, [0, 2, 1, 3, 4]), [
    perGroup * groups,
    filters / groups,
    ...kernel,
  ]);
  return convolve(cropped, reverse(exchanged, [2, 3]), {
    strides: [1, 1],
    padding: zeros as unknown as Convolution["padding"],
    dilations,
    groups,
  });
}

/** The patches that a convolution multiplies with its filters, (N, groups, C/groups·k_h·k_w, H'·W'). */
export function unfold(x: SymbolicTensor, kernel: Pair, convolution: Convolution): SymbolicTensor {
  const [samples, channels, height, width] = x.shape;
  const size: Pair = [
    outputSize(height, kernel[0], 0, convolution),
    outputSize(width, kernel[1], 1, convolution),
  ];
  const { groups } = convolution;
  const positions = size[0] * size[1];
  const views = shiftedViews(x, kernel, size, convolution).map((view) =>
    reshape(view, [samples, channels, 1, positions]),
  );
  return reshape(concatenate(views, 2), [samples, groups, (channels / groups) * views.length, positions]);
}

/** For every element of the kernel, row by row, the part of x that it meets as the window moves: (N, C, H', W') each. */
export function shiftedViews(
  x: SymbolicTensor,
  kernel: Pair,
  size: Pair,
  { strides, padding, dilations }: Convolution,
): SymbolicTensor[] {
  const [top, left, bottom, right] = padding;
  const padded = pad(x, [0, 0, top, left], [0, 0, bottom, right]);
  const leading = x.shape.slice(0, 2);
  return Array.from({ length: kernel[0] * kernel[1] }, (_, element) => {
    const row = Math.floor(element / kernel[1]) * dilations[0];
    const column = (element % kernel[1]) * dilations[1];
    const end = (start: number, axis: 0 | 1) => start + (size[axis] - 1) * strides[axis] + 1;
    return slice(padded, [0, 0, row, column], [...leading, end(row, 0), end(column, 1)], [1, 1, ...strides]);
  });
}

function onnxAttributes({ strides, padding, dilations, groups }: Convolution, w: SymbolicTensor) {
  return {
    strides: { ints: strides },
    pads: { ints: padding },
    dilations: { ints: dilations },
    group: { int: groups },
    kernel_shape: { ints: w.shape.slice(2) },
  };
}
