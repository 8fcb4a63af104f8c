/**
 * The Woodbury form on a later batch, from the factors of its gradient g_l = (1/N') δ'_lᵀ ā'_l and kept scores of N samples.
 *
 *   S g        = rowsum(δ ⊙ (ā gᵀ))                                                              [Soori21 eq. 6]
 *   ā gᵀ       = (1/N') (ā ā'ᵀ) δ'                  N N' (F + O) multiply-adds, (N + N') F O through g itself
 *   g − Dᵀ ā   = [δ'; D]ᵀ diag(c) [ā'; ā]           (N + N') F O, c = (1/N', …, −1, …)
 *
 * The last is one product with the rows of both batches stacked: neither g nor its correction Dᵀā is ever formed, and a step
 * writes its direction once.
 *
 * | symbol | variable      | shape              |
 * | ------ | ------------- | ------------------ |
 * | a, δ   | `kept`        | (N, F), (M, O)     |
 * | a', δ' | `batch`       | (N', F), (N', O)   |
 * | D      | `corrections` | (N, O)             |
 */
import { type LayerScores, type LayerVector, transposedSum } from "../fisher/index.ts";
import {
  add,
  concatenate,
  constant,
  matmul,
  multiply,
  reshape,
  type SymbolicTensor,
  subtract,
  sum,
} from "../graph/index.ts";

/** ā gᵀ, (N, O): the directional derivative of the kept pre-activations, inputs held fixed, along a later gradient. */
export function inputsByGradient(kept: LayerScores, batch: LayerScores): SymbolicTensor {
  const [samples, features] = kept.inputs.shape;
  const [batchSamples, outputs] = batch.deltas.shape;
  const { biasInput } = kept;
  const throughFactors = samples * batchSamples * (features + outputs);
  if (throughFactors < (samples + batchSamples) * features * outputs) {
    const products = matmul(kept.inputs, batch.inputs, { transposeB: true });
    const covariance = kept.bias === undefined ? products : add(products, biasInput ** 2);
    return matmul(multiply(covariance, 1 / batchSamples), batch.deltas);
  }
  const scaled = multiply(batch.deltas, 1 / batchSamples);
  const { weight, bias } = transposedSum({ ...batch, deltas: scaled });
  const moved = matmul(kept.inputs, weight, { transposeB: true });
  return bias ? add(moved, multiply(bias, biasInput)) : moved;
}

/** S g, (M). */
export function projectedGradient(kept: LayerScores, batch: LayerScores): SymbolicTensor {
  const { deltas, rowsPerSample } = kept;
  const [rows, outputs] = deltas.shape;
  const moved = inputsByGradient(kept, batch);
  if (rowsPerSample === 1) return sum(multiply(deltas, moved), [1]);
  const ofSamples = reshape(deltas, [rowsPerSample, rows / rowsPerSample, outputs]);
  return reshape(sum(multiply(ofSamples, moved), [2]), [rows]);
}

/** s·(g − Dᵀā) for a number s. */
export function correctedGradient(
  kept: LayerScores,
  corrections: SymbolicTensor,
  batch: LayerScores,
  s: SymbolicTensor,
): LayerVector {
  const [samples, batchSamples] = [kept.inputs.shape[0], batch.inputs.shape[0]];
  const rows = batchSamples + samples;
  const signs = Float64Array.from({ length: rows }, (_, n) => (n < batchSamples ? 1 / batchSamples : -1));
  const weights = multiply(constant(signs, [rows], kept.deltas.dtype), s);
  const deltas = concatenate([batch.deltas, corrections]);
  const inputs = concatenate([batch.inputs, kept.inputs]);
  const weighted = multiply(deltas, reshape(weights, [rows, 1]));
  const biasGradient = () => reshape(matmul(reshape(weights, [1, rows]), deltas), [deltas.shape[1]]);
  return {
    weight: matmul(weighted, inputs, { transposeA: true }),
    bias: kept.bias === undefined ? undefined : multiply(biasGradient(), kept.biasInput),
  };
}

/** s·(v − Dᵀā) for a vector v that has no factors. */
export function correctedVector(
  kept: LayerScores,
  corrections: SymbolicTensor,
  { weight, bias }: LayerVector,
  s: SymbolicTensor,
): LayerVector {
  const correction = transposedSum({ ...kept, deltas: corrections, rowsPerSample: 1 });
  return {
    weight: multiply(subtract(weight, correction.weight), s),
    bias: bias && correction.bias && multiply(subtract(bias, correction.bias), s),
  };
}
