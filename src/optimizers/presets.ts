/** The natural-gradient optimizers by name: each a structure with its paper's default Fisher. */
import { blockDiagonalStructure } from "../curvature/block-diagonal.ts";
import { exactStructure } from "../curvature/exact.ts";
import { type NaturalOptions, naturalGradient } from "./natural.ts";
import type { Optimizer } from "./optimizer.ts";

/** Natural gradient with the full Fisher matrix [Amari98; Karakida20]; exact Fisher by default. */
export function exactNgd(options: NaturalOptions): Optimizer {
  return naturalGradient("exactNgd", exactStructure, options, { fisher: "exact" });
}

/** Natural gradient with one exact block for each layer [Shrestha §4; Karakida20 §4]; exact Fisher by default. */
export function blockDiagonalNgd(options: NaturalOptions): Optimizer {
  return naturalGradient("blockDiagonalNgd", blockDiagonalStructure, options, { fisher: "exact" });
}

/** TENGraD [Soori21]: one block for each layer by covariance factorization; empirical Fisher by default. */
export function tengrad(options: NaturalOptions): Optimizer {
  return naturalGradient("tengrad", blockDiagonalStructure, options, { fisher: "empirical" });
}
