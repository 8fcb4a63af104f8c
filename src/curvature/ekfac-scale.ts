/**
 * The squared scores of a batch in the eigenbasis of EKFAC, Σ_q (U_Gᵀ S_q U_A)², (O, F̄), and what a batch keeps for them.
 *
 * A dense layer's row S_q = δ_q ā_qᵀ is turned by its factors. A convolution's is a sum over positions, S_q = Σ_t δ_qt ā_ntᵀ, and there are two ways:
 *
 * | way       | turns         | operations                      | keeps                                        |
 * | --------- | ------------- | ------------------------------- | -------------------------------------------- |
 * | rows      | S_q           | 2M·T·O·F̄ + 2M·O·F̄² + 2M·O²·F̄    | S (M, O, F̄), or x and δ where those are less |
 * | positions | ā_nt and δ_qt | 2M·T·O·F̄ + 2N·T·F̄² + 2M·T·O²    | x (N, C·H·W) and δ (M, O·T)                  |
 *
 * with M = r·N. The second takes less where there are fewer positions than filters, about: in the late layers of most networks.
 */
import {
  type ConvolutionLayer,
  convolutionPositions,
  convolutionRows,
  type LayerScores,
  someSamples,
  squaredScores,
  weightShape,
} from "../fisher/index.ts";
import { add, matmul, reshape, type SymbolicTensor, sliceAxis, square, sum } from "../graph/index.ts";
import { bytesPerElement } from "../tensor.ts";
import type { SlotSymbols } from "./block.ts";
import { intoBasis, rotate } from "./eigenbasis.ts";

/** Rows or patches that are turned at a time, in bytes. */
const CHUNK_BYTES = 64 * 2 ** 20;

/** What of a batch the scale is made of, as slots. */
export function keptForScale(layer: LayerScores): SlotSymbols {
  const { whole } = layer;
  if (!whole) return { inputs: layer.inputs, deltas: layer.deltas };
  const { inputs, deltas } = whole;
  if (positionsAreCheaper(whole)) return { inputs, deltas };
  const rows = convolutionRows(whole);
  return rows.size < inputs.size + deltas.size ? { scoreRows: rows } : { inputs, deltas };
}

/**
 * Σ_q (U_Gᵀ S_q U_A)², (O, F̄), from the slots of {@link keptForScale} and of the basis.
 *
 * @param chunkBytes rows or patches that are turned at a time
 */
export function squaredInBasis(
  layer: LayerScores,
  slots: SlotSymbols,
  chunkBytes: number = CHUNK_BYTES,
): SymbolicTensor {
  const { inputs, deltas, scoreRows } = slots;
  const { whole } = layer;
  const element = bytesPerElement(layer.deltas.dtype);
  const chunkLength = (numbers: number) => Math.max(1, Math.floor(chunkBytes / (numbers * element)));
  if (!whole) return squaredScores(rotate({ ...layer, inputs, deltas }, slots)).weight;
  if (scoreRows) {
    const count = scoreRows.shape[0];
    return sumOverChunks(count, chunkLength(scoreRows.size / count), (start, end) =>
      intoBasis(sliceAxis(scoreRows, 0, start, end), slots),
    );
  }
  const kept = { ...whole, inputs, deltas };
  const { samples, rows, units, width, count } = sizes(whole);
  const positions = positionsAreCheaper(whole);
  const largest = Math.max((rows / samples) * units * width, positions ? count * width : 0);
  return sumOverChunks(samples, chunkLength(largest), (start, end) => {
    const own = someSamples(kept, start, end);
    return positions ? turnedPositions(own, slots) : intoBasis(convolutionRows(own), slots);
  });
}

/** Σ x² over all but the last two axes of what some samples or rows make, so many at a time. */
function sumOverChunks(
  count: number,
  chunk: number,
  make: (start: number, end: number) => SymbolicTensor,
): SymbolicTensor {
  const sums: SymbolicTensor[] = [];
  for (let start = 0; start < count; start += chunk) {
    const turned = make(start, Math.min(count, start + chunk));
    sums.push(sum(square(reshape(turned, [-1, ...turned.shape.slice(-2)])), [0]));
  }
  return sums.reduce(add);
}

/** U_Gᵀ S_q U_A, (r, N, O, F̄). */
function turnedPositions(layer: ConvolutionLayer, slots: SlotSymbols): SymbolicTensor {
  const { weightBasis, biasBasis, outputBasis } = slots;
  const { patches, derivatives } = convolutionPositions(layer);
  const [samples, positions, features] = patches.shape;
  const turned = matmul(reshape(patches, [samples * positions, features]), weightBasis);
  const inputs = biasBasis ? add(turned, biasBasis) : turned;
  const outputs = matmul(outputBasis, derivatives, { transposeA: true });
  return matmul(outputs, reshape(inputs, [1, samples, positions, -1]));
}

function positionsAreCheaper(layer: ConvolutionLayer): boolean {
  const { samples, rows, units, width, count } = sizes(layer);
  const turningPositions = samples * count * width ** 2 + rows * count * units ** 2;
  return turningPositions < rows * units * width * (units + width);
}

/** N, M, O, F̄ and T. */
function sizes(layer: ConvolutionLayer) {
  const { inputs, deltas, bias, layout } = layer;
  const { units, features } = weightShape(layer);
  return {
    samples: inputs.shape[0],
    rows: deltas.shape[0],
    units,
    width: features + (bias === undefined ? 0 : 1),
    count: layout.output[1] * layout.output[2],
  };
}
