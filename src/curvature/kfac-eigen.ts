/**
 * K-FAC's eigen form: the Kronecker product damped as a whole, where its factors are diagonal.
 *
 *   δW̄ = U_G [ (U_Gᵀ g U_A) / (s_G s_Aᵀ + λ) ] U_Aᵀ,   (G ⊗ A + λI)⁻¹ exactly              [George18 §3; Grosse16 §4]
 *
 * with the eigenvalues s_A of A and s_G of G. λ is added to curvature itself, as in the exact methods; factored damping adds
 * (√λ/π) I ⊗ A + π√λ G ⊗ I beside. Two products more a step, and eigendecompositions for inverses.
 *
 * | symbol             | slot           | shape  |
 * | ------------------ | -------------- | ------ |
 * | U_A, U_G           | `eigenbasis.ts` |       |
 * | 1/(s_G s_Aᵀ + λ)   | `inverseScale` | (O, F̄) |
 */
import type { LayerScores } from "../fisher/index.ts";
import { multiply } from "../graph/index.ts";
import { bytesPerElement } from "../tensor.ts";
import type { CurvatureBlock } from "./block.ts";
import { basisSlots, gradientInBasis, outOfBasis, refreshBasis, writeProducts } from "./eigenbasis.ts";
import { decompositionBytes } from "./factorize.ts";
import { checkMemory, factorAverages, factorOrders, factorRefusal, factorsAreCheaper } from "./kronecker.ts";
import { blockParameters } from "./partition.ts";
import type { Workspace } from "./workspace.ts";

/** @throws UsageError when the block would take more than the limit, in bytes */
export function kfacEigenBlock(
  layer: LayerScores,
  workspace: Workspace,
  memoryLimit: number,
): CurvatureBlock {
  const { inputs, outputs } = factorOrders(layer);
  const { dtype } = layer.deltas;
  const squares = inputs ** 2 + outputs ** 2;
  const memoryBytes = bytesPerElement(dtype) * (3 * squares + inputs * outputs);
  const bytes = [decompositionBytes(inputs), decompositionBytes(outputs)];
  checkMemory("kfac", layer, memoryBytes + Math.max(...bytes), memoryLimit);
  return {
    layers: [layer],
    report: {
      parameters: blockParameters([layer]),
      structure: "kfac",
      solver: "elementwise in the eigenbasis of both Kronecker factors",
      dimension: Math.max(inputs, outputs),
      memoryBytes,
    },
    borrowed: { workspace, bytes },
    statistics: {},
    averages: factorAverages(layer),
    refreshed: { ...basisSlots(layer), inverseScale: { shape: [outputs, inputs], dtype } },
    refusal: (next) => factorRefusal(next, layer),
    refresh(slots, { damping, averages: { next } }) {
      const failure = factorRefusal(next, layer);
      if (failure !== undefined) return { damping, retries: 0, failure };
      return refreshBasis(workspace, layer, next, slots, damping, (outputValues, inputValues) => {
        writeProducts(slots.inverseScale, outputValues, inputValues, (product) => 1 / (product + damping));
      });
    },
    factored: factorsAreCheaper(layer),
    stale([gradient], slots, factors) {
      const rotated = gradientInBasis(gradient, slots, factors?.[0]);
      return [outOfBasis(multiply(rotated, slots.inverseScale), slots)];
    },
  };
}
