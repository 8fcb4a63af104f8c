/**
 * Every operation with example inputs and a plain-JavaScript reference. `operations.test.ts` derives its tests from this
 * table and fails when an exported operation has no entry.
 */

import type { Operand, SymbolicTensor } from "../../src/graph/index.ts";
import * as graph from "../../src/graph/index.ts";
import type { Random } from "../../src/random.ts";
import { sizeOf } from "../../src/tensor.ts";
import * as reference from "./reference.ts";
import { type Dense, dense, elementwise } from "./reference.ts";

export interface Example {
  readonly shape: readonly number[];
  draw(random: Random): number[];
}

export interface OperationCase {
  /** The exported function. */
  readonly name: string;
  readonly variant: string;
  readonly inputs: readonly Example[];
  readonly build: (...inputs: SymbolicTensor[]) => SymbolicTensor;
  readonly reference: (...inputs: Dense[]) => Dense;
  /** The derivative is not that of the value, by design. */
  readonly constant?: boolean;
}

export const uniform = (shape: readonly number[], low = -1.5, high = 1.5): Example => ({
  shape,
  draw: (random) =>
    Array.from({ length: sizeOf(shape) }, () => low + (high - low) * (0.02 + 0.96 * random.uniform())),
});

/** Both signs, no magnitude below `least`, for functions with a kink or a pole at 0. */
const awayFromZero = (shape: readonly number[], least = 0.2): Example => ({
  shape,
  draw: (random) =>
    Array.from({ length: sizeOf(shape) }, (_, k) => (k % 2 ? -1 : 1) * (least + 1.3 * random.uniform())),
});

/** Multiples of 0.25 without repetition, shifted by `offset`: no ties within one input or between two of them. */
export const distinct = (shape: readonly number[], offset = 0): Example => ({
  shape,
  draw: (random) => Array.from(random.permutation(sizeOf(shape)), (rank) => 0.25 * rank - 0.6 + offset),
});

/** Few different numbers, so that ties happen. */
const repeated = (shape: readonly number[]): Example => ({
  shape,
  draw: (random) => Array.from({ length: sizeOf(shape) }, () => random.integer(2) - 0.5),
});

const show = (...shapes: (readonly number[])[]) =>
  shapes.map((shape) => `(${shape.join(", ")})`).join(" and ");

type Unary = (x: SymbolicTensor) => SymbolicTensor;

function unary(
  name: string,
  apply: Unary,
  f: (x: number) => number,
  example = uniform([2, 3]),
): OperationCase {
  return {
    name,
    variant: show(example.shape),
    inputs: [example],
    build: apply,
    reference: (x) => elementwise(f, x),
  };
}

const { sign } = Math;
const UNARY: OperationCase[] = [
  unary("negate", graph.negate, (x) => -x),
  unary("exp", graph.exp, Math.exp),
  unary("log", graph.log, Math.log, uniform([2, 3], 0.3, 3)),
  unary("sqrt", graph.sqrt, Math.sqrt, uniform([2, 3], 0.3, 3)),
  unary("reciprocal", graph.reciprocal, (x) => 1 / x, awayFromZero([2, 3], 0.6)),
  unary("square", graph.square, (x) => x * x),
  unary("absolute", graph.absolute, Math.abs, awayFromZero([2, 3])),
  unary("sign", graph.sign, sign, awayFromZero([2, 3])),
  unary("sine", graph.sine, Math.sin),
  unary("cosine", graph.cosine, Math.cos),
  unary("tanh", graph.tanh, Math.tanh),
  unary("sigmoid", graph.sigmoid, (x) => 1 / (1 + Math.exp(-x))),
  unary("relu", graph.relu, (x) => Math.max(x, 0), awayFromZero([2, 3])),
  unary("softplus", graph.softplus, (x) => Math.log1p(Math.exp(x)), awayFromZero([2, 3])),
  unary("log1p", graph.log1p, Math.log1p, uniform([2, 3], -0.6, 3)),
  unary("erf", graph.erf, reference.erf),
  unary("erf", graph.erf, reference.erf, uniform([])),
];

type Binary = (a: Operand, b: Operand) => SymbolicTensor;
type Draw = (shape: readonly number[], second: boolean) => Example;

const BROADCASTS: [number[], number[]][] = [
  [
    [2, 3],
    [2, 3],
  ],
  [[2, 3], [3]],
  [[], [2, 3]],
  [
    [2, 1],
    [1, 3],
  ],
  [
    [2, 1, 3],
    [2, 1],
  ],
];

/** An operation of two operands: every way of broadcasting, and a number on either side. */
function binary(
  name: string,
  apply: Binary,
  f: (a: number, b: number) => number,
  draw: Draw,
): OperationCase[] {
  const build = (a: SymbolicTensor, b: SymbolicTensor) => graph.cast(apply(a, b), a.dtype);
  const half = dense([0.55], []);
  return [
    ...BROADCASTS.map(([a, b]) => ({
      name,
      variant: show(a, b),
      inputs: [draw(a, false), draw(b, true)],
      build,
      reference: (left: Dense, right: Dense) => elementwise(f, left, right),
    })),
    {
      name,
      variant: "a number on the right",
      inputs: [draw([4], false)],
      build: (x) => graph.cast(apply(x, 0.55), x.dtype),
      reference: (x) => elementwise(f, x, half),
    },
    {
      name,
      variant: "a number on the left",
      inputs: [draw([4], true)],
      build: (x) => graph.cast(apply(0.55, x), x.dtype),
      reference: (x) => elementwise(f, half, x),
    },
  ];
}

const free: Draw = (shape) => uniform(shape);
const apart: Draw = (shape, second) => distinct(shape, second ? 0.1 : 0);

const BINARY: OperationCase[] = [
  ...binary("add", graph.add, (a, b) => a + b, free),
  ...binary("subtract", graph.subtract, (a, b) => a - b, free),
  ...binary("multiply", graph.multiply, (a, b) => a * b, free),
  ...binary(
    "divide",
    graph.divide,
    (a, b) => a / b,
    (shape) => awayFromZero(shape, 0.6),
  ),
  ...binary("maximum", graph.maximum, Math.max, apart),
  ...binary("minimum", graph.minimum, Math.min, apart),
  ...binary("less", graph.less, (a, b) => Number(a < b), apart),
  ...binary("greater", graph.greater, (a, b) => Number(a > b), apart),
  ...binary(
    "equal",
    graph.equal,
    (a, b) => Number(a === b),
    (shape) => repeated(shape),
  ),
];

const WHERE_SHAPES: [number[], number[], number[]][] = [
  [
    [2, 3],
    [2, 3],
    [2, 3],
  ],
  [[2, 1], [3], []],
  [[3], [2, 1], [2, 3]],
  [[2, 3], [], [1]],
];

const SELECTION: OperationCase[] = [
  ...WHERE_SHAPES.map(([condition, a, b]) => ({
    name: "where",
    variant: show(condition, a, b),
    inputs: [awayFromZero(condition), uniform(a), uniform(b)],
    build: (c: SymbolicTensor, x: SymbolicTensor, y: SymbolicTensor) =>
      graph.where(graph.greater(c, 0), x, y),
    reference: (c: Dense, x: Dense, y: Dense) => elementwise((s, p, q) => (s > 0 ? p : q), c, x, y),
  })),
  unary("cast", (x) => graph.cast(graph.cast(x, "int32"), x.dtype), Math.trunc, awayFromZero([2, 3])),
  unary(
    "cast",
    (x) => graph.cast(graph.cast(x, "bool"), x.dtype),
    (x) => Number(x !== 0),
    awayFromZero([2, 3]),
  ),
  { ...unary("stopGradient", graph.stopGradient, (x) => x), constant: true },
  unary("zerosLike", graph.zerosLike, () => 0),
  unary("onesLike", graph.onesLike, () => 1),
];

type ShapedReduction = (x: SymbolicTensor, axes?: readonly number[], keepDims?: boolean) => SymbolicTensor;

function reduction(
  name: string,
  apply: ShapedReduction,
  combine: (values: number[]) => number,
): OperationCase[] {
  const variants: [axes: number[] | undefined, keepDims: boolean][] = [
    [undefined, false],
    [[0], false],
    [[-1], true],
    [[0, 2], false],
    [[2, 0], true],
    [[], false],
  ];
  return variants.map(([axes, keepDims]) => ({
    name,
    variant: `axes ${axes ? `[${axes}]` : "all"}${keepDims ? ", kept" : ""}`,
    inputs: [distinct([2, 2, 3])],
    build: (x) => apply(x, axes, keepDims),
    reference: (x) => reference.reduce(x, combine, axes, keepDims),
  }));
}

const softmaxOf = (x: Dense) => {
  const exponentials = elementwise(Math.exp, x);
  const sums = reference.reduce(exponentials, reference.total, [-1], true);
  return elementwise((a, b) => a / b, exponentials, sums);
};
const ROWS: number[][] = [[2, 4], [3], [2, 2, 3]];

const REDUCTIONS: OperationCase[] = [
  ...reduction("sum", graph.sum, reference.total),
  ...reduction("mean", graph.mean, (values) => reference.total(values) / values.length),
  ...reduction("max", graph.max, (values) => Math.max(...values)),
  ...[0, 1].map((axis) => ({
    name: "sum",
    variant: `matrix, axis ${axis}`,
    inputs: [uniform([3, 4])],
    build: (x: SymbolicTensor) => graph.sum(x, [axis]),
    reference: (x: Dense) => reference.reduce(x, reference.total, [axis]),
  })),
  ...[
    { shape: [4, 3], axes: [0] },
    { shape: [2, 3, 2, 2], axes: [0, 2, 3] },
  ].map(({ shape, axes }) => ({
    name: "standardize",
    variant: `${show(shape)} over ${axes}`,
    inputs: [uniform(shape)],
    build: (x: SymbolicTensor) => graph.standardize(x, axes, 1e-3).standardized,
    reference: (x: Dense) => {
      const mean = reference.reduce(x, (values) => reference.total(values) / values.length, axes, true);
      const centered = elementwise((a, b) => a - b, x, mean);
      const squares = elementwise((a) => a * a, centered);
      const average = (values: readonly number[]) => reference.total(values) / values.length;
      const variance = reference.reduce(squares, average, axes, true);
      return elementwise((a, b) => a / Math.sqrt(b + 1e-3), centered, variance);
    },
  })),
  ...[[], [3], [2, 3], [2, 2, 3]].map((shape) => ({
    name: "squaredNorm",
    variant: show(shape),
    inputs: [uniform(shape)],
    build: graph.squaredNorm,
    reference: (x: Dense) =>
      reference.reduce(
        elementwise((a) => a * a, x),
        reference.total,
      ),
  })),
  ...[[2, 3], [3], [], [1, 3], [2, 1]].map((shape) => ({
    name: "sumTo",
    variant: `(4, 2, 3) to ${show(shape)}`,
    inputs: [uniform([4, 2, 3])],
    build: (x: SymbolicTensor) => graph.sumTo(x, shape),
    reference: (x: Dense) => {
      const axes = x.shape.map((_, k) => k).filter((k) => (shape[k - 3 + shape.length] ?? 1) === 1);
      return { shape, data: reference.reduce(x, reference.total, axes).data };
    },
  })),
  ...ROWS.map((shape) => ({
    name: "softmax",
    variant: show(shape),
    inputs: [uniform(shape)],
    build: graph.softmax,
    reference: softmaxOf,
  })),
  ...ROWS.map((shape) => ({
    name: "logSoftmax",
    variant: show(shape),
    inputs: [uniform(shape)],
    build: graph.logSoftmax,
    reference: (x: Dense) => elementwise(Math.log, softmaxOf(x)),
  })),
];

/** Shapes of the untransposed operands. */
const PRODUCTS: [number[], number[]][] = [
  [
    [2, 3],
    [3, 4],
  ],
  [
    [2, 2, 3],
    [2, 3, 2],
  ],
  [
    [2, 3],
    [2, 3, 2],
  ],
  [
    [2, 2, 3],
    [3, 2],
  ],
  [
    [2, 1, 1, 3],
    [2, 3, 2],
  ],
];
const swapped = (shape: number[], swap: boolean) =>
  swap ? [...shape.slice(0, -2), shape[shape.length - 1], shape[shape.length - 2]] : shape;

const MATRICES: OperationCase[] = [
  ...PRODUCTS.flatMap(([left, right]) =>
    [false, true].flatMap((transposeA) =>
      [false, true].map((transposeB) => {
        const a = swapped(left, transposeA);
        const b = swapped(right, transposeB);
        return {
          name: "matmul",
          variant: `(${a.join(", ")})${transposeA ? "ᵀ" : ""} · (${b.join(", ")})${transposeB ? "ᵀ" : ""}`,
          inputs: [uniform(a), uniform(b)],
          build: (x: SymbolicTensor, y: SymbolicTensor) => graph.matmul(x, y, { transposeA, transposeB }),
          reference: (x: Dense, y: Dense) => reference.matmul(x, y, transposeA, transposeB),
        };
      }),
    ),
  ),
  ...[
    [2, 3],
    [2, 3, 2],
    [2, 1, 3, 2],
  ].map((shape) => ({
    name: "matrixTranspose",
    variant: show(shape),
    inputs: [uniform(shape)],
    build: graph.matrixTranspose,
    reference: reference.swapLastTwo,
  })),
];

const permuted = (shape: number[], permutation: number[] | undefined): OperationCase => ({
  name: "transpose",
  variant: `${show(shape)} by ${permutation ? `[${permutation}]` : "default"}`,
  inputs: [uniform(shape)],
  build: (x) => graph.transpose(x, permutation),
  reference: (x) => {
    const axes = permutation ?? x.shape.map((_, k) => x.shape.length - 1 - k);
    return reference.transpose(
      x,
      axes.map((axis) => (axis < 0 ? axis + x.shape.length : axis)),
    );
  },
});

const joined = (axis: number, ...shapes: number[][]): OperationCase => ({
  name: "concatenate",
  variant: `${shapes.length} parts on axis ${axis}`,
  inputs: shapes.map((shape) => uniform(shape)),
  build: (...parts) => graph.concatenate(parts, axis),
  reference: (...parts) => reference.concatenate(parts, axis < 0 ? axis + shapes[0].length : axis),
});

const reshaped = (from: number[], to: number[], result = to): OperationCase => ({
  name: "reshape",
  variant: `${show(from)} to ${show(to)}`,
  inputs: [uniform(from)],
  build: (x) => graph.reshape(x, to),
  reference: (x) => dense(x.data, result),
});

const broadcast = (from: number[], to: number[]): OperationCase => ({
  name: "broadcastTo",
  variant: `${show(from)} to ${show(to)}`,
  inputs: [uniform(from)],
  build: (x) => graph.broadcastTo(x, to),
  reference: (x) => reference.generate(to, (index) => reference.at(x, index)),
});

const ARRANGEMENT: OperationCase[] = [
  reshaped([2, 3], [3, 2]),
  reshaped([2, 3], [-1], [6]),
  reshaped([2, 3], [1, -1, 2], [1, 3, 2]),
  reshaped([1, 1], []),
  reshaped([], [1, 1]),
  permuted([2, 3], undefined),
  permuted([2, 3, 2], undefined),
  permuted([2, 3, 2], [2, 0, 1]),
  permuted([2, 3, 2], [0, -1, 1]),
  broadcast([], [2, 2]),
  broadcast([3], [2, 3]),
  broadcast([2, 1], [2, 2, 3]),
  joined(0, [2], [1], [3]),
  joined(1, [2, 1], [2, 2]),
  joined(-1, [1, 2, 1], [1, 2, 3], [1, 2, 2]),
  joined(0, [2, 2]),
  {
    name: "slice",
    variant: "two of three axes",
    inputs: [uniform([3, 2, 4])],
    build: (x) => graph.slice(x, [1, 0, 0], [3, 2, 2]),
    reference: (x) => reference.window(x, [1, 0, 0], [2, 2, 2]),
  },
  {
    name: "sliceAxis",
    variant: "last axis",
    inputs: [uniform([2, 4])],
    build: (x) => graph.sliceAxis(x, -1, 1, 3),
    reference: (x) => reference.window(x, [0, 1], [2, 2]),
  },
  {
    name: "pad",
    variant: "both sides",
    inputs: [uniform([2, 2])],
    build: (x) => graph.pad(x, [1, 0], [0, 2]),
    reference: (x) => reference.window(x, [-1, 0], [3, 4]),
  },
];

export const OPERATIONS: readonly OperationCase[] = [
  ...UNARY,
  ...BINARY,
  ...SELECTION,
  ...REDUCTIONS,
  ...MATRICES,
  ...ARRANGEMENT,
];
