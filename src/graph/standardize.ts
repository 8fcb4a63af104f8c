/**
 * Standardization over axes, x̂ = (x − μ)/σ with the mean μ and the deviation σ of x itself.
 *
 *   (∂x̂/∂x)ᵀ g = (g − mean(g) − x̂ mean(g ⊙ x̂))/σ                                    [Ioffe & Szegedy 2015, §3, collected]
 *
 * A rule of its own, for x − μ need not then be kept beside x̂ until the derivative is taken: in deep networks a third of all that a
 * step keeps.
 */
import { reshape } from "./arrange.ts";
import { add, divide, multiply, subtract } from "./elementwise.ts";
import { sqrt, square } from "./functions.ts";
import { mean } from "./reduce.ts";
import { apply, type Operation, type SymbolicTensor } from "./symbolic.ts";

interface Axes {
  readonly axes: readonly number[];
}

/** Operands x, μ and σ; what μ and σ owe to x is in the derivative by x. */
const standardizeOperation: Operation<Axes> = {
  name: "standardize",
  infer: ([x]) => x,
  vjp(node, cotangent) {
    const { axes } = node.attributes;
    const average = (values: SymbolicTensor) => reshape(mean(values, axes), node.inputs[1].shape);
    const standardized = node as SymbolicTensor;
    const along = multiply(standardized, average(multiply(cotangent, standardized)));
    const rest = subtract(subtract(cotangent, average(cotangent)), along);
    return [divide(rest, node.inputs[2]), undefined, undefined];
  },
  expand: ({ inputs: [x, center, deviation] }) => divide(subtract(x, center), deviation),
};

export interface Standardized {
  /** x̂, of the shape of x. */
  readonly standardized: SymbolicTensor;
  /** Mean over the axes, which are kept with length 1. */
  readonly mean: SymbolicTensor;
  /** Mean square of x − μ, likewise. */
  readonly variance: SymbolicTensor;
}

/** x̂ = (x − μ)/√(σ² + ε) with the mean and the variance over `axes`. */
export function standardize(x: SymbolicTensor, axes: readonly number[], epsilon: number): Standardized {
  const kept = x.shape.map((size, axis) => (axes.includes(axis) ? 1 : size));
  const center = reshape(mean(x, axes), kept);
  const variance = reshape(mean(square(subtract(x, center)), axes), kept);
  const deviation = sqrt(add(variance, epsilon));
  const standardized = apply(standardizeOperation, [x, center, deviation], { axes });
  return { standardized, mean: center, variance };
}
