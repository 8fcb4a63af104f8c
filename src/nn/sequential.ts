/** A model as a chain of layers, its parameters named as PyTorch's `Sequential` names them. */
import { requireOption, UsageError } from "../errors.ts";
import type { SymbolicTensor } from "../graph/index.ts";
import type { Layer, ParameterSpec, Tap } from "./layer.ts";

export interface Forward {
  /** Network outputs f, (N, …outputShape). */
  readonly outputs: SymbolicTensor;
  /** One tap for every parametric layer, from the input to the output. */
  readonly taps: readonly Tap[];
}

/** A model whose shapes are known. */
export interface BuiltModel {
  readonly inputShape: readonly number[];
  readonly outputShape: readonly number[];
  /** Every trainable tensor by its full name, in order. */
  readonly parameters: ReadonlyMap<string, ParameterSpec>;
  /** Traces the forward pass of a batch (N, …inputShape). */
  forward(x: SymbolicTensor, parameters: ReadonlyMap<string, SymbolicTensor>): Forward;
}

export interface Model {
  /** As the user would write it. */
  describe(): string;
  build(inputShape: readonly number[]): BuiltModel;
}

/**
 * Layers one after another. Layer k's parameters are named `"k.weight"`, `"k.bias"`.
 *
 * @throws UsageError when there is no layer
 */
export function sequential(layers: readonly Layer[]): Model {
  requireOption(layers.length > 0, "sequential", "[]", "a list of at least one layer");
  return {
    describe: () => layers.map((layer) => layer.describe()).join(" → "),
    build(inputShape) {
      const parameters = new Map<string, ParameterSpec>();
      let shape = inputShape;
      layers.forEach((layer, index) => {
        const built = buildLayer(layer, index, shape);
        for (const [name, spec] of Object.entries(built.parameters)) parameters.set(`${index}.${name}`, spec);
        shape = built.outputShape;
      });
      return {
        inputShape,
        outputShape: shape,
        parameters,
        forward: (x, values) => forward(layers, x, values),
      };
    },
  };
}

function buildLayer(layer: Layer, index: number, inputShape: readonly number[]) {
  try {
    return layer.build(inputShape);
  } catch (error) {
    if (error instanceof UsageError) throw new UsageError(`layer ${index}: ${error.message}`);
    throw error;
  }
}

function forward(
  layers: readonly Layer[],
  x: SymbolicTensor,
  values: ReadonlyMap<string, SymbolicTensor>,
): Forward {
  const taps: Tap[] = [];
  const outputs = layers.reduce((value, layer, index) => {
    const prefix = `${index}.`;
    const own = [...values].filter(([name]) => name.startsWith(prefix));
    const parameters = Object.fromEntries(own.map(([name, node]) => [name.slice(prefix.length), node]));
    return layer.apply(value, parameters, {
      tap: (tap) =>
        taps.push({
          ...tap,
          layer: String(index),
          weight: prefix + tap.weight,
          bias: tap.bias && prefix + tap.bias,
        }),
    });
  }, x);
  return { outputs, taps };
}
