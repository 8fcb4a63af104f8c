/**
 * Block-diagonal Fisher, each layer's block inverted by rank-one updates, one score row after another.
 *
 *   H_0 = I/λ,   H_{q+1} = H_q − H_q s_q s_qᵀ H_q / (N + s_qᵀ H_q s_q),   δθ_l = H_M g_l         [Singh20 §3.1]
 *
 * In exact arithmetic H_M = (F_l + λI)⁻¹, TENGraD's inverse with the empirical Fisher. It costs 2M·P_l² multiply-adds whatever
 * M is, and is a baseline for cost. A batch of m rows B goes in at once, H ← H − HBᵀ(N I + BHBᵀ)⁻¹BH (`linalg/row-inverse.ts`):
 * the same numbers by matrix products, in a tenth of the time. Rounding errors of one update are in all that follow: where
 * s_qᵀ H_q s_q < 0 shows that H is no longer positive definite, the recursion starts again with ten times the damping.
 *
 * | symbol | slot      | shape      |
 * | ------ | --------- | ---------- |
 * | s_q    | `scores`  | (M, P_l)   |
 * | H_M    | `inverse` | (P_l, P_l) |
 *
 * Differs from the paper: it prunes networks with the inverse of a trained network's Fisher matrix, here it
 * preconditions each step and starts anew at every refresh; blocks are whole layers.
 */
import {
  flattenVector,
  type LayerScores,
  layerDimension,
  scoreMatrix,
  unflattenVector,
} from "../fisher/index.ts";
import { matmul, reshape } from "../graph/index.ts";
import { type RowInverse, rowInverse, rowInverseAsync } from "../linalg/index.ts";
import { requireMemory } from "../memory.ts";
import { bytesPerElement } from "../tensor.ts";
import type { CurvatureBlock, RefreshOutcome } from "./block.ts";
import { failed, LARGEST_SYNCHRONOUS_ORDER } from "./factorize.ts";
import { blockParameters } from "./partition.ts";
import type { Structure } from "./structure.ts";

/** How often the damping is raised tenfold before the block is given up. */
const MAX_RETRIES = 10;

export const woodFisherStructure: Structure = {
  name: "wood-fisher",
  blocks: ({ layers, samples }, { memoryLimit }) =>
    layers.map((layer) => woodFisherBlock(layer, samples, memoryLimit)),
};

function woodFisherBlock(layer: LayerScores, samples: number, memoryLimit: number): CurvatureBlock {
  const { dtype, shape } = layer.deltas;
  const [rows] = shape;
  const dimension = layerDimension(layer);
  const element = bytesPerElement(dtype);
  const memoryBytes = element * (rows * dimension + dimension ** 2) + 8 * dimension * (dimension + 2);
  const what = `wood-fisher block of ${dimension} parameters`;
  requireMemory(what, memoryBytes, memoryLimit, "tengrad, which is equal in exact arithmetic");
  return {
    layers: [layer],
    report: {
      parameters: blockParameters([layer]),
      structure: "wood-fisher",
      solver: `${rows} rank-one updates`,
      dimension,
      memoryBytes,
    },
    statistics: { scores: scoreMatrix(layer) },
    refreshed: { inverse: { shape: [dimension, dimension], dtype } },
    refresh({ scores, inverse }, { damping }) {
      if (damping === 0) return failed(damping, "the recursion starts from I/λ");
      const problem = { rows: scores, order: dimension, samples, damping, maxRetries: MAX_RETRIES, inverse };
      const outcome = (ended: RowInverse): RefreshOutcome =>
        ended.failure === undefined ? ended : { damping, retries: 0, failure: ended.failure };
      return rows * dimension ** 2 <= LARGEST_SYNCHRONOUS_ORDER ** 3
        ? outcome(rowInverse(problem))
        : rowInverseAsync(problem).then(outcome);
    },
    stale: ([gradient], slots) => {
      const flat = reshape(flattenVector(gradient), [dimension, 1]);
      return [unflattenVector(layer, reshape(matmul(slots.inverse, flat), [dimension]))];
    },
  };
}
