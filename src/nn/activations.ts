/** Activation layers: one function applied to every element. */
import { requireOption } from "../errors.ts";
import * as graph from "../graph/index.ts";
import type { Layer } from "./layer.ts";

type Activation = (x: graph.SymbolicTensor) => graph.SymbolicTensor;

function activation(type: string, apply: Activation, description = type): Layer {
  return {
    type,
    describe: () => description,
    build: (inputShape) => ({ outputShape: inputShape, parameters: {} }),
    apply,
  };
}

/** max(x, 0). */
export function relu(): Layer {
  return activation("relu", graph.relu);
}

/** min(max(x, 0), 6) [Howard et al. 2017]. */
export function relu6(): Layer {
  return activation("relu6", (x) => graph.minimum(graph.relu(x), 6));
}

/** x for x > 0, slope·x elsewhere; slope 0.01 by default. */
export function leakyRelu(slope = 0.01): Layer {
  requireOption(Number.isFinite(slope), "leakyRelu slope", slope, "a number");
  const apply: Activation = (x) => graph.where(graph.greater(x, 0), x, graph.multiply(x, slope));
  return activation("leakyRelu", apply, `leakyRelu(${slope})`);
}

/** tanh x. */
export function tanh(): Layer {
  return activation("tanh", graph.tanh);
}

/** 1/(1 + e⁻ˣ). */
export function sigmoid(): Layer {
  return activation("sigmoid", graph.sigmoid);
}

/** x·Φ(x) with the normal distribution function Φ [Hendrycks & Gimpel 2016]; exact, not the tanh approximation. */
export function gelu(): Layer {
  return activation("gelu", (x) => {
    const distribution = graph.add(graph.multiply(graph.erf(graph.multiply(x, Math.SQRT1_2)), 0.5), 0.5);
    return graph.multiply(x, distribution);
  });
}

/** log(1 + eˣ). */
export function softplus(): Layer {
  return activation("softplus", graph.softplus);
}

/** x for x > 0, α(eˣ − 1) elsewhere [Clevert et al. 2016]; α = 1 by default. */
export function elu(alpha = 1): Layer {
  requireOption(Number.isFinite(alpha), "elu alpha", alpha, "a number");
  const apply: Activation = (x) => {
    const below = graph.multiply(graph.subtract(graph.exp(graph.minimum(x, 0)), 1), alpha);
    return graph.where(graph.greater(x, 0), x, below);
  };
  return activation("elu", apply, `elu(${alpha})`);
}

/** sin(frequency·x) [Sitzmann et al. 2020]; frequency 1 by default. */
export function sin(frequency = 1): Layer {
  requireOption(Number.isFinite(frequency), "sin frequency", frequency, "a number");
  const apply: Activation = (x) => graph.sine(frequency === 1 ? x : graph.multiply(x, frequency));
  return activation("sin", apply, frequency === 1 ? "sin" : `sin(${frequency})`);
}

/** All axes of a sample in one: (N, …) → (N, features). */
export function flatten(): Layer {
  return {
    type: "flatten",
    describe: () => "flatten",
    build: (inputShape) => ({ outputShape: [inputShape.reduce((a, b) => a * b, 1)], parameters: {} }),
    apply: (x) => graph.reshape(x, [x.shape[0], -1]),
  };
}
