/** The natural-gradient optimizers by name: each a structure with its paper's default Fisher. */
import { blockDiagonalStructure } from "../curvature/block-diagonal.ts";
import { diagonalStructure } from "../curvature/diagonal.ts";
import { exactStructure } from "../curvature/exact.ts";
import { quasiDiagonalStructure } from "../curvature/quasi-diagonal.ts";
import { type NaturalOptions, naturalGradient } from "./natural.ts";
import type { Optimizer } from "./optimizer.ts";

/** Natural gradient with the full Fisher matrix [Amari98; Karakida20]; exact Fisher, η = 0.3, λ = 0.01 by default. */
export function exactNgd(options: NaturalOptions = {}): Optimizer {
  const defaults = { fisher: "exact", learningRate: 0.3, damping: 0.01 } as const;
  return naturalGradient("exactNgd", exactStructure, options, defaults);
}

/**
 * Natural gradient with one exact block for each layer [Shrestha §4; Karakida20 §4]; exact Fisher, η = 0.3, λ = 0.01 by
 * default.
 */
export function blockDiagonalNgd(options: NaturalOptions = {}): Optimizer {
  const defaults = { fisher: "exact", learningRate: 0.3, damping: 0.01 } as const;
  return naturalGradient("blockDiagonalNgd", blockDiagonalStructure, options, defaults);
}

/** TENGraD [Soori21]: one block for each layer by covariance factorization; empirical Fisher, η = 0.03, λ = 0.1 by default. */
export function tengrad(options: NaturalOptions = {}): Optimizer {
  const defaults = { fisher: "empirical", learningRate: 0.03, damping: 0.1 } as const;
  return naturalGradient("tengrad", blockDiagonalStructure, options, defaults);
}

/** What methods take that solve no linear system. */
export type ElementwiseOptions = Omit<NaturalOptions, "solver">;

/** Natural gradient with the diagonal of the Fisher matrix; exact Fisher, η = 0.1, λ = 0.1 by default. */
export function diagonalNgd(options: ElementwiseOptions = {}): Optimizer {
  const defaults = { fisher: "exact", learningRate: 0.1, damping: 0.1 } as const;
  return naturalGradient("diagonalNgd", diagonalStructure, options, defaults);
}

/**
 * Natural gradient with the diagonal and each unit's coupling of bias and weights [Ollivier15]; exact Fisher, η = 0.1,
 * λ = 0.1 by default.
 */
export function quasiDiagonalNgd(options: ElementwiseOptions = {}): Optimizer {
  const defaults = { fisher: "exact", learningRate: 0.1, damping: 0.1 } as const;
  return naturalGradient("quasiDiagonalNgd", quasiDiagonalStructure, options, defaults);
}
