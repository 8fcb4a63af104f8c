/**
 * Second moments of a convolution's patches by the distances of a window's elements, for windows one pixel apart.
 *
 * Element e of the window at position t is the pixel t + o_e. Elements e and e' therefore have
 *
 *   Ω[e, e'] = (1/N) Σ_n Σ_{q ∈ W_ee'} x[n,q] x[n,q + Δ]ᵀ, (C, C),   Δ = o_e' − o_e,
 *
 * which depends on Δ alone, but for pixels at the borders that one of the two never meets. A window of 3 × 3 has 81 pairs and 25 distances,
 * 13 up to transposition. So the products of a distance are summed over all pixels once, and what W_ee' lacks is taken off: strips of rows
 * and of columns, and where both meet, which went twice, put back. The sums for all distances at once are the derivative of a convolution's
 * filters, with the image itself for the derivatives (`filterProducts`). docs/performance.md has the figures.
 */
import {
  add,
  concatenate,
  filterProducts,
  matrixTranspose,
  multiply,
  reshape,
  type SymbolicTensor,
  slice,
  subtract,
  transpose,
} from "../graph/index.ts";
import type { Windows } from "./patch-moments.ts";

/** Pixels of an axis, `start` up to, not including, `end`. */
type Range = readonly [start: number, end: number];

/** Pixels that are summed over, and the least and the largest distance, in elements, at which they are. */
interface Strip {
  readonly pixels: Range;
  /** Whether they are taken off the whole axis. */
  readonly border: boolean;
  readonly nearest: number;
  readonly farthest: number;
}

/** Two elements on an axis: their distance, the whole axis and what they lack of it. */
interface Pair {
  readonly distance: number;
  readonly strips: readonly Strip[];
}

interface Axis {
  readonly strips: readonly Strip[];
  /** Of elements i and i'. */
  pair(first: number, second: number): Pair;
}

/** Ω, (F, F). */
export function squaresByDistance(windows: Windows): SymbolicTensor {
  const [, columnCount] = windows.kernel;
  const channels = windows.images.shape[1];
  const [rows, columns] = axesOf(windows);
  const sums = new Map<string, SymbolicTensor>();
  const blocks = new Map<string, SymbolicTensor>();

  const sumOver = (row: Strip, column: Strip) =>
    remembered(sums, [row, column].map(({ pixels, border }) => `${pixels} ${border}`).join("; "), () =>
      sumsAtDistances(windows, row, column),
    );
  const blockOf = (row: Pair, column: Pair) =>
    remembered(blocks, `${nameOf(row)}; ${nameOf(column)}`, () => {
      const terms = row.strips.flatMap((own) =>
        column.strips.map((other) => {
          const at = [row.distance - own.nearest, column.distance - other.nearest];
          const ends = [at[0] + 1, at[1] + 1, channels, channels];
          const term = slice(sumOver(own, other), [...at, 0, 0], ends);
          return { term, combine: own.border === other.border ? add : subtract };
        }),
      );
      const total = terms.slice(1).reduce((rest, { term, combine }) => combine(rest, term), terms[0].term);
      return reshape(total, [channels, channels]);
    });

  const elements = Array.from({ length: windows.kernel[0] * columnCount }, (_, e) => {
    return [Math.floor(e / columnCount), e % columnCount] as const;
  });
  const all = elements.flatMap((first, e) =>
    elements.map((second, f) => {
      const [from, to] = e <= f ? [first, second] : [second, first];
      const block = blockOf(rows.pair(from[0], to[0]), columns.pair(from[1], to[1]));
      return reshape(e <= f ? block : matrixTranspose(block), [1, channels, channels]);
    }),
  );
  const count = elements.length;
  const inOrder = transpose(reshape(concatenate(all), [count, count, channels, channels]), [2, 0, 3, 1]);
  return reshape(inOrder, [channels * count, channels * count]);
}

/** What Ω takes by distances. */
export interface DistanceCost {
  /** Pixels times distances: the products of two channels, per sample. */
  readonly products: number;
  /** Rectangles that are summed over. */
  readonly rectangles: number;
}

export function distanceCost(windows: Windows): DistanceCost {
  const axes = axesOf(windows).map(({ strips }) => {
    const products = strips.map(({ pixels: [start, end], nearest, farthest }) => {
      return (end - start) * (farthest - nearest + 1);
    });
    return { products: products.reduce((total, count) => total + count), rectangles: strips.length };
  });
  const [rows, columns] = axes;
  return {
    products: rows.products * columns.products,
    rectangles: rows.rectangles * columns.rectangles,
  };
}

/** (1/N) Σ x[q] x[q + Δ]ᵀ over a rectangle of pixels q, for every distance: (rows, columns, C, C). */
function sumsAtDistances({ images, convolution }: Windows, row: Strip, column: Strip): SymbolicTensor {
  const [samples, channels, ...size] = images.shape;
  const { dilations } = convolution;
  const strips = [row, column];
  const cut = (ranges: readonly Range[]) =>
    slice(
      images,
      [0, 0, ...ranges.map(([start]) => start)],
      [samples, channels, ...ranges.map(([, end]) => end)],
    );
  const reached = strips.map(({ pixels: [start, end], nearest, farthest }, axis): Range => {
    return [start + nearest * dilations[axis], end + farthest * dilations[axis]];
  });
  const seen = reached.map(([start, end], axis): Range => [Math.max(0, start), Math.min(size[axis], end)]);
  const [above, left] = reached.map(([start], axis) => seen[axis][0] - start);
  const [below, right] = reached.map(([, end], axis) => end - seen[axis][1]);
  const [height, width] = strips.map(({ nearest, farthest }) => farthest - nearest + 1);
  const sums = filterProducts(cut(seen), cut(strips.map(({ pixels }) => pixels)), [height, width], {
    ...{ strides: [1, 1], dilations, padding: [above, left, below, right], groups: 1 },
  });
  return multiply(transpose(sums, [2, 3, 0, 1]), 1 / samples);
}

/** Rows and columns. A pair of elements is taken in the order of their rows, so that rows are never behind. */
function axesOf({ images, kernel, output, convolution }: Windows): readonly [Axis, Axis] {
  const [rows, columns] = ([0, 1] as const).map((axis) =>
    axisOf({
      size: images.shape[axis + 2],
      outputs: output[axis],
      elements: kernel[axis],
      dilation: convolution.dilations[axis],
      padding: convolution.padding[axis],
      nearest: axis === 0 ? 0 : 1 - kernel[axis],
    }),
  );
  return [rows, columns];
}

interface AxisOptions {
  readonly size: number;
  readonly outputs: number;
  readonly elements: number;
  readonly dilation: number;
  /** Zeros in front. */
  readonly padding: number;
  /** The least distance that is asked for. */
  readonly nearest: number;
}

function axisOf({ size, outputs, elements, dilation, padding, nearest }: AxisOptions): Axis {
  const whole: Strip = { pixels: [0, size], border: false, nearest, farthest: elements - 1 };
  const borders = new Map<string, Strip>();
  const lacking: Range[][][] = [];
  for (let first = 0; first < elements; first++) {
    lacking[first] = [];
    for (let second = Math.max(0, first + nearest); second < elements; second++) {
      const distance = second - first;
      const offset = first * dilation - padding;
      const own = [offset, outputs + offset] as const;
      const ranges = outside(own, [
        Math.max(0, -distance * dilation),
        Math.min(size, size - distance * dilation),
      ]);
      lacking[first][second] = ranges;
      for (const pixels of ranges) {
        const known = borders.get(`${pixels}`) ?? { nearest: distance, farthest: distance };
        borders.set(`${pixels}`, {
          ...{ pixels, border: true },
          nearest: Math.min(known.nearest, distance),
          farthest: Math.max(known.farthest, distance),
        });
      }
    }
  }
  return {
    strips: [whole, ...borders.values()],
    pair(first, second) {
      const lacks = lacking[first][second].map((pixels) => borders.get(`${pixels}`)!);
      return { distance: second - first, strips: [whole, ...lacks] };
    },
  };
}

/** What of some pixels lies before a range and behind it. */
function outside([start, end]: Range, [first, last]: Range): Range[] {
  const before: Range = [first, Math.min(last, Math.max(first, start))];
  const behind: Range = [Math.max(before[1], Math.min(last, end)), last];
  return [before, behind].filter(([from, to]) => from < to);
}

function nameOf({ distance, strips }: Pair): string {
  return `${distance}: ${strips.map(({ pixels }) => pixels).join(" ")}`;
}

function remembered<T>(values: Map<string, T>, key: string, make: () => T): T {
  const known = values.get(key) ?? make();
  values.set(key, known);
  return known;
}
