/**
 * Metrics on the outputs of a network: what the distance of two outputs of the same sample is.
 *
 *   H_out(f) = ∂²D(f, f′)/∂f′² at f′ = f             [Johnson17 §C]
 *
 * The Kullback-Leibler divergence of the likelihood gives its output Fisher, ½‖f − f′‖² gives the identity, and with it
 * the Gauss-Newton matrix JᵀJ.
 *
 * Differs from the paper: it leaves the solver open, here it is that of `matrix-free.ts`.
 */
import { requireOption, UsageError } from "../errors.ts";
import { matmul, onesLike, reshape, type SymbolicTensor, stopGradient, vjp } from "../graph/index.ts";
import { formatShape, sameShape } from "../tensor.ts";
import type { TracedNetwork } from "./structure.ts";

/**
 * - `"kl"`: the likelihood's own divergence
 * - `"euclidean"`: ½‖f − f′‖²
 * - `divergence`: D(f, f′) of outputs (N, C), one number for each sample, (N); with a minimum at f′ = f
 * - `hessian`: H_out itself, (N, C, C), symmetric positive semidefinite
 */
export type OutputMetric =
  | "kl"
  | "euclidean"
  | { readonly divergence: (f: SymbolicTensor, other: SymbolicTensor) => SymbolicTensor }
  | { readonly hessian: (f: SymbolicTensor) => SymbolicTensor };

/** @throws UsageError when it is none of these */
export function checkOutputMetric(metric: OutputMetric): void {
  const given = typeof metric === "object" && metric !== null ? Object.values(metric) : [];
  const own = given.length === 1 && typeof given[0] === "function";
  const named = metric === "kl" || metric === "euclidean";
  const isMetric = named || (own && ("divergence" in metric || "hessian" in metric));
  requireOption(isMetric, "metric", metric, "kl | euclidean | { divergence } | { hessian }");
}

/**
 * H_out u for every sample, (N, C).
 *
 * @throws UsageError when the user's function returns another shape
 */
export function outputMetricProduct(
  metric: OutputMetric,
  { likelihood, targets }: Pick<TracedNetwork, "likelihood" | "targets">,
  f: SymbolicTensor,
  u: SymbolicTensor,
): SymbolicTensor {
  const [samples, outputs] = f.shape;
  if (metric === "euclidean") return u;
  if (metric === "kl") {
    // The Hessian of the loss does not depend on the targets: all likelihoods are exponential families in f.
    const [product] = vjp([likelihood.outputGradient(f, targets)], [u], [f]);
    return product;
  }
  if ("hessian" in metric) {
    const hessian = metric.hessian(f);
    checkShape("hessian", hessian, [samples, outputs, outputs]);
    return reshape(matmul(hessian, reshape(u, [samples, outputs, 1])), f.shape);
  }
  const other = stopGradient(f); // the same values, and a node of its own to differentiate by
  const divergence = metric.divergence(f, other);
  checkShape("divergence", divergence, [samples]);
  const [slope] = vjp([divergence], [onesLike(divergence)], [other]);
  const [product] = vjp([slope], [u], [other]);
  return product;
}

function checkShape(name: string, { shape }: SymbolicTensor, expected: readonly number[]): void {
  if (sameShape(shape, expected)) return;
  throw new UsageError(
    `invalid metric: ${name} returns shape ${formatShape(shape)} (must be ${formatShape(expected)})`,
  );
}
