/**
 * The score rows of a batch on the host, by their factors, in float64: S_l[q] = δ_l[q] ⊗ ā_l[n(q)], M = r·N rows, row q
 * of sample q mod N. Vectors are flat, the layers one after another, each W̄ = [W b] row-major.
 */
import type { LayerScores } from "../fisher/index.ts";
import { extendedInputs } from "../fisher/index.ts";
import type { NamedOutputs } from "../graph/index.ts";
import type { NamedTensorsLike, Tensor } from "../tensor.ts";
import { toNamedTensors } from "../tensor.ts";

export interface LayerRows {
  /** Name of the layer in the model. */
  readonly name: string;
  readonly weight: string;
  readonly bias?: string;
  /** ā, (N, F̄), the bias's input last. */
  readonly inputs: Float64Array;
  /** F̄: F + 1 with a bias. */
  readonly width: number;
  /** δ, (M, O). */
  readonly deltas: Float64Array;
  /** O. */
  readonly units: number;
  /** Where the layer begins in a flat vector. */
  readonly start: number;
  /** O·F̄. */
  readonly parameters: number;
}

export interface ScoreRows {
  readonly layers: readonly LayerRows[];
  /** N. */
  readonly samples: number;
  /** M. */
  readonly rows: number;
  /** P. */
  readonly parameters: number;
}

/** Traces what {@link readScoreRows} reads. */
export function traceFactors(layers: readonly LayerScores[]): NamedOutputs {
  return Object.fromEntries(
    layers.flatMap((layer) => [
      [`${layer.layer}/inputs`, extendedInputs(layer)],
      [`${layer.layer}/deltas`, layer.deltas],
    ]),
  );
}

/** @param layers those that were traced; @param results what the trace came to */
export function readScoreRows(
  layers: readonly Pick<LayerScores, "layer" | "weight" | "bias">[],
  results: Readonly<Record<string, Tensor>>,
): ScoreRows {
  let start = 0;
  const read = layers.map(({ layer, weight, bias }): LayerRows => {
    const inputs = results[`${layer}/inputs`];
    const deltas = results[`${layer}/deltas`];
    const [width, units] = [inputs.shape[1], deltas.shape[1]];
    const own = { start, parameters: width * units };
    start += own.parameters;
    return {
      ...{ name: layer, weight, bias, width, units, ...own },
      inputs: new Float64Array(inputs.data),
      deltas: new Float64Array(deltas.data),
    };
  });
  const samples = results[`${layers[0].layer}/inputs`].shape[0];
  const rows = results[`${layers[0].layer}/deltas`].shape[0];
  return { layers: read, samples, rows, parameters: start };
}

/** S v, (M), for a flat vector (P). */
export function scoreProduct({ layers, samples, rows }: ScoreRows, v: Float64Array): Float64Array {
  const result = new Float64Array(rows);
  for (const { inputs, width, deltas, units, start } of layers) {
    for (let n = 0; n < samples; n++) {
      for (let o = 0; o < units; o++) {
        let along = 0;
        for (let i = 0; i < width; i++) along += v[start + o * width + i] * inputs[n * width + i];
        for (let q = n; q < rows; q += samples) result[q] += deltas[q * units + o] * along;
      }
    }
  }
  return result;
}

/** Sᵀu, (P), for u (M). */
export function transposedProduct(
  { layers, samples, rows, parameters }: ScoreRows,
  u: Float64Array,
): Float64Array {
  const result = new Float64Array(parameters);
  for (const { inputs, width, deltas, units, start } of layers) {
    for (let n = 0; n < samples; n++) {
      for (let o = 0; o < units; o++) {
        let weight = 0;
        for (let q = n; q < rows; q += samples) weight += u[q] * deltas[q * units + o];
        if (weight === 0) continue;
        for (let i = 0; i < width; i++) result[start + o * width + i] += weight * inputs[n * width + i];
      }
    }
  }
  return result;
}

/** The first columns of S_l, (M, count). */
export function leadingColumns(
  { samples, rows }: ScoreRows,
  { inputs, width, deltas, units }: LayerRows,
  count: number,
): Float64Array {
  const columns = new Float64Array(rows * count);
  for (let q = 0; q < rows; q++) {
    const n = q % samples;
    for (let j = 0; j < count; j++) {
      columns[q * count + j] = deltas[q * units + Math.floor(j / width)] * inputs[n * width + (j % width)];
    }
  }
  return columns;
}

/** One layer's named tensors as the flat vector W̄, row-major; zero where nothing is named. */
export function layerVector(
  { weight, bias, width, units }: LayerRows,
  named: NamedTensorsLike,
): Float64Array {
  const tensors = toNamedTensors(named);
  const flat = new Float64Array(units * width);
  const features = bias === undefined ? width : width - 1;
  const weights = tensors.get(weight)?.data;
  const biases = bias === undefined ? undefined : tensors.get(bias)?.data;
  for (let o = 0; o < units; o++) {
    for (let i = 0; weights && i < features; i++) flat[o * width + i] = weights[o * features + i];
    if (biases) flat[o * width + features] = biases[o];
  }
  return flat;
}

/** Named tensors of all layers as one flat vector. */
export function flatVector({ layers, parameters }: ScoreRows, named: NamedTensorsLike): Float64Array {
  const flat = new Float64Array(parameters);
  for (const layer of layers) flat.set(layerVector(layer, named), layer.start);
  return flat;
}
