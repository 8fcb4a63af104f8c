/**
 * The Kronecker factors of a layer's Fisher block, F_l ≈ G ⊗ A, and their moving averages. The order is that of W̄ (O, F̄)
 * flattened row by row; the papers stack columns and write A ⊗ G.
 *
 *   A = (1/N) Σ_n ā_n ā_nᵀ,   G = (1/N) Σ_q δ_q δ_qᵀ                                          [Martens15 §3]
 *   X ← εX + (1 − ε)X_new at the k-th update, ε = min(1 − 1/k, decay)                          [Martens15 §5]
 *
 * The product is exact where activations and derivatives are independent, for one sample, and for a linear layer with a
 * gaussian likelihood, whose G does not depend on the sample.
 *
 * Of a convolution's T positions, "expand" makes rows of their own, and "reduce" one row a sample, of the mean patch and of the
 * sum of the derivatives [Grosse16; Eschenhagen23].
 *
 * With a bias, ā = [a, β] and A = [[C, βm], [βmᵀ, β²]]: C and m are averaged, and no program has to append a column.
 *
 * | symbol | average            | shape  |
 * | ------ | ------------------ | ------ |
 * | C      | `inputCovariance`  | (F, F) |
 * | m      | `inputMean`        | (F), where there is a bias |
 * | G      | `outputCovariance` | (O, O) |
 */
import { requireNumber, requireOption } from "../errors.ts";
import type { ImageForm, LayerScores, LayerVector } from "../fisher/index.ts";
import { matmul, mean, multiply, reshape, type SymbolicTensor, slice } from "../graph/index.ts";
import { requireMemory } from "../memory.ts";
import type { TypedArray } from "../tensor.ts";
import type { SlotArrays, SlotSymbols } from "./block.ts";
import type { Averaging } from "./structure.ts";

/**
 * Rows of a convolution's factors [Eschenhagen23 §3]: `"expand"` takes every position for a sample of its own
 * [Grosse16], `"reduce"` one row a sample, of its mean patch and of the sum of its derivatives.
 */
export type ConvolutionRows = "expand" | "reduce";

/** Settings of every method on Kronecker factors. */
export interface KroneckerSettings {
  readonly convolution: ConvolutionRows;
  /** Bound of ε in the moving averages. */
  readonly decay: number;
  /** Steps between updates of the averages. */
  readonly statisticsEvery: number;
  /** Steps between inversions or eigendecompositions of the factors, a multiple of `statisticsEvery`. */
  readonly refreshEvery: number;
}

/** When the averages are updated, and ε: the plain mean at first, later a moving one. */
export function factorAveraging({ decay, statisticsEvery }: KroneckerSettings): Averaging {
  return { every: statisticsEvery, decay: (update) => Math.min(1 - 1 / update, decay) };
}

/** The form in which convolutions reach the structure. */
export function factorImages({ convolution }: KroneckerSettings): ImageForm {
  return convolution === "reduce" ? "means" : "positions";
}

/** Orders of A and G: F̄, that is F + 1 with a bias, and O. */
export function factorOrders({ inputs, deltas, bias }: LayerScores): { inputs: number; outputs: number } {
  return { inputs: inputs.shape[1] + (bias === undefined ? 0 : 1), outputs: deltas.shape[1] };
}

/** The batch's values of the averages. */
export function factorAverages({ inputs, deltas, bias, inputMoments }: LayerScores): SlotSymbols {
  const samples = inputs.shape[0];
  // 1/N on the narrow side: the product itself is then free to take up the old average.
  const covariance = (x: SymbolicTensor) => matmul(multiply(x, 1 / samples), x, { transposeA: true });
  const covariances = {
    inputCovariance: inputMoments?.covariance ?? covariance(inputs),
    outputCovariance: covariance(deltas),
  };
  return bias === undefined
    ? covariances
    : { ...covariances, inputMean: inputMoments?.mean ?? mean(inputs, [0]) };
}

/** Writes A, (F̄, F̄) in float64, its lower triangle. */
export function loadInputFactor(
  target: Float64Array,
  { inputCovariance, inputMean }: SlotArrays,
  layer: LayerScores,
): void {
  if (layer.bias === undefined) {
    target.set(inputCovariance);
    return;
  }
  const features = layer.inputs.shape[1];
  const { biasInput } = layer;
  const order = features + 1;
  for (let row = 0; row < features; row++) {
    target.set(inputCovariance.subarray(row * features, (row + 1) * features), row * order);
  }
  for (let k = 0; k < features; k++) target[features * order + k] = biasInput * inputMean[k];
  target[order * order - 1] = biasInput ** 2;
}

/** Writes G, (O, O) in float64. */
export function loadOutputFactor(target: Float64Array, { outputCovariance }: SlotArrays): void {
  target.set(outputCovariance);
}

/** Says which covariance is not finite: no element exceeds the largest of the diagonal. */
export function factorRefusal(next: SlotArrays, layer: LayerScores): string | undefined {
  const { inputs, outputs } = traces(next, layer);
  if (!Number.isFinite(inputs)) return `the covariance of the inputs of ${layer.layer} is not finite`;
  if (!Number.isFinite(outputs)) return `the covariance of the derivatives at ${layer.layer} is not finite`;
  return undefined;
}

/** Traces of A and G. */
export function traces(
  { inputCovariance, outputCovariance }: SlotArrays,
  { inputs, deltas, bias, biasInput }: LayerScores,
): { readonly inputs: number; readonly outputs: number } {
  const fromWeights = trace(inputCovariance, inputs.shape[1]);
  return {
    inputs: bias === undefined ? fromWeights : fromWeights + biasInput ** 2,
    outputs: trace(outputCovariance, deltas.shape[1]),
  };
}

function trace(matrix: TypedArray, order: number): number {
  let total = 0;
  for (let k = 0; k < order; k++) total += matrix[k * order + k];
  return total;
}

/**
 * Whether X_G (δᵀā) X_A, O × O and F̄ × F̄ matrices beside the gradient, takes less as (δX_G)ᵀ(āX_A): products with the
 * batch's N rows in place of the gradient's O rows and F̄ columns. True of batches smaller than the layer.
 */
export function factorsAreCheaper(batch: LayerScores): boolean {
  const { inputs, outputs } = factorOrders(batch);
  const samples = batch.inputs.shape[0];
  return samples * (inputs ** 2 + outputs ** 2) < inputs * outputs * (inputs + outputs);
}

/**
 * The direction L Rᵀ cut into weight and bias.
 *
 * @param left (O, N), such as G⁻¹δᵀ/N
 * @param right (F̄, N), such as A⁻¹āᵀ: cut before the product, where it is small
 */
export function outerDirection(
  { inputs, bias }: LayerScores,
  left: SymbolicTensor,
  right: SymbolicTensor,
): LayerVector {
  if (bias === undefined) return { weight: matmul(left, right, { transposeB: true }) };
  const features = inputs.shape[1];
  const samples = right.shape[1];
  const forWeights = slice(right, [0, 0], [features, samples]);
  const forBias = slice(right, [features, 0], [features + 1, samples]);
  return {
    weight: matmul(left, forWeights, { transposeB: true }),
    bias: reshape(matmul(left, forBias, { transposeB: true }), [-1]),
  };
}

/**
 * @param every the name under which the user knows `statisticsEvery`
 * @throws UsageError when a setting is out of range
 */
export function checkKronecker(settings: KroneckerSettings, every = "statisticsEvery"): void {
  const { decay, refreshEvery, statisticsEvery, convolution } = settings;
  const known = convolution === "expand" || convolution === "reduce";
  requireOption(known, "convolution", convolution, "expand | reduce");
  requireNumber(decay >= 0 && decay < 1, "decay", decay, "in [0, 1)");
  const valid = (period: number) => Number.isInteger(period) && period > 0;
  requireOption(valid(refreshEvery), "refreshEvery", refreshEvery, "a positive integer");
  requireOption(
    valid(statisticsEvery) && refreshEvery % statisticsEvery === 0,
    every,
    statisticsEvery,
    `a divisor of refreshEvery, which is ${refreshEvery}`,
  );
}

/** @throws MemoryError with the estimate when a layer's block would take more than the limit */
export function checkMemory(structure: string, { weight }: LayerScores, bytes: number, limit: number): void {
  requireMemory(`${structure} block of ${weight}`, bytes, limit, "a narrower layer or tengrad");
}
