/**
 * The derivative of a convolution with respect to its filters,
 *
 *   P[o, c, i, j] = Σ_n Σ_{v,u} y[n, o, v, u] · x[n, c, v·stride + i·dilation − padding, u·stride + j·dilation − padding],
 *
 * a product of y, (O, N·H'·W'), with the shifted views of x, (N·H'·W', C·k_h·k_w).
 *
 * In float32 it is a Conv again, with the samples as its channels, y as its filters, strides and dilations exchanged. The channels of x lie
 * innermost in its rows, W·C long, where a shift by a column is one by C: what Conv unfolds for its matrix product are runs of k_w·C neighbours, and
 * its result has O rows and k_h·k_w·C columns. The samples go in chunks, groups of the Conv, whose results are added up: a chunk stays in the cache
 * while it meets all shifts, and chunks are what threads share. bench/filter-products.ts compares the ways, docs/performance.md has the figures.
 *
 * Float64 has no Conv, few channels make runs too short, and a channel by itself is no matrix: there views of x are multiplied. So they are for filters
 * of one element, which see one view.
 */
import { formatShape } from "../tensor.ts";
import { concatenate, reshape, slice, transpose } from "./arrange.ts";
import {
  type Convolution,
  convolve,
  convolveTransposed,
  type Pair,
  shiftedViews,
  unfold,
} from "./convolution.ts";
import { multiply } from "./elementwise.ts";
import { matmul } from "./matmul.ts";
import { sum } from "./reduce.ts";
import { apply, type Operation, type SymbolicTensor } from "./symbolic.ts";

/** With fewer channels in a group, what Conv unfolds are runs too short. */
const LEAST_FOR_CONVOLUTION = 4;

/** With fewer channels in a group, products with a single view have too few columns. */
const LEAST_FOR_VIEWS = 16;

/** Most chunks that a batch's samples are cut into; the least positions in one, with fewer of which adding up would cost as much as they do; most bytes of all their results. */
const MOST_CHUNKS = 16;
const CHUNK_POSITIONS = 512;
const CHUNKS_BYTES = 2 ** 27;

interface FilterProducts extends Convolution {
  readonly kernel: Pair;
}

const filterProductsOperation: Operation<FilterProducts> = {
  name: "filterProducts",
  infer([x, y], { kernel, groups }) {
    const fits = x.rank === 4 && y.rank === 4 && x.shape[0] === y.shape[0] && x.dtype === y.dtype;
    if (!fits) throw new Error(`filterProducts: ${formatShape(x.shape)} with ${formatShape(y.shape)}`);
    return { shape: [y.shape[1], x.shape[1] / groups, ...kernel], dtype: x.dtype };
  },
  vjp({ inputs: [x, y], attributes: { kernel: _, ...convolution } }, cotangent) {
    return [
      convolveTransposed(y, cotangent, convolution, [x.shape[2], x.shape[3]]),
      convolve(x, cotangent, convolution),
    ];
  },
  expand(node) {
    const { inputs, shape, dtype, attributes } = node;
    if (inputs[1].shape[1] === attributes.groups && shape[1] === 1) return depthwise(node);
    if (attributes.kernel.every((length) => length === 1)) return pointwise(node);
    const reaches = reach(inputs[1], attributes).every((count) => count >= 1);
    if (dtype === "float32" && reaches && shape[1] >= LEAST_FOR_CONVOLUTION) return asConvolution(node);
    return shape[1] < LEAST_FOR_VIEWS ? fromPatches(node) : fromViews(node);
  },
};

/** Σ over samples, (O, C/groups, k_h, k_w), from x (N, C, H, W) and y (N, O, H', W'). */
export function filterProducts(
  x: SymbolicTensor,
  y: SymbolicTensor,
  kernel: Pair,
  convolution: Convolution,
): SymbolicTensor {
  return apply(filterProductsOperation, [x, y], { ...convolution, kernel });
}

/** The products of each sample, (N, O, C/groups, k_h, k_w): every sample a group of one. */
export function filterProductsOfEach(
  x: SymbolicTensor,
  y: SymbolicTensor,
  kernel: Pair,
  convolution: Convolution,
): SymbolicTensor {
  const [samples, outputs] = y.shape;
  const joined = (images: SymbolicTensor) =>
    reshape(images, [1, samples * images.shape[1], ...images.shape.slice(2)]);
  const groups = samples * convolution.groups;
  const products = filterProducts(joined(x), joined(y), kernel, { ...convolution, groups });
  return reshape(products, [samples, outputs, ...products.shape.slice(1)]);
}

/** Rows and columns of x, zeros behind it included, that windows reach. */
function reach(y: SymbolicTensor, { kernel, strides, dilations, padding }: FilterProducts): Pair {
  const [height, width] = ([0, 1] as const).map((axis) => {
    return strides[axis] * (y.shape[axis + 2] - 1) + dilations[axis] * (kernel[axis] - 1) + 1 - padding[axis];
  });
  return [height, width];
}

function asConvolution({
  inputs: [x, y],
  attributes,
  shape,
}: SymbolicTensor<FilterProducts>): SymbolicTensor {
  const { kernel, strides, dilations, padding, groups } = attributes;
  const [samples, channels, ...size] = x.shape;
  const [, outputs, rows, columns] = y.shape;
  const [perGroup, units] = [channels / groups, outputs / groups];
  const span = dilations[1] * (kernel[1] - 1) + 1;
  const chunks = chunkCount(samples, rows * columns, 4 * outputs * kernel[0] * span * perGroup);

  const reached = reach(y, attributes);
  const [height, width] = size.map((count, axis) => Math.min(count, reached[axis]));
  const seen = slice(x, [0, 0, 0, 0], [samples, channels, height, width]);
  const byPixels = transpose(reshape(seen, [samples * groups, perGroup, height * width]), [0, 2, 1]);
  const lines = transpose(reshape(byPixels, [samples, groups, height * width * perGroup]), [1, 0, 2]);
  const chunked = reshape(y, [chunks, samples / chunks, groups, units, rows * columns]);
  const filters = transpose(chunked, [2, 0, 3, 1, 4]);
  const products = convolve(
    reshape(lines, [1, groups * samples, height, width * perGroup]),
    reshape(filters, [groups * chunks * units, samples / chunks, rows, columns]),
    {
      strides: [dilations[0], 1],
      dilations: [strides[0], strides[1] * perGroup],
      padding: [padding[0], padding[1] * perGroup, reached[0] - height, (reached[1] - width) * perGroup],
      groups: groups * chunks,
    },
  );
  const total = sum(reshape(products, [groups, chunks, units, kernel[0], span, perGroup]), [1]);
  const kept = slice(total, [0, 0, 0, 0, 0], total.shape, [1, 1, 1, dilations[1], 1]);
  return reshape(transpose(kept, [0, 1, 4, 2, 3]), shape);
}

/** The largest divisor of the number of samples that the limits above allow. */
function chunkCount(samples: number, positions: number, resultBytes: number): number {
  const byPositions = Math.floor((samples * positions) / CHUNK_POSITIONS);
  const byBytes = Math.floor(CHUNKS_BYTES / resultBytes);
  let chunks = Math.max(1, Math.min(MOST_CHUNKS, samples, byPositions, byBytes));
  while (samples % chunks !== 0) chunks--;
  return chunks;
}

/** One product for each element of the kernel. */
function fromViews({ inputs: [x, y], attributes, shape }: SymbolicTensor<FilterProducts>): SymbolicTensor {
  const [outputs, perGroup] = shape;
  const [samples, , height, width] = y.shape;
  const { groups, kernel } = attributes;
  const grouped = byGroups(y, groups);
  const parts = shiftedViews(x, kernel, [height, width], attributes).map((view) => {
    const shifted = reshape(view, [samples, groups, perGroup, height * width]);
    return reshape(sum(matmul(grouped, shifted, { transposeB: true }), [0]), [outputs, perGroup, 1]);
  });
  return reshape(concatenate(parts, -1), shape);
}

/** One element: products of every sample, or where T is so small that those are more than twice what they are made of, one product of all. */
function pointwise(node: SymbolicTensor<FilterProducts>): SymbolicTensor {
  const { inputs, attributes, shape } = node;
  const [x, y] = inputs;
  const [samples, outputs, height, width] = y.shape;
  const { groups, kernel } = attributes;
  const [units, perGroup] = [outputs / groups, shape[1]];
  if (samples === 1 || units * perGroup <= 2 * height * width * (units + perGroup)) return fromViews(node);
  const [view] = shiftedViews(x, kernel, [height, width], attributes);
  const [left, right] = [y, view].map((images) => {
    const rows = transpose(byGroups(images, groups), [1, 2, 0, 3]);
    return reshape(rows, [groups, rows.shape[1], samples * height * width]);
  });
  return reshape(matmul(left, right, { transposeB: true }), shape);
}

/** One channel a group, (C, 1, k_h, k_w): views of x times y, element by element, and no patches, which would be k_h·k_w times the image. */
function depthwise({ inputs: [x, y], attributes, shape }: SymbolicTensor<FilterProducts>): SymbolicTensor {
  const [, channels, height, width] = y.shape;
  const views = shiftedViews(x, attributes.kernel, [height, width], attributes);
  const sums = views.map((view) => reshape(sum(multiply(view, y), [0, 2, 3]), [channels, 1]));
  return reshape(concatenate(sums, 1), shape);
}

/** One product with all patches. */
function fromPatches({ inputs: [x, y], attributes, shape }: SymbolicTensor<FilterProducts>): SymbolicTensor {
  const patches = unfold(x, attributes.kernel, attributes);
  return reshape(sum(matmul(byGroups(y, attributes.groups), patches, { transposeB: true }), [0]), shape);
}

/** (N, O, H', W') as (N, groups, O/groups, H'·W'). */
function byGroups(y: SymbolicTensor, groups: number): SymbolicTensor {
  const [samples, outputs, height, width] = y.shape;
  return reshape(y, [samples, groups, outputs / groups, height * width]);
}
