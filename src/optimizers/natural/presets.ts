/** The natural-gradient optimizers by name: each a structure with its paper's default Fisher. */
import { blockDiagonalStructure } from "../../curvature/block-diagonal.ts";
import type { ConjugateGradientOptions } from "../../curvature/conjugate-gradient.ts";
import { type CouplingOption, checkCoupling } from "../../curvature/coupling.ts";
import { diagonalStructure } from "../../curvature/diagonal.ts";
import { ekfacStructure } from "../../curvature/ekfac.ts";
import { exactStructure } from "../../curvature/exact.ts";
import { kbfgsStructure } from "../../curvature/kbfgs.ts";
import { type KfacForm, kfacStructure } from "../../curvature/kfac.ts";
import type { ConvolutionRows } from "../../curvature/kronecker.ts";
import { layerWiseStructure } from "../../curvature/layer-wise.ts";
import { matrixFreeStructure } from "../../curvature/matrix-free.ts";
import { checkOutputMetric, type OutputMetric } from "../../curvature/output-metric.ts";
import { quasiDiagonalStructure } from "../../curvature/quasi-diagonal.ts";
import { checkConjugateGradient, type DirectSolver, solverName } from "../../curvature/solver.ts";
import { unitWiseStructure } from "../../curvature/unit-wise.ts";
import { woodFisherStructure } from "../../curvature/wood-fisher.ts";
import { requireNumber, requireOption } from "../../errors.ts";
import type { Optimizer } from "../optimizer.ts";
import type { MethodName } from "../option-names.ts";
import { type CarryingOptions, type NaturalOptions, naturalGradient } from "./natural.ts";

/** Natural gradient with the full Fisher matrix [Amari98; Karakida20]; exact Fisher, η = 0.3, λ = 0.01 by default. */
export function exactNgd(options: CarryingOptions = {}): Optimizer {
  const defaults = { fisher: "exact", learningRate: 0.3, damping: 0.01 } as const;
  return naturalGradient("exactNgd", exactStructure, options, defaults);
}

/**
 * Natural gradient with one exact block for each layer [Shrestha §4; Karakida20 §4]; exact Fisher, η = 0.3, λ = 0.01 by
 * default.
 */
export function blockDiagonalNgd(options: CarryingOptions = {}): Optimizer {
  const defaults = { fisher: "exact", learningRate: 0.3, damping: 0.01 } as const;
  return naturalGradient("blockDiagonalNgd", blockDiagonalStructure, options, defaults);
}

/** TENGraD [Soori21]: one block for each layer by covariance factorization; empirical Fisher, η = 0.03, λ = 0.1 by default. */
export function tengrad(options: CarryingOptions = {}): Optimizer {
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

/** What methods take whose systems are not solved iteratively. */
export interface DirectOptions extends Omit<NaturalOptions, "solver"> {
  /** Sample space, parameter space, or the smaller of the two (`"auto"`, the default). */
  readonly solver?: DirectSolver;
}

/** Natural gradient with one exact block for each unit [Karakida20 §5]; exact Fisher, η = 0.1, λ = 0.01 by default. */
export function unitwiseNgd(options: DirectOptions = {}): Optimizer {
  const defaults = { fisher: "exact", learningRate: 0.1, damping: 0.01 } as const;
  const optimizer = naturalGradient("unitwiseNgd", unitWiseStructure, options, defaults);
  requireDirectSolver(options);
  return optimizer;
}

/**
 * Block-diagonal natural gradient by rank-one updates [Singh20], TENGraD's direction; empirical Fisher,
 * η = 0.03, λ = 0.1 by default.
 */
export function woodFisher(options: ElementwiseOptions = {}): Optimizer {
  const defaults = { fisher: "empirical", learningRate: 0.03, damping: 0.1 } as const;
  return naturalGradient("woodFisher", woodFisherStructure, options, defaults);
}

export interface LayerwiseOptions extends DirectOptions {
  /** Σ, how strongly each pair of layers is coupled; default `"tridiagonal"`. */
  readonly sigma?: CouplingOption;
}

/**
 * Natural gradient with the layers' coupling weighted by Σ [Karakida20 eq. 15]; exact Fisher, η = 0.3, λ = 1 by
 * default, for F̃ may have negative eigenvalues.
 */
export function layerwiseNgd(options: LayerwiseOptions = {}): Optimizer {
  const { sigma = "tridiagonal" } = options;
  return layerwise("layerwiseNgd", options, sigma);
}

/** Natural gradient with neighbouring layers coupled, Σ tri-diagonal of ones [Karakida20 §4]; options as above. */
export function blockTridiagonalNgd(options: DirectOptions = {}): Optimizer {
  return layerwise("blockTridiagonalNgd", options, "tridiagonal");
}

function layerwise(name: MethodName, options: DirectOptions, sigma: CouplingOption): Optimizer {
  checkCoupling(sigma);
  const defaults = { fisher: "exact", learningRate: 0.3, damping: 1 } as const;
  const optimizer = naturalGradient(name, layerWiseStructure(sigma), options, defaults);
  requireDirectSolver(options);
  return optimizer;
}

/** @throws UsageError for conjugate gradients */
function requireDirectSolver({ solver = "auto" }: NaturalOptions): void {
  requireOption(solverName(solver) !== "cg", "solver", "cg", "auto | gram | dense here");
}

/** Options of {@link kbfgs}; it has no Fisher type: it measures the Hessian of the loss itself. */
export interface KbfgsOptions extends Omit<NaturalOptions, "solver" | "fisher"> {
  /** β of the moving average of the input covariances, in [0, 1); default 0.9. */
  readonly decay?: number;
  /** Moving average of the pairs (s, y), in [0, 1); default 0.9. */
  readonly pairDecay?: number;
  /** Whether pairs are damped so that none has negative curvature; default true. */
  readonly powell?: boolean;
  /** Keep this many pairs in place of the matrices H_g (limited memory); the paper's 100; default: matrices. */
  readonly memory?: number;
}

/** K-BFGS and K-BFGS(L) [Goldfarb20]: Kronecker factors of the inverse Hessian by BFGS; η = 0.1, λ = 0.3 by default. */
export function kbfgs(options: KbfgsOptions = {}): Optimizer {
  const { decay = 0.9, pairDecay = 0.9, powell = true, memory } = options;
  requireNumber(decay >= 0 && decay < 1, "decay", decay, "in [0, 1)");
  requireNumber(pairDecay >= 0 && pairDecay < 1, "pairDecay", pairDecay, "in [0, 1)");
  requireOption(typeof powell === "boolean", "powell", powell, "true or false");
  requireOption(
    memory === undefined || (Number.isInteger(memory) && memory > 0),
    "memory",
    memory,
    "a positive integer",
  );
  const defaults = { fisher: "empirical", learningRate: 0.1, damping: 0.3 } as const;
  return naturalGradient("kbfgs", kbfgsStructure({ decay, pairDecay, powell, memory }), options, defaults);
}

export interface KfacOptions extends Omit<NaturalOptions, "solver"> {
  /** Bound of ε in the moving averages of the factors, in [0, 1); default 0.95. */
  readonly decay?: number;
  /** Steps between updates of the averages, a divisor of `refreshEvery`; default 1. */
  readonly statisticsEvery?: number;
  /** Each factor damped and inverted, or their product damped exactly in its eigenbasis; default `"inverse"`. */
  readonly form?: KfacForm;
  /** Whether the factors' dampings follow their traces, in the form `"inverse"`; default true. */
  readonly piDamping?: boolean;
  /** Rows of a convolution's factors: `"expand"`, one for each position, or `"reduce"`, one for each sample; default `"expand"`. */
  readonly convolution?: ConvolutionRows;
}

/** K-FAC [Martens15]; Monte-Carlo Fisher, η = 0.1, λ = 0.003 by default. */
export function kfac(options: KfacOptions = {}): Optimizer {
  const { decay = 0.95, refreshEvery = 1, statisticsEvery = 1, piDamping = true, form = "inverse" } = options;
  const { convolution = "expand" } = options;
  const structure = kfacStructure({ decay, refreshEvery, statisticsEvery, piDamping, form, convolution });
  const defaults = { fisher: "monte-carlo", learningRate: 0.1, damping: 0.003 } as const;
  return naturalGradient("kfac", structure, options, defaults);
}

export interface EkfacOptions extends Omit<NaturalOptions, "solver"> {
  /** Bound of ε in the moving averages of factors and scale, in [0, 1); default 0.95. */
  readonly decay?: number;
  /** Steps between updates of the scale and of the factors, a divisor of `refreshEvery`, which is the basis's; default 1. */
  readonly scaleEvery?: number;
  /** As in {@link KfacOptions}; the scale is that of the samples' own gradients in either case. */
  readonly convolution?: ConvolutionRows;
}

/** EKFAC [George18]; Monte-Carlo Fisher, η = 0.03, λ = 0.003 by default. */
export function ekfac(options: EkfacOptions = {}): Optimizer {
  const { decay = 0.95, refreshEvery = 1, scaleEvery = 1, convolution = "expand" } = options;
  const structure = ekfacStructure({ decay, refreshEvery, statisticsEvery: scaleEvery, convolution });
  const defaults = { fisher: "monte-carlo", learningRate: 0.03, damping: 0.003 } as const;
  return naturalGradient("ekfac", structure, options, defaults);
}

/** What methods take that solve by conjugate gradients on products with the whole matrix. */
export interface MatrixFreeMethodOptions
  extends Omit<NaturalOptions, "solver" | "fisher">,
    ConjugateGradientOptions {}

export interface HessianFreeOptions extends MatrixFreeMethodOptions {
  /** `"diagonal"`: (diag F + λ)^¾ of the exact Fisher matrix, which takes its score rows; default `"none"`. */
  readonly preconditioner?: "diagonal" | "none";
}

/**
 * Natural gradient with the exact Fisher matrix by truncated conjugate gradients [Martens10; Johnson17 §6]: products
 * with vectors, no score matrix; η = 0.3, λ = 0.01 by default.
 */
export function hessianFree(options: HessianFreeOptions = {}): Optimizer {
  const { iterations, tolerance, relativeProgress, warmStart, preconditioner = "none" } = options;
  const solve = { iterations, tolerance, relativeProgress, warmStart };
  checkConjugateGradient(solve);
  requireOption(
    preconditioner === "diagonal" || preconditioner === "none",
    "preconditioner",
    preconditioner,
    "diagonal | none",
  );
  const structure = matrixFreeStructure("matrix-free", "kl", { ...solve, preconditioner });
  const defaults = { fisher: "exact", learningRate: 0.3, damping: 0.01 } as const;
  return naturalGradient("hessianFree", structure, options, defaults);
}

export interface CustomMetricOptions extends MatrixFreeMethodOptions {
  /** The metric on the outputs; default `"euclidean"`, the Gauss-Newton matrix. */
  readonly metric?: OutputMetric;
}

/**
 * Steepest descent in the metric that a divergence of the outputs induces [Johnson17 §C], by conjugate gradients;
 * η = 0.3, λ = 0.01 by default.
 */
export function customMetric(options: CustomMetricOptions = {}): Optimizer {
  const { iterations, tolerance, relativeProgress, warmStart, metric = "euclidean" } = options;
  const solve = { iterations, tolerance, relativeProgress, warmStart };
  checkConjugateGradient(solve);
  checkOutputMetric(metric);
  const defaults = { fisher: "exact", learningRate: 0.3, damping: 0.01 } as const;
  return naturalGradient(
    "customMetric",
    matrixFreeStructure("custom metric", metric, solve),
    options,
    defaults,
  );
}
