/**
 * Block-diagonal Fisher: each layer's block exact, the coupling between layers dropped.
 *
 *   δθ_l = (F_l + λI)⁻¹ g_l,  F_l = (1/N) S_lᵀS_l        [Karakida20 eq. 15 with Σ = I; Shrestha §4]
 *
 * With the empirical Fisher, each block inverted through the covariance factorization S_l S_lᵀ = (δδᵀ) ⊙ (āāᵀ), this is
 * TENGraD [Soori21 eq. 4–7].
 *
 * Differs from the papers: mini-batches, and a damping that is not zero, as in `exact.ts`; the learning rate is not
 * divided by the number of layers for the user.
 */
import { layerByLayer } from "./partition.ts";
import { solvedBlock } from "./solver.ts";
import { carryingBlock } from "./spring.ts";
import type { Structure } from "./structure.ts";

export const blockDiagonalStructure: Structure = {
  name: "block-diagonal",
  carries: true,
  images: "cheapest",
  blocks: (scores, { solver, memoryLimit, carried }) =>
    layerByLayer(scores).map((group) =>
      carryingBlock(group, carried, (own) => solvedBlock("block-diagonal", own, solver, memoryLimit)),
    ),
};
