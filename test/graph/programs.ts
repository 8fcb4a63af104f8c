/** Random programs for property tests, and an interpreter that knows nothing of the graph. */
import fc from "fast-check";
import type { SymbolicTensor } from "../../src/graph/index.ts";
import * as graph from "../../src/graph/index.ts";
import { Random } from "../../src/random.ts";
import { type FloatDType, sameShape, sizeOf } from "../../src/tensor.ts";
import * as reference from "./reference.ts";
import { type Dense, dense, elementwise } from "./reference.ts";

interface Instruction {
  readonly operation: number;
  /** Operands, counted back from the newest value. */
  readonly left: number;
  readonly right: number;
}

export interface RandomProgram {
  readonly dtype: FloatDType;
  readonly seed: number;
  readonly instructions: readonly Instruction[];
  /** Values that are outputs besides the last, counted from the first. */
  readonly kept: readonly number[];
}

interface Value {
  readonly tensor: SymbolicTensor;
  readonly dense: Dense;
}

/** One instruction on both sides; `undefined` where the operands do not fit. */
type Rule = (a: Value, b: Value, dtype: FloatDType) => Value | undefined;

const INPUTS: (readonly number[])[] = [[2, 3], [3, 2], [3, 3], [2, 2], [3], [1, 3], []];

const unary =
  (apply: (x: SymbolicTensor) => SymbolicTensor, f: (x: number) => number): Rule =>
  (a) => ({ tensor: apply(a.tensor), dense: elementwise(f, a.dense) });

const binary =
  (
    apply: (x: SymbolicTensor, y: SymbolicTensor) => SymbolicTensor,
    f: (x: number, y: number) => number,
  ): Rule =>
  (a, b) => {
    const [left, right] = [a.dense.shape, b.dense.shape];
    const fits = left.every((size, axis) => {
      const other = right[axis - left.length + right.length] ?? 1;
      return size === other || size === 1 || other === 1;
    });
    return fits ? { tensor: apply(a.tensor, b.tensor), dense: elementwise(f, a.dense, b.dense) } : undefined;
  };

const product =
  (transposeA: boolean, transposeB: boolean): Rule =>
  (a, b) => {
    const [left, right] = [a.dense.shape, b.dense.shape];
    if (left.length !== 2 || right.length !== 2 || left[transposeA ? 0 : 1] !== right[transposeB ? 1 : 0]) {
      return undefined;
    }
    return {
      tensor: graph.matmul(a.tensor, b.tensor, { transposeA, transposeB }),
      dense: reference.matmul(a.dense, b.dense, transposeA, transposeB),
    };
  };

const numbered = (factor: number): Rule[] => [
  unary(
    (x) => graph.multiply(x, factor),
    (x) => x * factor,
  ),
  unary(
    (x) => graph.multiply(factor, x),
    (x) => x * factor,
  ),
  unary(
    (x) => graph.add(x, factor),
    (x) => x + factor,
  ),
  unary(
    (x) => graph.subtract(x, factor),
    (x) => x - factor,
  ),
];

const flat: Rule = (a) => {
  const shape = [sizeOf(a.dense.shape)];
  return { tensor: graph.reshape(a.tensor, shape), dense: dense(a.dense.data, shape) };
};
const matrix: Rule = (a) => {
  if (sizeOf(a.dense.shape) !== 6) return undefined;
  const shape = sameShape(a.dense.shape, [2, 3]) ? [3, 2] : [2, 3];
  return { tensor: graph.reshape(a.tensor, shape), dense: dense(a.dense.data, shape) };
};
const transposed: Rule = (a) => {
  const axes = a.dense.shape.map((_, k) => k).reverse();
  return { tensor: graph.transpose(a.tensor), dense: reference.transpose(a.dense, axes) };
};
const summed: Rule = (a) =>
  a.dense.shape.length === 0
    ? undefined
    : { tensor: graph.sum(a.tensor, [0]), dense: reference.reduce(a.dense, reference.total, [0]) };
const repeated: Rule = (a) =>
  a.dense.shape.length > 1
    ? undefined
    : {
        tensor: graph.broadcastTo(a.tensor, [2, ...a.dense.shape]),
        dense: reference.generate([2, ...a.dense.shape], (index) => reference.at(a.dense, index)),
      };
const recast: Rule = (a, _, dtype) =>
  dtype === "float64"
    ? undefined
    : { tensor: graph.cast(graph.cast(a.tensor, "float64"), dtype), dense: a.dense };
const joined =
  (axis: 0 | 1): Rule =>
  (a, b) => {
    const [left, right] = [a.dense.shape, b.dense.shape];
    if (left.length !== 2 || right.length !== 2 || left[1 - axis] !== right[1 - axis]) return undefined;
    return {
      tensor: graph.concatenate([a.tensor, b.tensor], axis),
      dense: reference.concatenate([a.dense, b.dense], axis),
    };
  };
const stopped: Rule = (a) => ({ tensor: graph.stopGradient(a.tensor), dense: a.dense });

/** α·A·B ± β·(sums of B's columns), in either order: what Gemm fusion looks for. */
const affine =
  (alpha: number, beta: number, combine: Rule, productFirst: boolean): Rule =>
  (a, b, dtype) => {
    const raw = product(false, false)(a, b, dtype);
    const row = summed(b, b, dtype);
    if (!raw || !row) return undefined;
    const scaled = unary(
      (x) => graph.multiply(x, alpha),
      (x) => x * alpha,
    )(raw, raw, dtype)!;
    const addend = unary(
      (x) => graph.multiply(beta, x),
      (x) => x * beta,
    )(row, row, dtype)!;
    return productFirst ? combine(scaled, addend, dtype) : combine(addend, scaled, dtype);
  };
const plus = binary(graph.add, (x, y) => x + y);
const minus = binary(graph.subtract, (x, y) => x - y);

/** Products and sums come several times, so that fusions are frequent. */
const RULES: readonly Rule[] = [
  ...[false, true].flatMap((a) => [product(a, false), product(a, true)]),
  ...[product(false, false), product(false, true)],
  ...[plus, plus, plus, minus, minus, minus],
  ...[plus, minus].flatMap((combine) =>
    [true, false].flatMap((productFirst) => [
      affine(1, 1, combine, productFirst),
      affine(0.5, -2, combine, productFirst),
      affine(-0.25, 1, combine, productFirst),
    ]),
  ),
  binary(graph.multiply, (x, y) => x * y),
  binary(graph.maximum, Math.max),
  unary(graph.negate, (x) => -x),
  unary(graph.tanh, Math.tanh),
  unary(graph.softplus, (x) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)))),
  ...[0, 1, -1, 0.5, -2].flatMap(numbered),
  ...[joined(0), joined(1)],
  ...[flat, matrix, transposed, transposed, summed, repeated, recast, stopped],
];

export const arbitraryProgram: fc.Arbitrary<RandomProgram> = fc.record({
  dtype: fc.constantFrom("float32", "float64"),
  seed: fc.nat(),
  instructions: fc.array(
    fc.record({
      operation: fc.nat({ max: RULES.length - 1 }),
      left: fc.nat({ max: 5 }),
      right: fc.nat({ max: 9 }),
    }),
    { minLength: 4, maxLength: 24 },
  ),
  kept: fc.array(fc.nat({ max: 30 }), { maxLength: 2 }),
});

/** Builds the graph and, beside it, the value of every step. */
export function interpret({ dtype, seed, instructions, kept }: RandomProgram) {
  const random = new Random(seed);
  const fed = INPUTS.map((shape, k) => {
    const numbers = Array.from({ length: sizeOf(shape) }, () => Math.fround(random.normal()));
    return { name: `x${k}`, tensor: graph.input(`x${k}`, shape, dtype), dense: dense(numbers, shape) };
  });
  const steps: Value[] = [...fed];
  const back = (count: number) => steps[steps.length - 1 - (count % steps.length)];
  for (const { operation, left, right } of instructions) {
    const value = RULES[operation](back(left), back(right), dtype);
    if (value) steps.push(value);
  }
  const chosen = [...new Set([steps.length - 1, ...kept.map((position) => position % steps.length)])];
  const outputs = Object.fromEntries(chosen.map((k) => [`y${k}`, steps[k].tensor]));
  const references = Object.fromEntries(chosen.map((k) => [`y${k}`, steps[k].dense]));
  const values = Object.fromEntries(fed.map(({ name, dense: { data } }) => [name, data]));
  const largest = Math.max(...steps.flatMap((step) => [...step.dense.data].map(Math.abs)));
  return { outputs, references, values, largest: Number.isFinite(largest) ? largest : Infinity };
}
