/** Operations on images with plain loops as references; part of the table in operations.ts. */
import type { SymbolicTensor } from "../../src/graph/index.ts";
import * as graph from "../../src/graph/index.ts";
import { sizeOf } from "../../src/tensor.ts";
import { distinct, type Example, type OperationCase, uniform } from "./operations.ts";
import { at, type Dense, generate, reduce, total } from "./reference.ts";

interface Layout extends graph.Convolution {
  readonly name: string;
  /** (N, C, H, W) */
  readonly image: readonly number[];
  /** O, k_h, k_w */
  readonly filters: readonly [number, number, number];
}

const plain = {
  strides: [1, 1],
  padding: [0, 0, 0, 0],
  dilations: [1, 1],
  groups: 1,
} as const satisfies graph.Convolution;

const LAYOUTS: readonly Layout[] = [
  { ...plain, name: "plain", image: [2, 2, 4, 3], filters: [3, 2, 2] },
  { ...plain, name: "padded", image: [1, 2, 3, 3], filters: [2, 3, 3], padding: [1, 1, 1, 1] },
  { ...plain, name: "unevenly padded", image: [1, 1, 3, 4], filters: [2, 2, 3], padding: [0, 2, 1, 0] },
  {
    ...plain,
    name: "padded beyond the kernel",
    image: [1, 1, 2, 2],
    filters: [1, 1, 2],
    padding: [1, 2, 2, 1],
  },
  { ...plain, name: "strided", image: [2, 1, 5, 4], filters: [2, 3, 2], strides: [2, 2] },
  {
    ...{ ...plain, name: "strided with a remainder", image: [1, 2, 6, 7], filters: [2, 3, 3] },
    ...{ strides: [2, 3], padding: [1, 1, 1, 1] },
  },
  { ...plain, name: "dilated", image: [1, 2, 5, 5], filters: [2, 2, 2], dilations: [2, 3] },
  { ...plain, name: "grouped", image: [2, 4, 3, 3], filters: [4, 2, 2], groups: 2 },
  { ...plain, name: "depthwise", image: [1, 3, 4, 4], filters: [3, 3, 3], groups: 3, padding: [1, 1, 1, 1] },
  { ...plain, name: "1 × 1", image: [2, 3, 2, 2], filters: [2, 1, 1] },
  { ...plain, name: "many channels", image: [1, 16, 2, 2], filters: [1, 2, 1] },
  {
    ...{
      ...plain,
      name: "many channels, strided with a remainder",
      image: [2, 16, 3, 3],
      filters: [1, 2, 1],
    },
    ...{ strides: [2, 2], padding: [0, 0, 0, 1] },
  },
  {
    ...{ ...plain, name: "many channels, everything", image: [1, 32, 2, 3], filters: [2, 2, 2] },
    ...{ strides: [2, 1], padding: [1, 0, 1, 1], dilations: [1, 2], groups: 2 },
  },
  {
    ...{ ...plain, name: "everything", image: [1, 4, 6, 5], filters: [4, 2, 3] },
    ...{ strides: [2, 1], padding: [1, 0, 2, 1], dilations: [2, 1], groups: 2 },
  },
];

function filterShape({ image, filters: [outputs, rows, columns], groups }: Layout): number[] {
  return [outputs, image[1] / groups, rows, columns];
}

function outputShape({ image, filters: [outputs, rows, columns], ...layout }: Layout): number[] {
  const size = (axis: 0 | 1, kernel: number) => graph.outputSize(image[2 + axis], kernel, axis, layout);
  return [image[0], outputs, size(0, rows), size(1, columns)];
}

/** x at one channel and place, 0 in the padding. */
function pixel(x: Dense, sample: number, channel: number, row: number, column: number): number {
  const [, , height, width] = x.shape;
  return row < 0 || column < 0 || row >= height || column >= width
    ? 0
    : at(x, [sample, channel, row, column]);
}

type Visit = (output: number[], filter: number[], input: number[]) => void;

/** Every product of a convolution: indices of the output, of the filters and of the image, padding left out. */
function visit(layout: Layout, each: Visit): void {
  const { image, strides, padding, dilations, groups } = layout;
  const [outputs, perGroup, rows, columns] = filterShape(layout);
  generate([...outputShape(layout), perGroup, rows, columns], ([n, o, y, x, c, i, j]) => {
    const channel = Math.floor(o / (outputs / groups)) * perGroup + c;
    const row = y * strides[0] + i * dilations[0] - padding[0];
    const column = x * strides[1] + j * dilations[1] - padding[1];
    if (row >= 0 && column >= 0 && row < image[2] && column < image[3]) {
      each([n, o, y, x], [o, c, i, j], [n, channel, row, column]);
    }
    return 0;
  });
}

/** Sums products over all but the indices that the result is told by. */
function gather(
  shape: readonly number[],
  layout: Layout,
  terms: (add: (index: number[], value: number) => void) => Visit,
) {
  const sums = new Map<string, number>();
  visit(
    layout,
    terms((index, value) => sums.set(String(index), (sums.get(String(index)) ?? 0) + value)),
  );
  return generate(shape, (index) => sums.get(String(index)) ?? 0);
}

const CONVOLUTIONS: OperationCase[] = LAYOUTS.flatMap((layout) => {
  const { name: variant, image } = layout;
  const kernel = [layout.filters[1], layout.filters[2]] as const;
  const filters = filterShape(layout);
  const output = outputShape(layout);
  const size = [image[2], image[3]] as const;
  const cases: OperationCase[] = [
    {
      ...{ name: "convolve", variant, inputs: [uniform(image), uniform(filters)] },
      build: (x, w) => graph.convolve(x, w, layout),
      reference: (x, w) => gather(output, layout, (add) => (o, f, i) => add(o, at(x, i) * at(w, f))),
    },
    {
      ...{ name: "convolveTransposed", variant, inputs: [uniform(output), uniform(filters)] },
      build: (y, w) => graph.convolveTransposed(y, w, layout, size),
      reference: (y, w) => gather(image, layout, (add) => (o, f, i) => add(i, at(y, o) * at(w, f))),
    },
    {
      ...{ name: "filterProducts", variant, inputs: [uniform(image), uniform(output)] },
      build: (x, y) => graph.filterProducts(x, y, kernel, layout),
      reference: (x, y) => gather(filters, layout, (add) => (o, f, i) => add(f, at(x, i) * at(y, o))),
    },
    {
      ...{
        name: "filterProductsOfEach",
        variant,
        inputs: [uniform(image), uniform(output)],
      },
      build: (x, y) => graph.filterProductsOfEach(x, y, kernel, layout),
      reference: (x, y) =>
        gather([image[0], ...filters], layout, (add) => (o, f, i) => add([i[0], ...f], at(x, i) * at(y, o))),
    },
    {
      ...{ name: "unfold", variant, inputs: [uniform(image)] },
      build: (x) => graph.unfold(x, kernel, layout),
      reference: (x) => patches(x, layout),
    },
  ];
  return cases;
});

/** (N, groups, C/groups·k_h·k_w, H'·W') */
function patches(x: Dense, layout: Layout): Dense {
  const { image, strides, padding, dilations, groups } = layout;
  const [, perGroup, rows, columns] = filterShape(layout);
  const [, , height, width] = outputShape(layout);
  const shape = [image[0], groups, perGroup * rows * columns, height * width];
  return generate(shape, ([n, g, element, position]) => {
    const [c, i, j] = [
      Math.floor(element / (rows * columns)),
      Math.floor(element / columns) % rows,
      element % columns,
    ];
    const row = Math.floor(position / width) * strides[0] + i * dilations[0] - padding[0];
    const column = (position % width) * strides[1] + j * dilations[1] - padding[1];
    return pixel(x, n, g * perGroup + c, row, column);
  });
}

interface PoolingLayout extends graph.Pooling {
  readonly name: string;
  readonly image: readonly number[];
}

const POOLINGS: readonly PoolingLayout[] = [
  { name: "2 × 2", image: [2, 1, 4, 4], kernel: [2, 2], strides: [2, 2], padding: [0, 0, 0, 0] },
  { name: "with a remainder", image: [1, 2, 5, 4], kernel: [3, 2], strides: [3, 2], padding: [0, 0, 0, 0] },
  { name: "overlapping", image: [1, 1, 5, 5], kernel: [3, 3], strides: [2, 2], padding: [0, 0, 0, 0] },
  { name: "padded", image: [1, 2, 4, 3], kernel: [3, 2], strides: [2, 1], padding: [1, 1, 1, 0] },
];

function pooled(
  x: Dense,
  layout: PoolingLayout,
  outside: number,
  combine: (values: number[]) => number,
): Dense {
  const { image, kernel, strides, padding } = layout;
  const window = { strides, padding, dilations: [1, 1] as const };
  const size = [0, 1].map((axis) => graph.outputSize(image[axis + 2], kernel[axis], axis as 0 | 1, window));
  const places = [image[0], image[1], ...size, ...kernel];
  const values = generate(places, ([n, c, y, column, i, j]) => {
    const row = y * strides[0] + i - padding[0];
    const place = column * strides[1] + j - padding[1];
    const inside = row >= 0 && place >= 0 && row < image[2] && place < image[3];
    return inside ? at(x, [n, c, row, place]) : outside;
  });
  return reduce(values, combine, [4, 5]);
}

const POOLING: OperationCase[] = POOLINGS.flatMap((layout) => [
  {
    ...{ name: "maxPool", variant: layout.name, inputs: [distinct(layout.image)] },
    build: (x: SymbolicTensor) => graph.maxPool(x, layout),
    reference: (x: Dense) => pooled(x, layout, Number.NEGATIVE_INFINITY, (values) => Math.max(...values)),
  },
  {
    name: "maxPool",
    variant: `${layout.name}, of relu`,
    inputs: [distinct(layout.image, -0.15 * sizeOf(layout.image))],
    build: (x: SymbolicTensor) => graph.maxPool(graph.relu(x), layout),
    reference: (x: Dense) => pooled(x, layout, 0, (values) => Math.max(0, ...values)),
  },
  {
    ...{ name: "averagePool", variant: layout.name, inputs: [uniform(layout.image)] },
    build: (x: SymbolicTensor) => graph.averagePool(x, layout),
    reference: (x: Dense) => pooled(x, layout, 0, (values) => total(values) / values.length),
  },
]);

const of = (
  name: string,
  variant: string,
  inputs: Example[],
  rest: Pick<OperationCase, "build" | "reference">,
) => ({
  ...{ name, variant, inputs },
  ...rest,
});

const MOVES: OperationCase[] = [
  of("reverse", "one axis", [uniform([2, 3])], {
    build: (x) => graph.reverse(x, [1]),
    reference: (x) => generate([2, 3], ([i, j]) => at(x, [i, 2 - j])),
  }),
  of("reverse", "two axes, one of size 1", [uniform([3, 2, 1])], {
    build: (x) => graph.reverse(x, [0, -1]),
    reference: (x) => generate([3, 2, 1], ([i, j]) => at(x, [2 - i, j, 0])),
  }),
  of("spreadOut", "two of three axes", [uniform([2, 3, 2])], {
    build: (x) => graph.spreadOut(x, [1, 2, 3]),
    reference: (x) => generate([2, 5, 4], ([i, j, k]) => (j % 2 || k % 3 ? 0 : at(x, [i, j / 2, k / 3]))),
  }),
  of("slice", "with steps", [uniform([5, 2, 7])], {
    build: (x) => graph.slice(x, [1, 0, 0], [5, 2, 6], [2, 1, 3]),
    reference: (x) => generate([2, 2, 2], ([i, j, k]) => at(x, [1 + 2 * i, j, 3 * k])),
  }),
];

export const IMAGES: readonly OperationCase[] = [...CONVOLUTIONS, ...POOLING, ...MOVES];
