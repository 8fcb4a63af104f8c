/**
 * Batch normalization [Ioffe & Szegedy 2015], with PyTorch's names and conventions.
 *
 *   x̂ = (x − μ_B)/√(σ²_B + ε),   s = γx̂ + β,   running ← (1 − m)·running + m·(μ_B, σ²_B·n/(n − 1))
 *
 * Mean and variance of a channel are over the batch and all positions in training, the running ones in evaluation.
 *
 * | symbol        | name                          | shape |
 * | ------------- | ----------------------------- | ----- |
 * | γ, β          | `weight`, `bias`              | (C)   |
 * | running μ, σ² | `running_mean`, `running_var` | (C)   |
 *
 * Curvature treats each sample's contribution through the batch's statistics as its own, as is common.
 */
import { requireOption } from "../errors.ts";
import {
  add,
  divide,
  multiply,
  reshape,
  type SymbolicTensor,
  sqrt,
  standardize,
  subtract,
} from "../graph/index.ts";
import { formatShape } from "../tensor.ts";
import type { Layer } from "./layer.ts";

export interface BatchNormOptions {
  /** ε; default 1e-5. */
  readonly epsilon?: number;
  /** m; default 0.1. */
  readonly momentum?: number;
}

/** Normalizes every channel of (N, C) or (N, C, H, W). @throws UsageError when an option is out of range */
export function batchNorm({ epsilon = 1e-5, momentum = 0.1 }: BatchNormOptions = {}): Layer {
  requireOption(epsilon > 0 && Number.isFinite(epsilon), "batchNorm epsilon", epsilon, "> 0");
  requireOption(momentum > 0 && momentum <= 1, "batchNorm momentum", momentum, "in (0, 1]");
  return {
    type: "batchNorm",
    describe: () => "batchNorm",
    build(inputShape) {
      requireOption(
        inputShape.length === 1 || inputShape.length === 3,
        "input of a batchNorm layer",
        formatShape(inputShape),
        "features, or channels, height, width",
      );
      const shape = [inputShape[0]];
      const constant = (value: number) => ({
        shape,
        initialize: () => new Float64Array(shape[0]).fill(value),
      });
      return {
        outputShape: inputShape,
        parameters: { weight: constant(1), bias: constant(0) },
        buffers: { running_mean: { shape, initial: 0 }, running_var: { shape, initial: 1 } },
      };
    },
    apply(x, { weight, bias }, trace) {
      const channels = x.shape[1];
      const across = (values: SymbolicTensor) =>
        reshape(values, [1, channels, ...x.shape.slice(2).map(() => 1)]);
      let inputs: SymbolicTensor;
      if (trace.training) {
        const axes = x.shape.map((_, axis) => axis).filter((axis) => axis !== 1);
        const { standardized, mean, variance } = standardize(x, axes, epsilon);
        const count = x.size / channels;
        const moved = (name: string, value: SymbolicTensor) =>
          trace.updateBuffer(
            name,
            add(multiply(trace.buffer(name), 1 - momentum), multiply(reshape(value, [channels]), momentum)),
          );
        moved("running_mean", mean);
        moved("running_var", multiply(variance, count / Math.max(1, count - 1)));
        inputs = standardized;
      } else {
        const centered = subtract(x, across(trace.buffer("running_mean")));
        inputs = divide(centered, across(sqrt(add(trace.buffer("running_var"), epsilon))));
      }
      const preactivations = add(multiply(inputs, across(weight)), across(bias));
      trace.tap({ kind: "scale", weight: "weight", bias: "bias", inputs, preactivations, biasInput: 1 });
      return preactivations;
    },
  };
}
