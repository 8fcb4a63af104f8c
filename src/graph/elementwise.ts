/** Elementwise operations of two operands with broadcasting, comparisons, selection and conversion. */
import { type DType, sameShape } from "../tensor.ts";
import { broadcastTo, reshape } from "./arrange.ts";
import { sum } from "./reduce.ts";
import { broadcastShapes, repeatedAxes } from "./shapes.ts";
import { apply, type Operand, type Operation, type SymbolicTensor, scalar } from "./symbolic.ts";

type None = Record<string, never>;
const none: None = {};

/** Sums a cotangent over the axes along which its operand was repeated. */
export function sumTo(cotangent: SymbolicTensor, shape: readonly number[]): SymbolicTensor {
  if (sameShape(cotangent.shape, shape)) return cotangent;
  return reshape(sum(cotangent, repeatedAxes(shape, cotangent.shape)), shape);
}

type BinaryVjp = (
  a: SymbolicTensor,
  b: SymbolicTensor,
  cotangent: SymbolicTensor,
  result: SymbolicTensor,
) => readonly [SymbolicTensor | undefined, SymbolicTensor | undefined];

function defineBinary(
  name: string,
  onnxType: string,
  vjp?: BinaryVjp,
): (a: Operand, b: Operand) => SymbolicTensor {
  const comparison = vjp === undefined;
  const operation: Operation<None> = {
    name,
    elementwise: true,
    infer([a, b]) {
      if (a.dtype !== b.dtype) throw new Error(`${name}: dtypes ${a.dtype} and ${b.dtype} differ`);
      return { shape: broadcastShapes(a.shape, b.shape), dtype: comparison ? "bool" : a.dtype };
    },
    vjp:
      vjp &&
      ((node, cotangent) => {
        const [a, b] = node.inputs;
        const [toA, toB] = vjp(a, b, cotangent, node);
        return [toA && sumTo(toA, a.shape), toB && sumTo(toB, b.shape)];
      }),
    lower: (_, inputs, emit) => emit.node(onnxType, inputs),
  };
  return (a, b) => apply(operation, liftPair(a, b), none);
}

/** Turns a number into a scalar of the other operand's dtype. */
function liftPair(a: Operand, b: Operand): [SymbolicTensor, SymbolicTensor] {
  if (typeof a === "number" && typeof b === "number") throw new Error("one operand must be a tensor");
  const dtype = typeof a === "number" ? (b as SymbolicTensor).dtype : a.dtype;
  return [typeof a === "number" ? scalar(a, dtype) : a, typeof b === "number" ? scalar(b, dtype) : b];
}

/** a + b, broadcast. */
export const add = defineBinary("add", "Add", (_a, _b, cotangent) => [cotangent, cotangent]);

/** a − b, broadcast. */
export const subtract = defineBinary("subtract", "Sub", (_a, _b, cotangent) => [
  cotangent,
  multiply(cotangent, -1),
]);

/** a · b elementwise, broadcast. */
export const multiply = defineBinary("multiply", "Mul", (a, b, cotangent) => [
  multiply(cotangent, b),
  multiply(cotangent, a),
]);

/** a / b elementwise, broadcast. */
export const divide = defineBinary("divide", "Div", (_a, b, cotangent, quotient) => [
  divide(cotangent, b),
  multiply(multiply(cotangent, -1), divide(quotient, b)),
]);

/** The larger of a and b; where they are equal the derivative goes to a. */
export const maximum = defineBinary("maximum", "Max", (a, b, cotangent) => {
  const zero = scalar(0, a.dtype);
  const second = less(a, b);
  return [where(second, zero, cotangent), where(second, cotangent, zero)];
});

/** The smaller of a and b; where they are equal the derivative goes to a. */
export const minimum = defineBinary("minimum", "Min", (a, b, cotangent) => {
  const zero = scalar(0, a.dtype);
  const second = greater(a, b);
  return [where(second, zero, cotangent), where(second, cotangent, zero)];
});

/** a < b, as bool. */
export const less = defineBinary("less", "Less");

/** a > b, as bool. */
export const greater = defineBinary("greater", "Greater");

/** a = b, as bool. */
export const equal = defineBinary("equal", "Equal");

const whereOperation: Operation<None> = {
  name: "where",
  elementwise: true,
  infer([condition, a, b]) {
    if (condition.dtype !== "bool") throw new Error(`where: the condition is ${condition.dtype}, not bool`);
    if (a.dtype !== b.dtype) throw new Error(`where: dtypes ${a.dtype} and ${b.dtype} differ`);
    return { shape: broadcastShapes(condition.shape, broadcastShapes(a.shape, b.shape)), dtype: a.dtype };
  },
  vjp({ inputs: [condition, a, b] }, cotangent) {
    const zero = scalar(0, cotangent.dtype);
    return [
      undefined,
      sumTo(where(condition, cotangent, zero), a.shape),
      sumTo(where(condition, zero, cotangent), b.shape),
    ];
  },
  lower: (_, inputs, emit) => emit.node("Where", inputs),
};

/** a where the condition holds, b elsewhere; broadcast. */
export function where(condition: SymbolicTensor, a: Operand, b: Operand): SymbolicTensor {
  return apply(whereOperation, [condition, ...liftPair(a, b)], none);
}

const castOperation: Operation<{ dtype: DType }> = {
  name: "cast",
  elementwise: true,
  infer: ([x], { dtype }) => ({ shape: x.shape, dtype }),
  vjp: ({ inputs: [x], attributes }, cotangent) => [
    isFloat(x.dtype) && isFloat(attributes.dtype) ? cast(cotangent, x.dtype) : undefined,
  ],
  lower: ({ attributes }, inputs, emit) => emit.cast(inputs[0], attributes.dtype),
};

/** The same numbers in another dtype; bool becomes 0 and 1. */
export function cast(x: SymbolicTensor, dtype: DType): SymbolicTensor {
  return x.dtype === dtype ? x : apply(castOperation, [x], { dtype });
}

const stopGradientOperation: Operation<None> = {
  name: "stopGradient",
  infer: ([x]) => x,
  expand: ({ inputs: [x] }) => x,
};

/** The same value, taken as a constant by differentiation. */
export function stopGradient(x: SymbolicTensor): SymbolicTensor {
  return apply(stopGradientOperation, [x], none);
}

/** Zeros with the shape and dtype of x. */
export function zerosLike(x: SymbolicTensor): SymbolicTensor {
  return broadcastTo(scalar(0, x.dtype), x.shape);
}

/** Ones with the shape and dtype of x. */
export function onesLike(x: SymbolicTensor): SymbolicTensor {
  return broadcastTo(scalar(1, x.dtype), x.shape);
}

function isFloat(dtype: DType): boolean {
  return dtype === "float32" || dtype === "float64";
}
