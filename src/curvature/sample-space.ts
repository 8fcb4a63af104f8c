/**
 * Exact solve of a block in sample space, whatever the number of parameters is.
 *
 * With the score matrix S (M × P) of the block's layers, K = (1/N) SSᵀ = Σ_l K_l and ρ with g = (1/N) Sᵀρ:
 *
 *   fresh  δθ = (1/N) Sᵀ (K + λI)⁻¹ ρ                     push-through [Karakida20 eq. 9; RenGoldfarb19]
 *   stale  δθ = (1/λ) (g − (1/N) Sᵀ (K + λI)⁻¹ S g)       Woodbury [Soori21 eq. 4–7]
 *
 * The push-through form has no cancellation for small λ and tends to the pseudo-inverse as λ → 0, so it is used on every
 * batch whose own scores are at hand. The Woodbury form works on the factors of g (`woodbury.ts`). Monte-Carlo scores have
 * no ρ and always take it. So does what is no gradient and comes without factors: SPRING's right-hand side.
 *
 * | symbol         | slot            | shape  |
 * | -------------- | --------------- | ------ |
 * | K              | `gram`          | (M, M) |
 * | a_l, δ_l       | `inputs.l`, `deltas.l` | (N, F), (M, O) or (N, M/N, O) |
 * | ρ              | `residual`      | (M)    |
 * | (K + λI)⁻¹ρ    | `weights`       | (M)    |
 * | L⁻¹, LLᵀ = K + λI | `inverseFactor` | (M, M) |
 * | λ              | `damping`       | ()     |
 *
 * Differs from [Soori21]: on the refresh batch the direction is computed by push-through, equal in exact arithmetic
 * and without cancellation at small λ; a block goes to parameter space where that is smaller, unless the solver is
 * "gram"; for convolutions images and derivatives stand in for patches, whichever way S Sᵀ is formed; λ is the same for
 * all layers and a plain diagonal term.
 */
import { gramMatrix, type LayerScores, type Scores, scoreProduct, transposedSum } from "../fisher/index.ts";
import { add, matmul, multiply, reciprocal, reshape, type SymbolicTensor } from "../graph/index.ts";
import { bytesPerElement } from "../tensor.ts";
import type { CurvatureBlock, RefreshOutcome, RefreshRequest, SlotArrays, SlotSymbols } from "./block.ts";
import { solveDamped } from "./factorize.ts";
import { blockParameters } from "./partition.ts";
import { whenReady } from "./ready.ts";
import {
  correctedGradient,
  correctedVector,
  corrections,
  deltasToKeep,
  type KeptScores,
  keptScores,
  projectedGradient,
} from "./woodbury.ts";

export function sampleSpaceBlock(structure: string, { layers, residual, samples }: Scores): CurvatureBlock {
  const rows = layers[0].deltas.shape[0];
  const { dtype } = layers[0].deltas;
  const grams = layers.map(gramMatrix);
  const statistics: Record<string, SymbolicTensor> = { gram: multiply(grams.reduce(add), 1 / samples) };
  layers.forEach((layer, l) => {
    statistics[`inputs.${l}`] = layer.inputs;
    statistics[`deltas.${l}`] = deltasToKeep(layer);
  });
  if (residual) statistics.residual = residual;

  const kept = (slots: SlotSymbols): KeptScores[] =>
    layers.map((layer, l) => keptScores(layer, slots[`inputs.${l}`], slots[`deltas.${l}`]));

  const refreshed = {
    damping: { shape: [], dtype },
    weights: { shape: [rows], dtype },
    inverseFactor: { shape: [rows, rows], dtype },
  };

  function refresh(slots: SlotArrays, request: RefreshRequest): RefreshOutcome | Promise<RefreshOutcome> {
    const solving = solveDamped({
      matrix: slots.gram,
      order: rows,
      damping: request.damping,
      solve: request.fresh && residual ? { b: slots.residual, x: slots.weights } : undefined,
      inverseFactor: request.stale || !residual ? slots.inverseFactor : undefined,
    });
    return whenReady(solving, (outcome) => {
      slots.damping[0] = outcome.damping;
      return outcome;
    });
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
          return kept(slots).map((layer) =>
            transposedSum({ ...layer, deltas: corrections(layer, scaled), rowsPerSample: 1 }),
          );
        }
      : undefined,
    factored: residual === undefined,
    stale(gradient, slots, factors) {
      const scores = kept(slots);
      const projection = scores
        .map((layer, l) =>
          factors ? projectedGradient(layer, factors[l]) : scoreProduct(layer, gradient[l]),
        )
        .reduce(add);
      const half = matmul(slots.inverseFactor, reshape(projection, [rows, 1]));
      const solved = matmul(slots.inverseFactor, half, { transposeA: true });
      const weights = multiply(reshape(solved, [rows]), 1 / samples);
      const scale = reciprocal(slots.damping);
      return scores.map((layer, l) => {
        if (!factors) return correctedVector(layer, corrections(layer, weights), gradient[l], scale);
        // A sample's only row is weighted where the rows of both batches are.
        if (layer.rowsPerSample === 1)
          return correctedGradient(layer, layer.deltas, factors[l], scale, weights);
        return correctedGradient(layer, corrections(layer, weights), factors[l], scale);
      });
    },
  };
}

/** Bytes of the slots and of the float64 factorization. */
export function sampleSpaceMemory(layers: readonly LayerScores[]): number {
  const rows = layers[0].deltas.shape[0];
  const element = bytesPerElement(layers[0].deltas.dtype);
  const factors = layers.reduce((total, { inputs, deltas }) => total + inputs.size + deltas.size, 0);
  return element * (2 * rows * rows + factors) + 8 * rows * rows;
}
