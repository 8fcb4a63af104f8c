/**
 * Exact solve of a block in sample space, whatever the number of parameters is.
 *
 * With the score matrix S (M × P) of the block's layers, K = (1/N) SSᵀ = Σ_l K_l and ρ with g = (1/N) Sᵀρ:
 *
 *   fresh  δθ = (1/N) Sᵀ (K + λI)⁻¹ ρ                     push-through [Karakida20 eq. 9; RenGoldfarb19]
 *   stale  δθ = (1/λ) (g − (1/N) Sᵀ (K + λI)⁻¹ S g)       Woodbury [Soori21 eq. 4–7]
 *
 * The push-through form has no cancellation for small λ and tends to the pseudo-inverse as λ → 0, so it is used on every
 * batch whose own scores are at hand. The Woodbury form computes S g from the factors of g where that is cheaper, and
 * subtracts within one product of stacked factors. Monte-Carlo scores have no ρ and always take the Woodbury form.
 *
 * | symbol         | slot            | shape  |
 * | -------------- | --------------- | ------ |
 * | K              | `gram`          | (M, M) |
 * | a_l, δ_l       | `inputs.l`, `deltas.l` | (N, F), (M, O) |
 * | ρ              | `residual`      | (M)    |
 * | (K + λI)⁻¹ρ    | `weights`       | (M)    |
 * | L⁻¹, LLᵀ = K + λI | `inverseFactor` | (M, M) |
 * | λ              | `damping`       | ()     |
 */
import {
  crossGram,
  gramMatrix,
  type LayerScores,
  type LayerVector,
  type Scores,
  scoreProduct,
  transposedProduct,
  transposedSum,
  weightedDeltas,
} from "../fisher/index.ts";
import {
  add,
  concatenate,
  divide,
  matmul,
  multiply,
  negate,
  reshape,
  type SymbolicTensor,
  subtract,
  sum,
} from "../graph/index.ts";
import { bytesPerElement } from "../tensor.ts";
import type { CurvatureBlock, RefreshOutcome, RefreshRequest, SlotArrays, SlotSymbols } from "./block.ts";
import { solveDamped } from "./factorize.ts";
import { blockParameters } from "./partition.ts";

export function sampleSpaceBlock(structure: string, { layers, residual, samples }: Scores): CurvatureBlock {
  const rows = layers[0].deltas.shape[0];
  const { dtype } = layers[0].deltas;
  const grams = layers.map(gramMatrix);
  const statistics: Record<string, SymbolicTensor> = { gram: multiply(grams.reduce(add), 1 / samples) };
  layers.forEach((layer, l) => {
    statistics[`inputs.${l}`] = layer.inputs;
    statistics[`deltas.${l}`] = layer.deltas;
  });
  if (residual) statistics.residual = residual;

  const kept = (slots: SlotSymbols): LayerScores[] =>
    layers.map((layer, l) => ({ ...layer, inputs: slots[`inputs.${l}`], deltas: slots[`deltas.${l}`] }));

  const refreshed = {
    damping: { shape: [], dtype },
    weights: { shape: [rows], dtype },
    inverseFactor: { shape: [rows, rows], dtype },
  };

  function refresh(slots: SlotArrays, request: RefreshRequest): RefreshOutcome | Promise<RefreshOutcome> {
    const outcome = solveDamped({
      matrix: slots.gram,
      order: rows,
      damping: request.damping,
      solve: request.fresh && residual ? { b: slots.residual, x: slots.weights } : undefined,
      inverseFactor: request.stale || !residual ? slots.inverseFactor : undefined,
    });
    const record = (ended: RefreshOutcome) => {
      slots.damping[0] = ended.damping;
      return ended;
    };
    return outcome instanceof Promise ? outcome.then(record) : record(outcome);
  }

  return {
    layers,
    report: {
      parameters: blockParameters(layers),
      structure,
      solver: "sample space",
      dimension: rows,
      memoryBytes: sampleSpaceMemory(layers),
    },
    statistics,
    refreshed,
    refresh,
    fresh: residual
      ? (slots) => {
          const scaled = multiply(slots.weights, 1 / samples);
          return kept(slots).map((layer) => transposedProduct(layer, scaled));
        }
      : undefined,
    stale(gradient, slots, factors) {
      const scores = kept(slots);
      const projection = scores
        .map((layer, l) =>
          factors ? projectedGradient(layer, gradient[l], factors[l]) : scoreProduct(layer, gradient[l]),
        )
        .reduce(add);
      const column = reshape(projection, [rows, 1]);
      const half = matmul(slots.inverseFactor, column);
      const solved = matmul(slots.inverseFactor, half, { transposeA: true });
      const weights = multiply(reshape(solved, [rows]), 1 / samples);
      return scores.map((layer, l) =>
        factors
          ? stackedDirection(layer, weights, factors[l], slots.damping)
          : woodbury(gradient[l], transposedProduct(layer, weights), slots.damping),
      );
    },
  };
}

/** S_l g, through the gradient's own factors where that is cheaper than through the gradient. */
function projectedGradient(kept: LayerScores, gradient: LayerVector, batch: LayerScores): SymbolicTensor {
  const [rows, outputs] = kept.deltas.shape;
  const [samples, features] = kept.inputs.shape;
  const batchSamples = batch.inputs.shape[0];
  const throughFactors = batchSamples * (rows * outputs + samples * features);
  return throughFactors < rows * outputs * features
    ? multiply(sum(crossGram(kept, batch), [1]), 1 / batchSamples)
    : scoreProduct(kept, gradient);
}

/**
 * (1/λ)(g − Sᵀu) in one product: with the rows of both batches stacked it is [δ/(Nλ); −u⊙δ_kept/λ]ᵀ [ā; ā_kept], and
 * neither g nor the correction is ever formed.
 */
function stackedDirection(
  kept: LayerScores,
  weights: SymbolicTensor,
  batch: LayerScores,
  damping: SymbolicTensor,
): LayerVector {
  const own = multiply(batch.deltas, 1 / batch.inputs.shape[0]);
  const correction = negate(weightedDeltas(kept, weights));
  const stacked: LayerScores = {
    ...batch,
    inputs: concatenate([batch.inputs, kept.inputs]),
    deltas: divide(concatenate([own, correction]), damping),
  };
  return transposedSum(stacked);
}

/** (g − c)/λ for weight and bias. */
function woodbury(gradient: LayerVector, correction: LayerVector, damping: SymbolicTensor): LayerVector {
  const part = (g: SymbolicTensor, c: SymbolicTensor) => divide(subtract(g, c), damping);
  return {
    weight: part(gradient.weight, correction.weight),
    bias: gradient.bias && correction.bias && part(gradient.bias, correction.bias),
  };
}

/** Bytes of the slots and of the float64 factorization. */
export function sampleSpaceMemory(layers: readonly LayerScores[]): number {
  const rows = layers[0].deltas.shape[0];
  const element = bytesPerElement(layers[0].deltas.dtype);
  const factors = layers.reduce((total, { inputs, deltas }) => total + inputs.size + deltas.size, 0);
  return element * (2 * rows * rows + factors) + 8 * rows * rows;
}
