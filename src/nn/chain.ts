/** Layers one after another: what `sequential` and the layers with branches are made of. */
import { UsageError } from "../errors.ts";
import type { SymbolicTensor } from "../graph/index.ts";
import type { BufferSpec, BuiltLayer, Layer, ParameterSpec, Trace } from "./layer.ts";

/** Builds layer after layer; names are `"k.name"`. @throws UsageError with the place of a layer that does not fit */
export function buildChain(layers: readonly Layer[], inputShape: readonly number[]): Required<BuiltLayer> {
  const parameters: Record<string, ParameterSpec> = {};
  const buffers: Record<string, BufferSpec> = {};
  let shape = inputShape;
  layers.forEach((layer, index) => {
    const built = buildLayer(layer, index, shape);
    for (const [name, spec] of Object.entries(built.parameters)) parameters[`${index}.${name}`] = spec;
    for (const [name, spec] of Object.entries(built.buffers ?? {})) buffers[`${index}.${name}`] = spec;
    shape = built.outputShape;
  });
  return { outputShape: shape, parameters, buffers };
}

function buildLayer(layer: Layer, index: number, inputShape: readonly number[]): BuiltLayer {
  try {
    return layer.build(inputShape);
  } catch (error) {
    if (error instanceof UsageError) throw new UsageError(`layer ${index}: ${error.message}`);
    throw error;
  }
}

/** Traces layer after layer. */
export function applyChain(
  layers: readonly Layer[],
  x: SymbolicTensor,
  parameters: Readonly<Record<string, SymbolicTensor>>,
  trace: Trace,
): SymbolicTensor {
  return layers.reduce((value, layer, index) => {
    return layer.apply(value, within(parameters, String(index)), trace.within(String(index)));
  }, x);
}

/** The entries of a part, by their names within it. */
export function within<T>(named: Readonly<Record<string, T>>, part: string): Record<string, T> {
  const prefix = `${part}.`;
  const own = Object.entries(named).filter(([name]) => name.startsWith(prefix));
  return Object.fromEntries(own.map(([name, value]) => [name.slice(prefix.length), value]));
}

/** The entries with their names prefixed by `part.`. */
export function prefixed<T>(named: Readonly<Record<string, T>>, part: string): Record<string, T> {
  return Object.fromEntries(Object.entries(named).map(([name, value]) => [`${part}.${name}`, value]));
}
