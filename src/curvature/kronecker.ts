/**
 * The Kronecker factors of a layer's Fisher block, F_l ≈ A ⊗ G, and their moving averages.
 *
 *   A = (1/N) Σ_n ā_n ā_nᵀ,   G = (1/N) Σ_q δ_q δ_qᵀ                                          [Martens15 §3]
 *   X ← εX + (1 − ε)X_new at the k-th update, ε = min(1 − 1/k, decay)                          [Martens15 §5]
 *
 * The product is exact where activations and derivatives are independent, for one sample, and for a linear layer with a
 * gaussian likelihood, whose G does not depend on the sample.
 *
 * | symbol | slot            | shape  |
 * | ------ | --------------- | ------ |
 * | A_new  | `inputFactor`   | (F̄, F̄) |
 * | G_new  | `outputFactor`  | (O, O) |
 * | A      | `inputAverage`  | (F̄, F̄), lower triangle |
 * | G      | `outputAverage` | (O, O), lower triangle |
 * | k      | `updates`       | ()     |
 */
import { requireOption, UsageError } from "../errors.ts";
import { extendedInputs, type LayerScores } from "../fisher/index.ts";
import { matmul, multiply, type SymbolicTensor } from "../graph/index.ts";
import type { TypedArray } from "../tensor.ts";
import type { SlotArrays, SlotSpec, SlotSymbols } from "./block.ts";
import { formatBytes } from "./solver.ts";

export const averageMemory = ["inputAverage", "outputAverage", "updates"] as const;

/** Orders of A and G: F̄, that is F + 1 with a bias, and O. */
export function factorOrders({ inputs, deltas, bias }: LayerScores): { inputs: number; outputs: number } {
  return { inputs: inputs.shape[1] + (bias === undefined ? 0 : 1), outputs: deltas.shape[1] };
}

/** A and G of a batch. */
export function factorStatistics(layer: LayerScores, samples: number): SlotSymbols {
  const covariance = (x: SymbolicTensor) => multiply(matmul(x, x, { transposeA: true }), 1 / samples);
  return { inputFactor: covariance(extendedInputs(layer)), outputFactor: covariance(layer.deltas) };
}

/** The slots of {@link averageMemory}. */
export function averageSlots(layer: LayerScores): Record<(typeof averageMemory)[number], SlotSpec> {
  const { inputs, outputs } = factorOrders(layer);
  const { dtype } = layer.deltas;
  return {
    inputAverage: { shape: [inputs, inputs], dtype },
    outputAverage: { shape: [outputs, outputs], dtype },
    updates: HOST_SCALAR,
  };
}

/** A slot of one number that only the host reads. */
export const HOST_SCALAR: SlotSpec = { shape: [], dtype: "float64" };

/** ε of the k-th update, k from 1: the plain mean at first, later a moving one. */
export function averageDecay(update: number, decay: number): number {
  return Math.min(1 - 1 / update, decay);
}

/** Takes the factors of a batch into the averages; where they are not finite it says so and changes nothing. */
export function updateAverages(slots: SlotArrays, layer: LayerScores, decay: number): string | undefined {
  const { inputFactor, outputFactor, inputAverage, outputAverage, updates } = slots;
  const orders = factorOrders(layer);
  // Covariances: no element exceeds the largest of the diagonal.
  if (!Number.isFinite(trace(inputFactor, orders.inputs))) {
    return `the covariance of the inputs of ${layer.layer} is not finite`;
  }
  if (!Number.isFinite(trace(outputFactor, orders.outputs))) {
    return `the covariance of the derivatives at ${layer.layer} is not finite`;
  }
  updates[0]++;
  const epsilon = averageDecay(updates[0], decay);
  blend(inputAverage, inputFactor, orders.inputs, epsilon);
  blend(outputAverage, outputFactor, orders.outputs, epsilon);
  return undefined;
}

export function trace(matrix: TypedArray, order: number): number {
  let total = 0;
  for (let k = 0; k < order; k++) total += matrix[k * order + k];
  return total;
}

/** Lower triangles only: nothing else of a symmetric matrix is read. */
function blend(average: TypedArray, value: TypedArray, order: number, epsilon: number): void {
  const share = 1 - epsilon;
  for (let row = 0; row < order; row++) {
    const end = row * (order + 1);
    for (let k = row * order; k <= end; k++) average[k] = epsilon * average[k] + share * value[k];
  }
}

/** Hands two results on, at once where both are there already. */
export function whenBoth<T, R>(
  first: T | Promise<T>,
  second: T | Promise<T>,
  next: (first: T, second: T) => R,
): R | Promise<R> {
  if (first instanceof Promise || second instanceof Promise) {
    return Promise.all([first, second]).then(([a, b]) => next(a, b));
  }
  return next(first, second);
}

/** @throws UsageError when the decay is not in [0, 1) */
export function checkDecay(decay: number): void {
  requireOption(decay >= 0 && decay < 1, "decay", decay, "in [0, 1)");
}

/** @throws UsageError when the number of steps is not a positive integer */
export function checkPeriod(refreshEvery: number): void {
  const valid = Number.isInteger(refreshEvery) && refreshEvery > 0;
  requireOption(valid, "refreshEvery", refreshEvery, "a positive integer");
}

/** @throws UsageError with the estimate when a layer's block would take more than the limit */
export function checkMemory(structure: string, { weight }: LayerScores, bytes: number, limit: number): void {
  if (bytes <= limit) return;
  throw new UsageError(
    `the ${structure} block of ${weight} needs ${formatBytes(bytes)}, the limit is ${formatBytes(limit)} (use a narrower layer or tengrad)`,
  );
}
