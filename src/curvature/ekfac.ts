/**
 * EKFAC: K-FAC's eigenbasis with the second moments that the gradients have in it.
 *
 *   A = U_A Λ_A U_Aᵀ,   G = U_G Λ_G U_Gᵀ,   s = (1/N) Σ_q (U_Gᵀ δ_q ā_qᵀ U_A)² = (1/N) ((δU_G)²)ᵀ ((āU_A)²)
 *   δW̄ = U_G [ (U_Gᵀ g U_A) / (s + λ) ] U_Aᵀ                                               [George18 §3, algorithm 1]
 *
 * Among all matrices that are diagonal in the basis U_G ⊗ U_A this one is nearest to F_l in the Frobenius norm
 * [George18 §3]; K-FAC itself has s = Λ_G ⊗ Λ_A. The scale s costs two products with each score row, the basis two
 * eigendecompositions, so the scale may be refreshed more often than the basis. Scale and direction share the products of
 * a batch with the basis; with the empirical Fisher both of them.
 *
 * | symbol        | where                        | shape            |
 * | ------------- | ---------------------------- | ---------------- |
 * | A, G          | averages of `kronecker.ts`   |                  |
 * | U_A, U_G      | slots of `eigenbasis.ts`     |                  |
 * | a, δ          | slots `inputs`, `deltas`     | (N, F), (M, O); of a convolution see `ekfac-scale.ts` |
 * | s             | average `scale`              | (O, F̄)           |
 * | Σ s           | average `scaleTotal`         | ()               |
 * | λ             | slot `damping`               | ()               |
 *
 * Differs from the paper: A, G and s are moving averages, updated together, all with the same ε, as K-FAC's; the
 * paper takes A and G from the batch of the refresh, and its first algorithm s from the current batch alone; as the
 * old scale belongs to the old coordinates, that of a new basis starts from Λ_G ⊗ Λ_A, which averages over the same
 * batches: with `refreshEvery: 1` and the default decay s is K-FAC's to 95 %, after 20 steps in one basis to 36 %.
 */
import type { LayerScores } from "../fisher/index.ts";
import { add, divide, multiply, sum } from "../graph/index.ts";
import { bytesPerElement } from "../tensor.ts";
import type { CurvatureBlock } from "./block.ts";
import { basisSlots, gradientInBasis, outOfBasis, refreshBasis, writeProducts } from "./eigenbasis.ts";
import { keptForScale, squaredInBasis } from "./ekfac-scale.ts";
import { decompositionBytes } from "./factorize.ts";
import {
  checkKronecker,
  checkMemory,
  factorAverages,
  factorAveraging,
  factorImages,
  factorOrders,
  factorRefusal,
  factorsAreCheaper,
  type KroneckerSettings,
} from "./kronecker.ts";
import { blockParameters } from "./partition.ts";
import type { Structure } from "./structure.ts";
import { Workspace } from "./workspace.ts";

/**
 * @param settings `statisticsEvery` is the user's `scaleEvery`
 * @throws UsageError when a setting is out of range
 */
export function ekfacStructure(settings: KroneckerSettings): Structure {
  checkKronecker(settings, "scaleEvery");
  const workspace = new Workspace();
  return {
    name: "ekfac",
    images: factorImages(settings),
    averaging: factorAveraging(settings),
    blocks: ({ layers, samples }, { memoryLimit }) =>
      layers.map((layer) => ekfacBlock(layer, samples, workspace, memoryLimit)),
  };
}

function ekfacBlock(
  layer: LayerScores,
  samples: number,
  workspace: Workspace,
  memoryLimit: number,
): CurvatureBlock {
  const { inputs, outputs } = factorOrders(layer);
  const { dtype } = layer.deltas;
  const squares = inputs ** 2 + outputs ** 2;
  const kept = keptForScale(layer);
  const rows = Object.values(kept).reduce((total, { size }) => total + size, 0);
  const memoryBytes = bytesPerElement(dtype) * (3 * squares + 2 * inputs * outputs + rows);
  const bytes = [decompositionBytes(inputs), decompositionBytes(outputs)];
  checkMemory("ekfac", layer, memoryBytes + Math.max(...bytes), memoryLimit);

  return {
    layers: [layer],
    report: {
      parameters: blockParameters([layer]),
      structure: "ekfac",
      solver: "elementwise in the eigenbasis of both Kronecker factors",
      dimension: Math.max(inputs, outputs),
      memoryBytes,
    },
    borrowed: { workspace, bytes },
    statistics: kept,
    averages: factorAverages(layer),
    settled: {
      specs: { scale: { shape: [outputs, inputs], dtype }, scaleTotal: { shape: [], dtype } },
      trace(slots) {
        const scale = multiply(squaredInBasis(layer, slots), 1 / samples);
        return { scale, scaleTotal: sum(scale) };
      },
    },
    refreshed: { ...basisSlots(layer), damping: { shape: [], dtype } },
    refusal: (next) =>
      factorRefusal(next, layer) ??
      (Number.isFinite(next.scaleTotal[0])
        ? undefined
        : `the squared scores of ${layer.layer} overflow ${dtype}`),
    refresh(slots, { damping, averages: { current, next } }) {
      const failure = factorRefusal(next, layer);
      if (failure !== undefined) return { damping, retries: 0, failure };
      slots.damping[0] = damping;
      return refreshBasis(workspace, layer, next, slots, damping, (outputValues, inputValues) => {
        current.scaleTotal[0] = writeProducts(current.scale, outputValues, inputValues);
      });
    },
    factored: factorsAreCheaper(layer),
    stale([gradient], slots, factors) {
      const rotated = gradientInBasis(gradient, slots, factors?.[0]);
      return [outOfBasis(divide(rotated, add(slots.scale, slots.damping)), slots)];
    },
  };
}
