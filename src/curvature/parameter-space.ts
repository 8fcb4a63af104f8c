/**
 * Exact solve of a block in parameter space: form F = (1/N) SᵀS (P × P), solve (F + λI) δθ = g by Cholesky.
 *
 * The cheaper form when the block has fewer parameters P than score rows M; otherwise it checks the others and shows
 * what naive natural gradient costs [Shrestha §3].
 *
 * | symbol            | slot            | shape  |
 * | ----------------- | --------------- | ------ |
 * | F                 | `fisher`        | (P, P) |
 * | g = (1/N) Sᵀρ     | `gradient`      | (P)    |
 * | (F + λI)⁻¹g       | `solution`      | (P)    |
 * | L⁻¹, LLᵀ = F + λI | `inverseFactor` | (P, P) |
 */
import {
  flattenVector,
  type LayerScores,
  type Scores,
  scoreMatrix,
  splitVector,
  totalDimension,
  transposedProduct,
} from "../fisher/index.ts";
import { concatenate, matmul, multiply, reshape, type SymbolicTensor } from "../graph/index.ts";
import { bytesPerElement } from "../tensor.ts";
import type { CurvatureBlock } from "./block.ts";
import { solveDamped } from "./factorize.ts";
import { blockParameters } from "./partition.ts";

export function parameterSpaceBlock(
  structure: string,
  { layers, residual, samples }: Scores,
): CurvatureBlock {
  const dimension = totalDimension(layers);
  const { dtype } = layers[0].deltas;
  const statistics: Record<string, SymbolicTensor> = { fisher: fisherMatrix(layers, samples) };
  if (residual) {
    const scaled = multiply(residual, 1 / samples);
    statistics.gradient = concatenate(layers.map((layer) => flattenVector(transposedProduct(layer, scaled))));
  }

  return {
    layers,
    report: {
      parameters: blockParameters(layers),
      structure,
      solver: "parameter space",
      dimension,
      memoryBytes: parameterSpaceMemory(layers),
    },
    statistics,
    refreshed: {
      solution: { shape: [dimension], dtype },
      inverseFactor: { shape: [dimension, dimension], dtype },
    },
    refresh: (slots, request) =>
      solveDamped({
        matrix: slots.fisher,
        order: dimension,
        damping: request.damping,
        solve: request.fresh && residual ? { b: slots.gradient, x: slots.solution } : undefined,
        inverseFactor: request.stale || !residual ? slots.inverseFactor : undefined,
      }),
    fresh: residual ? (slots) => splitVector(layers, slots.solution) : undefined,
    stale(gradient, slots) {
      const flat = reshape(concatenate(gradient.map(flattenVector)), [dimension, 1]);
      const half = matmul(slots.inverseFactor, flat);
      const solved = matmul(slots.inverseFactor, half, { transposeA: true });
      return splitVector(layers, reshape(solved, [dimension]));
    },
  };
}

/** F = (1/N) SᵀS of the layers together, (P, P), parameters in the order of `scoreMatrix`. */
export function fisherMatrix(layers: readonly LayerScores[], samples: number): SymbolicTensor {
  const scores = concatenate(layers.map(scoreMatrix), 1);
  return multiply(matmul(scores, scores, { transposeA: true }), 1 / samples);
}

/** Bytes of S, of the slots and of the float64 factorization. */
export function parameterSpaceMemory(layers: readonly LayerScores[]): number {
  const dimension = totalDimension(layers);
  const element = bytesPerElement(layers[0].deltas.dtype);
  const rows = layers[0].deltas.shape[0];
  return element * (rows * dimension + 2 * dimension * dimension) + 8 * dimension * dimension;
}
