/**
 * The full Fisher matrix: all layers in one block, coupling included.
 *
 *   δθ = (F + λI)⁻¹ g,  F = (1/N) SᵀS over all parameters                [Amari98; Karakida20 eq. 9; Shrestha §3]
 *
 * In sample space K = Σ_l K_l, so that the cost is one M × M solve whatever the number of parameters is.
 *
 * Differs from the papers: they analyse full-batch descent, here F is that of the mini-batch, and damping stands in
 * for what the batch does not see; [Karakida20] takes λ → 0, here λ is an option, 0.01 by default.
 */
import { together } from "./partition.ts";
import { solvedBlock } from "./solver.ts";
import { carryingBlock } from "./spring.ts";
import type { Structure } from "./structure.ts";

export const exactStructure: Structure = {
  name: "exact",
  carries: true,
  images: "cheapest",
  blocks: (scores, { solver, memoryLimit, carried }) =>
    together(scores).map((group) =>
      carryingBlock(group, carried, (own) => solvedBlock("exact", own, solver, memoryLimit)),
    ),
};
