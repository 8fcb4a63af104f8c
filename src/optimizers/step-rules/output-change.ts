/**
 * What a small step d does to the outputs, and what the quadratic model of the loss makes of it.
 *
 *   gᵀd = (1/N) Σ_n ⟨∂ℓ_n/∂f_n, (J d)_n⟩,   dᵀFe = (1/N) Σ_n ⟨(J d)_n, F_out (J e)_n⟩      [Martens15 App. C]
 *
 * F is the exact Fisher matrix of the batch with all layers coupled, whatever Fisher type and structure the direction came
 * from: ½ dᵀFd is the divergence that d causes, to second order. Each d costs one Jacobian-vector product J d (N, C),
 * everything else is of the size of the outputs; neither the gradient nor any score is formed.
 */
import { outputMetricProduct } from "../../curvature/output-metric.ts";
import { jvp, multiply, type SymbolicTensor, sum } from "../../graph/index.ts";
import type { Directions } from "../natural/directions.ts";
import type { Problem } from "../optimizer.ts";
import type { TracedBatch } from "../program/traced-batch.ts";

/** J d, (N, C): how the outputs change along d, given for every parameter. */
export function outputChange({ forward, parameters }: TracedBatch, d: Directions): SymbolicTensor {
  const names = [...parameters.keys()];
  const tangents = names.map((name) => d.get(name)!);
  return jvp([forward.outputs], [...parameters.values()], tangents)[0];
}

/** gᵀd, a scalar, from J d. */
export function slopeAlong(
  { likelihood }: Problem,
  { forward, targets, samples }: TracedBatch,
  change: SymbolicTensor,
): SymbolicTensor {
  const product = multiply(likelihood.outputGradient(forward.outputs, targets), change);
  return multiply(sum(product), 1 / samples);
}

/** dᵀFe, a scalar, from J d and J e. */
export function curvatureBetween(
  { likelihood }: Problem,
  { forward, targets, samples }: TracedBatch,
  change: SymbolicTensor,
  other: SymbolicTensor = change,
): SymbolicTensor {
  const weighted = outputMetricProduct("kl", { likelihood, targets }, forward.outputs, other);
  return multiply(sum(multiply(change, weighted)), 1 / samples);
}
