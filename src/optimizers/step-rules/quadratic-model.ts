/**
 * What the loss did along a step, and what the quadratic model said it would do.
 *
 *   q(d) = gᵀd + ½ dᵀFd,   dᵀFd = (1/N) ‖Σ_l S_l d_l‖²      all layers coupled, whatever the structure is
 */
import { linearScores } from "../../curvature/images.ts";
import { type FisherType, scoreProduct, traceScores } from "../../fisher/index.ts";
import type { SymbolicTensor } from "../../graph/index.ts";
import { add, input, multiply, type NamedOutputs, squaredNorm, subtract, sum } from "../../graph/index.ts";
import { traceProposedLoss } from "../natural/observation.ts";
import type { Problem } from "../optimizer.ts";
import { PROPOSED } from "../program/step-program.ts";
import { parameterInput, type TracedBatch, traceNamedGradient } from "../program/traced-batch.ts";

/** Results of {@link traceQuadraticModel}: scalars; the change of the penalty is 0 without weight decay. */
export const QUADRATIC_MODEL_RESULTS = ["proposedLoss", "penaltyChange", "slope", "curvature"] as const;

/** Traces L(θ'), gᵀd and dᵀFd for d = θ' − θ, θ' the proposed parameters. */
export function traceQuadraticModel(
  problem: Problem,
  traced: TracedBatch,
  fisher: FisherType,
  sampledTargets: readonly SymbolicTensor[],
  weightDecay: number,
): NamedOutputs {
  const { likelihood, model, dtype } = problem;
  const step = new Map(
    [...model.parameters].map(([name, { shape }]) => {
      const after = input(PROPOSED + parameterInput(name), shape, dtype);
      return [name, subtract(after, traced.parameters.get(name)!)] as const;
    }),
  );
  const gradient = traceNamedGradient(likelihood, traced, { shared: true });
  const slope = [...step].map(([name, d]) => sum(multiply(d, gradient.get(name)!))).reduce(add);
  const scores = traceScores(traced.forward, likelihood, traced.targets, fisher, sampledTargets);
  const linear = linearScores(scores, "rows");
  const packed = linear.packed(step);
  const along = linear.scores.layers
    .map((layer) => {
      const bias = layer.bias === undefined ? undefined : packed.get(layer.bias);
      return scoreProduct(layer, { weight: packed.get(layer.weight)!, bias });
    })
    .reduce(add);
  return {
    ...traceProposedLoss(problem, traced, weightDecay),
    slope,
    curvature: multiply(squaredNorm(along), 1 / traced.samples),
  };
}
