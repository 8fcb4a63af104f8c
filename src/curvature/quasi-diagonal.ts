/**
 * Quasi-diagonal Fisher: for every unit the diagonal, and the bias's coupling to each incoming weight.
 *
 *   δw_i = (g_i − (F_0i/F_00) g_0) / (F_ii − F_0i²/F_00),   δw_0 = g_0/F_00 − Σ_i (F_0i/F_00) δw_i      [Ollivier15 §2.3]
 *
 * with λ added to F_00 and F_ii. Invariant to a shift of each input, at twice the diagonal's cost. A layer without a bias
 * falls back to the diagonal.
 *
 * | symbol | slot       | shape  |
 * | ------ | ---------- | ------ |
 * | F_ii   | `weight`   | (O, F) |
 * | F_00   | `bias`     | (O)    |
 * | F_0i   | `coupling` | (O, F) |
 * | λ      | `damping`  | ()     |
 */
import { biasCoupling, type LayerScores, squaredScores } from "../fisher/index.ts";
import { add, divide, multiply, reshape, square, subtract, sum } from "../graph/index.ts";
import { bytesPerElement } from "../tensor.ts";
import type { CurvatureBlock } from "./block.ts";
import { diagonalStructure } from "./diagonal.ts";
import { blockParameters } from "./partition.ts";
import type { Structure } from "./structure.ts";

export const quasiDiagonalStructure: Structure = {
  name: "quasi-diagonal",
  blocks: (scores, context) =>
    scores.layers.flatMap((layer) => {
      if (layer.bias !== undefined) return [quasiDiagonalBlock(layer, scores.samples)];
      const [block] = diagonalStructure.blocks({ ...scores, layers: [layer] }, context);
      return [
        {
          ...block,
          report: { ...block.report, note: "no bias: the diagonal in place of the quasi-diagonal" },
        },
      ];
    }),
};

function quasiDiagonalBlock(layer: LayerScores, samples: number): CurvatureBlock {
  const { dtype } = layer.deltas;
  const { weight, bias } = squaredScores(layer);
  const mean = (x: typeof weight) => multiply(x, 1 / samples);
  return {
    layers: [layer],
    report: {
      parameters: blockParameters([layer]),
      structure: "quasi-diagonal",
      solver: "elementwise",
      dimension: 2,
      memoryBytes: bytesPerElement(dtype) * (2 * weight.size + bias!.size),
    },
    statistics: { weight: mean(weight), bias: mean(bias!), coupling: mean(biasCoupling(layer)) },
    refreshed: { damping: { shape: [], dtype } },
    refresh(slots, { damping }) {
      slots.damping[0] = damping;
      return { damping, retries: 0 };
    },
    stale([gradient], slots) {
      const column = (x: typeof weight) => reshape(x, [-1, 1]);
      const corner = column(add(slots.bias, slots.damping));
      const ratio = divide(slots.coupling, corner);
      const diagonal = subtract(add(slots.weight, slots.damping), divide(square(slots.coupling), corner));
      const g0 = column(gradient.bias!);
      const direction = divide(subtract(gradient.weight, multiply(ratio, g0)), diagonal);
      const shift = sum(multiply(ratio, direction), [1]);
      return [{ weight: direction, bias: subtract(reshape(divide(g0, corner), [-1]), shift) }];
    },
  };
}
