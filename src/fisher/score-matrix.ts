/**
 * Products with the score matrix S of a layer, from its factors a (N, F) and δ (M, O), M = r·N, without forming S.
 *
 * S_l S_lᵀ = (δδᵀ) ⊙ (āāᵀ)                    [Soori21 eq. 5], the covariance factorization
 * S_l v    = rowsum((δV) ⊙ ā)                 [Soori21 eq. 6], or rowsum(δ ⊙ (āVᵀ))
 * S_lᵀu    = (diag(u)δ)ᵀ ā                    [Soori21 eq. 7]
 *
 * Layers that are convolutions as they are have products of their own (`convolution-scores.ts`).
 *
 * ā = [a, β] appends the bias's input as a column; it enters as β² in the Gram matrix and is never appended.
 */
import {
  add,
  broadcastTo,
  concatenate,
  matmul,
  multiply,
  reshape,
  type SymbolicTensor,
  scalar,
  slice,
  square,
  sum,
} from "../graph/index.ts";
import {
  convolutionGram,
  convolutionProduct,
  convolutionRows,
  convolutionSum,
  isConvolution,
} from "./convolution-scores.ts";
import type { LayerScores } from "./scores.ts";

/** A vector in one layer's parameters: weight (O, F), bias (O). */
export interface LayerVector {
  readonly weight: SymbolicTensor;
  readonly bias?: SymbolicTensor;
}

/** O and F of the layer's weight as a matrix, (O, F). */
export function weightShape(layer: LayerScores): { units: number; features: number } {
  if (!isConvolution(layer)) return { units: layer.deltas.shape[1], features: layer.inputs.shape[1] };
  const { image, output, kernel, convolution } = layer.layout;
  return { units: output[0], features: (image[0] / convolution.groups) * kernel[0] * kernel[1] };
}

/** Number of parameters of the layer, O·(F + 1) with a bias. */
export function layerDimension(layer: LayerScores): number {
  const { units, features } = weightShape(layer);
  return units * (features + (layer.bias === undefined ? 0 : 1));
}

/** S_l S_lᵀ, (M, M). */
export function gramMatrix(layer: LayerScores): SymbolicTensor {
  if (isConvolution(layer)) return convolutionGram(layer);
  const { inputs, deltas, bias, biasInput, rowsPerSample } = layer;
  const samples = inputs.shape[0];
  const activations = matmul(inputs, inputs, { transposeB: true });
  const covariance = bias === undefined ? activations : add(activations, biasInput ** 2);
  const gradients = matmul(deltas, deltas, { transposeB: true });
  if (rowsPerSample === 1) return multiply(gradients, covariance);
  const blocks = reshape(gradients, [rowsPerSample, samples, rowsPerSample, samples]);
  const rows = rowsPerSample * samples;
  return reshape(multiply(blocks, reshape(covariance, [1, samples, 1, samples])), [rows, rows]);
}

/** S_l v, (M), as rowsum((δV) ⊙ ā) or rowsum(δ ⊙ (āVᵀ)): the same products, of which the narrower result is written and read again. */
export function scoreProduct(layer: LayerScores, vector: LayerVector): SymbolicTensor {
  if (isConvolution(layer)) return convolutionProduct(layer, vector);
  const { weight, bias } = vector;
  const { inputs, deltas, biasInput, rowsPerSample } = layer;
  const [samples, features] = inputs.shape;
  const [rows, outputs] = deltas.shape;
  const forOutputs = samples * outputs < rows * features;
  const [ofRows, ofSamples] = forOutputs
    ? [deltas, matmul(inputs, weight, { transposeB: true })]
    : [matmul(deltas, weight), inputs];
  const products =
    rowsPerSample === 1
      ? multiply(ofRows, ofSamples)
      : multiply(reshape(ofRows, [rowsPerSample, samples, -1]), ofSamples);
  const result = reshape(sum(products, [-1]), [rows]);
  if (!bias) return result;
  const fromBias = reshape(matmul(deltas, reshape(bias, [-1, 1])), [rows]);
  return add(result, multiply(fromBias, biasInput));
}

/** S_lᵀ u for u (M). */
export function transposedProduct(layer: LayerScores, u: SymbolicTensor): LayerVector {
  return transposedSum({ ...layer, deltas: weightedDeltas(layer, u), rowsPerSample: 1 });
}

/** diag(u)δ with the rows of each sample added up, (N, O). */
export function weightedDeltas(
  { inputs, deltas, rowsPerSample }: LayerScores,
  u: SymbolicTensor,
): SymbolicTensor {
  const weighted = multiply(deltas, reshape(u, [deltas.shape[0], 1]));
  return perSample(weighted, rowsPerSample, inputs.shape[0]);
}

/** δ squared elementwise, with the rows of each sample added up, (N, O). */
export function squaredDeltas({ inputs, deltas, rowsPerSample }: LayerScores): SymbolicTensor {
  return perSample(square(deltas), rowsPerSample, inputs.shape[0]);
}

/** δᵀā, the sum of the rows of S_l, for one row per sample. */
export function transposedSum(layer: LayerScores): LayerVector {
  if (isConvolution(layer)) return convolutionSum(layer);
  const { inputs, deltas, bias, biasInput } = layer;
  const weight = matmul(deltas, inputs, { transposeA: true });
  return { weight, bias: bias === undefined ? undefined : multiply(sum(deltas, [0]), biasInput) };
}

/** S_l itself, (M, P_l), columns ordered like W̄ row-major: (o, i) ↦ o·(F+1) + i, the bias last. */
export function scoreMatrix(layer: LayerScores): SymbolicTensor {
  if (isConvolution(layer)) return reshape(convolutionRows(layer), [layer.deltas.shape[0], -1]);
  const { deltas, rowsPerSample } = layer;
  const extended = extendedInputs(layer);
  const [samples, width] = extended.shape;
  const [rows, outputs] = deltas.shape;
  const left = reshape(deltas, [rowsPerSample, samples, outputs, 1]);
  const right = reshape(extended, [1, samples, 1, width]);
  return reshape(multiply(left, right), [rows, outputs * width]);
}

/** ā, (N, F̄): the inputs, and a column of β where the layer has a bias. */
export function extendedInputs({ inputs, bias, biasInput }: LayerScores): SymbolicTensor {
  if (bias === undefined) return inputs;
  const column = broadcastTo(scalar(biasInput, inputs.dtype), [inputs.shape[0], 1]);
  return concatenate([inputs, column], 1);
}

/** A layer's vector laid out like W̄ = [W b], (O, F̄). */
export function vectorMatrix({ weight, bias }: LayerVector): SymbolicTensor {
  return bias ? concatenate([weight, reshape(bias, [-1, 1])], 1) : weight;
}

/** The inverse of {@link vectorMatrix} for this layer. */
export function matrixVector(layer: LayerScores, matrix: SymbolicTensor): LayerVector {
  if (layer.bias === undefined) return { weight: matrix };
  const { units, features } = weightShape(layer);
  return {
    weight: slice(matrix, [0, 0], [units, features]),
    bias: reshape(slice(matrix, [0, features], [units, features + 1]), [units]),
  };
}

/** A layer's vector as one column in the order of {@link scoreMatrix}, (P_l). */
export function flattenVector(vector: LayerVector): SymbolicTensor {
  return reshape(vectorMatrix(vector), [-1]);
}

/** The inverse of {@link flattenVector} for this layer. */
export function unflattenVector(layer: LayerScores, flat: SymbolicTensor): LayerVector {
  return matrixVector(layer, reshape(flat, [weightShape(layer).units, -1]));
}

/** Cuts a flat vector (P) of several layers, one after another, into the layers' weights and biases. */
export function splitVector(layers: readonly LayerScores[], flat: SymbolicTensor): LayerVector[] {
  let start = 0;
  return layers.map((layer) => {
    const from = start;
    start += layerDimension(layer);
    return unflattenVector(layer, slice(flat, [from], [start]));
  });
}

/**
 * Vectors of several layers as one, (P): each layer's weight row-major, then its bias. Joining and cutting it copies whole
 * arrays, where {@link flattenVector}'s order puts every unit's bias behind its weights.
 */
export function joinVectors(vectors: readonly LayerVector[]): SymbolicTensor {
  return concatenate(
    vectors.flatMap(({ weight, bias }) => [reshape(weight, [-1]), ...(bias === undefined ? [] : [bias])]),
  );
}

/** The inverse of {@link joinVectors} for these layers. */
export function cutVector(layers: readonly LayerScores[], joined: SymbolicTensor): LayerVector[] {
  let start = 0;
  const take = (size: number) => slice(joined, [start], [(start += size)]);
  return layers.map((layer) => {
    const { units, features } = weightShape(layer);
    const weight = reshape(take(units * features), [units, features]);
    return { weight, bias: layer.bias === undefined ? undefined : take(units) };
  });
}

/** Number of parameters of several layers. */
export function totalDimension(layers: readonly LayerScores[]): number {
  return layers.reduce((total, layer) => total + layerDimension(layer), 0);
}

/** Column sums of S_l squared elementwise, laid out like the parameters: Σ_q δ_qo² ā_qi². */
export function squaredScores(layer: LayerScores): LayerVector {
  if (isConvolution(layer)) return matrixVector(layer, sum(square(convolutionRows(layer)), [0]));
  const { inputs, deltas, bias, biasInput, rowsPerSample } = layer;
  const squares = perSample(square(deltas), rowsPerSample, inputs.shape[0]);
  return {
    weight: matmul(squares, square(inputs), { transposeA: true }),
    bias: bias === undefined ? undefined : multiply(sum(squares, [0]), biasInput ** 2),
  };
}

/** Products of the bias's column of S_l with each weight's, (O, F): Σ_q δ_qo² β a_qi. */
export function biasCoupling({ inputs, deltas, biasInput, rowsPerSample }: LayerScores): SymbolicTensor {
  const squares = perSample(square(deltas), rowsPerSample, inputs.shape[0]);
  return multiply(matmul(squares, inputs, { transposeA: true }), biasInput);
}

/** Sums the rows of each sample, (r·N, O) → (N, O). */
function perSample(rows: SymbolicTensor, rowsPerSample: number, samples: number): SymbolicTensor {
  return rowsPerSample === 1 ? rows : sum(reshape(rows, [rowsPerSample, samples, -1]), [0]);
}
