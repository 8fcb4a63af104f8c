/**
 * Diagonal Fisher: every parameter by itself.
 *
 *   δθ = g / (diag F + λ),   diag(F)_{oi} = (1/N) Σ_q δ_qo² ā_qi²         [Amari98 §3 cut to its diagonal; Karakida20 §5]
 *
 * For a dense layer the diagonal is one matrix product of squares. Nothing is solved on the host.
 *
 * | symbol  | slot                | shape          |
 * | ------- | ------------------- | -------------- |
 * | diag F  | `weight`, `bias`    | (O, F), (O)    |
 * | λ       | `damping`           | ()             |
 */
import { type LayerScores, squaredScores } from "../fisher/index.ts";
import { add, divide, multiply } from "../graph/index.ts";
import { bytesPerElement } from "../tensor.ts";
import type { CurvatureBlock } from "./block.ts";
import { blockParameters } from "./partition.ts";
import type { Structure } from "./structure.ts";

export const diagonalStructure: Structure = {
  name: "diagonal",
  blocks: ({ layers, samples }) => layers.map((layer) => diagonalBlock(layer, samples)),
};

function diagonalBlock(layer: LayerScores, samples: number): CurvatureBlock {
  const { weight, bias } = squaredScores(layer);
  const { dtype } = layer.deltas;
  const size = weight.size + (bias?.size ?? 0);
  const statistics = {
    weight: multiply(weight, 1 / samples),
    ...(bias && { bias: multiply(bias, 1 / samples) }),
  };
  return {
    layers: [layer],
    report: {
      parameters: blockParameters([layer]),
      structure: "diagonal",
      solver: "elementwise",
      dimension: 1,
      memoryBytes: bytesPerElement(dtype) * size,
    },
    statistics,
    refreshed: { damping: { shape: [], dtype } },
    refresh(slots, { damping }) {
      slots.damping[0] = damping;
      return { damping, retries: 0 };
    },
    stale: ([gradient], slots) => [
      {
        weight: divide(gradient.weight, add(slots.weight, slots.damping)),
        bias: gradient.bias && divide(gradient.bias, add(slots.bias, slots.damping)),
      },
    ],
  };
}
