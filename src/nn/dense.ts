/**
 * Fully connected layer.
 *
 * Standard parameterization s = x·Wᵀ + b; NTK parameterization [Jacot18; Karakida20 eq. 1]
 * s = (σ_w/√F)·x·Wᵀ + σ_b·b with standard normal W and b.
 */
import { requireOption } from "../errors.ts";
import { add, matmul, multiply, type SymbolicTensor } from "../graph/index.ts";
import { formatShape, sizeOf } from "../tensor.ts";
import { type InitializerName, initialize, initializerNames } from "./initializers.ts";
import type { Layer, ParameterSpec } from "./layer.ts";

export interface DenseOptions {
  /** Whether there is a bias; default true. */
  readonly bias?: boolean;
  /** Distribution of the initial weights; default `"pytorch"`, and `"normal"` with `ntk`. */
  readonly initializer?: InitializerName;
  /** Use the NTK parameterization with these standard deviations; `sigmaB` defaults to 0. */
  readonly ntk?: { readonly sigmaW: number; readonly sigmaB?: number };
}

/**
 * A fully connected layer (N, F) → (N, units) with parameters `weight` (units, F) and `bias` (units).
 *
 * @throws UsageError when an option is out of range
 */
export function dense(units: number, options: DenseOptions = {}): Layer {
  const { bias = true, ntk } = options;
  const initializer = options.initializer ?? (ntk ? "normal" : "pytorch");
  requireOption(Number.isInteger(units) && units > 0, "dense units", units, "a positive integer");
  requireOption(
    initializerNames.includes(initializer),
    "initializer",
    initializer,
    initializerNames.join(" | "),
  );
  if (ntk) {
    requireOption(ntk.sigmaW > 0, "ntk.sigmaW", ntk.sigmaW, "> 0");
    requireOption((ntk.sigmaB ?? 0) >= 0, "ntk.sigmaB", ntk.sigmaB, ">= 0");
  }
  const biasInput = ntk ? (ntk.sigmaB ?? 0) : 1;

  return {
    type: "dense",
    describe: () => `dense(${units}${bias ? "" : ", no bias"}${ntk ? ", ntk" : ""})`,
    build(inputShape) {
      requireOption(
        inputShape.length === 1,
        "input of a dense layer",
        formatShape(inputShape),
        "one axis of features; put flatten() before it",
      );
      const [features] = inputShape;
      const fans = { fanIn: features, fanOut: units };
      const spec = (part: "weight" | "bias", shape: readonly number[]): ParameterSpec => ({
        shape,
        initialize: (random) => initialize(initializer, part, sizeOf(shape), fans, random),
      });
      const weight = spec("weight", [units, features]);
      const parameters: Record<string, ParameterSpec> = bias
        ? { weight, bias: spec("bias", [units]) }
        : { weight };
      return { outputShape: [units], parameters };
    },
    apply(x, parameters, trace) {
      const inputs = ntk ? multiply(x, ntk.sigmaW / Math.sqrt(x.shape[1])) : x;
      const product = matmul(inputs, parameters.weight, { transposeB: true });
      const preactivations = bias ? add(product, scaledBias(parameters.bias)) : product;
      trace.tap({
        ...{ kind: "linear", weight: "weight", bias: bias ? "bias" : undefined },
        ...{ inputs, preactivations, biasInput },
      });
      return preactivations;
    },
  };

  function scaledBias(b: SymbolicTensor) {
    return biasInput === 1 ? b : multiply(b, biasInput);
  }
}
