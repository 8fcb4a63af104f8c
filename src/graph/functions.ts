/** Elementwise functions of one operand. */
import { add, cast, divide, greater, less, maximum, multiply, subtract, where } from "./elementwise.ts";
import { erfFloat64 } from "./erf.ts";
import { apply, type Operation, type SymbolicTensor, scalar } from "./symbolic.ts";

type None = Record<string, never>;

interface UnaryDefinition {
  /** The ONNX operator that computes it in both float types. */
  onnx?: string;
  /** The same value by simpler operations, where there is no such operator. */
  expand?(x: SymbolicTensor): SymbolicTensor | undefined;
  /** f′(x), from x and y = f(x). */
  derivative?(x: SymbolicTensor, y: SymbolicTensor): SymbolicTensor;
  /** f′(x)·cotangent, where that is cheaper than the product. */
  vjp?(x: SymbolicTensor, cotangent: SymbolicTensor, y: SymbolicTensor): SymbolicTensor;
}

function defineUnary(name: string, definition: UnaryDefinition): (x: SymbolicTensor) => SymbolicTensor {
  const { onnx, expand, derivative, vjp } = definition;
  const operation: Operation<None> = {
    name,
    elementwise: true,
    infer: ([x]) => x,
    vjp(node, cotangent) {
      const [x] = node.inputs;
      if (vjp) return [vjp(x, cotangent, node)];
      return [derivative && multiply(cotangent, derivative(x, node))];
    },
    expand: expand && (({ inputs: [x] }) => expand(x)),
    lower: onnx ? (_, inputs, emit) => emit.node(onnx, inputs) : undefined,
  };
  return (x) => apply(operation, [x], {});
}

/** −x. */
export const negate = defineUnary("negate", { onnx: "Neg", vjp: (_, cotangent) => negate(cotangent) });

/** eˣ. */
export const exp = defineUnary("exp", { onnx: "Exp", derivative: (_, y) => y });

/** Natural logarithm. */
export const log = defineUnary("log", { onnx: "Log", vjp: (x, cotangent) => divide(cotangent, x) });

/** √x. */
export const sqrt = defineUnary("sqrt", {
  onnx: "Sqrt",
  vjp: (_, cotangent, y) => divide(multiply(cotangent, 0.5), y),
});

/** 1/x. */
export const reciprocal = defineUnary("reciprocal", {
  onnx: "Reciprocal",
  derivative: (_, y) => negate(square(y)),
});

/** x². */
export function square(x: SymbolicTensor): SymbolicTensor {
  return multiply(x, x);
}

/** |x|, with derivative 0 at 0. */
export const absolute = defineUnary("absolute", { onnx: "Abs", derivative: (x) => sign(x) });

/** −1, 0 or 1. */
export const sign = defineUnary("sign", {
  expand: (x) =>
    where(greater(x, 0), scalar(1, x.dtype), where(greater(negate(x), 0), scalar(-1, x.dtype), 0)),
});

/** sin x. */
export const sine = defineUnary("sine", { onnx: "Sin", derivative: (x) => cosine(x) });

/** cos x. */
export const cosine = defineUnary("cosine", { onnx: "Cos", derivative: (x) => negate(sine(x)) });

/** tanh x. */
export const tanh = defineUnary("tanh", { onnx: "Tanh", derivative: (_, y) => subtract(1, square(y)) });

/** The logistic function 1/(1 + e⁻ˣ). */
export const sigmoid = defineUnary("sigmoid", {
  onnx: "Sigmoid",
  derivative: (_, y) => multiply(y, subtract(1, y)),
});

/**
 * max(x, 0), with derivative 0 at 0. The derivative is read off the result, so that nothing keeps x and the product before may clip what it writes;
 * it is a factor, for ONNX Runtime's Where takes four times as long as Cast and Mul.
 */
export const relu = defineUnary("relu", {
  onnx: "Relu",
  derivative: (_, y) => cast(greater(y, 0), y.dtype),
});

/** log(1 + eˣ), exact to rounding at both ends: max(x, 0) + log1p(e^−|x|). */
export const softplus = defineUnary("softplus", {
  expand: (x) => add(maximum(x, 0), log1p(exp(negate(absolute(x))))),
  derivative: (x) => sigmoid(x),
});

/**
 * log(1 + x) without loss for small x: log w + (x − (w − 1))/w with w = 1 + x rounded. From |x| = 1 on the correction is below
 * rounding, and left out, for it has no value at −1 and ∞.
 */
export const log1p = defineUnary("log1p", {
  expand(x) {
    const rounded = add(x, 1);
    const correction = divide(subtract(x, subtract(rounded, 1)), rounded);
    return add(log(rounded), where(less(absolute(x), 1), correction, 0));
  },
  derivative: (x) => reciprocal(add(x, 1)),
});

/** The error function; ONNX Runtime's operator in float32, Cody's rational approximations in float64. */
export const erf = defineUnary("erf", {
  onnx: "Erf",
  expand: (x) => (x.dtype === "float64" ? erfFloat64(x) : undefined),
  derivative: (x) => multiply(exp(negate(square(x))), 2 / Math.sqrt(Math.PI)),
});
