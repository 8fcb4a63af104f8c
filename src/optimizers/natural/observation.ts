/** What is seen from the parameters that a step proposes, on the batch of that step. */
import type { CurvatureBlock } from "../../curvature/block.ts";
import { linearScores } from "../../curvature/images.ts";
import { traceLoss, traceScores } from "../../fisher/index.ts";
import {
  add,
  input,
  multiply,
  type NamedOutputs,
  type SymbolicTensor,
  subtract,
  sum,
} from "../../graph/index.ts";
import type { Forward } from "../../nn/index.ts";
import type { Problem } from "../optimizer.ts";
import { PROPOSED } from "../program/step-program.ts";
import { parameterInput, type TracedBatch, traceBatch } from "../program/traced-batch.ts";
import { slotName } from "./directions.ts";
import type { NaturalSettings } from "./natural-method.ts";

/** The forward pass and the loss L(θ'). */
export function traceProposed(
  problem: Problem,
  { samples, targets }: TracedBatch,
): { readonly forward: Forward; readonly loss: SymbolicTensor } {
  const { forward } = traceBatch(problem, samples, (name) => PROPOSED + parameterInput(name));
  return { forward, loss: traceLoss(forward, problem.likelihood, targets) };
}

/** The loss L(θ') and, with weight decay w, what the step adds to the penalty (w/2)‖θ‖². */
export function traceProposedLoss(
  problem: Problem,
  traced: TracedBatch,
  weightDecay: number,
): { readonly proposedLoss: SymbolicTensor; readonly penaltyChange?: SymbolicTensor } {
  const { loss: proposedLoss } = traceProposed(problem, traced);
  if (weightDecay === 0) return { proposedLoss };
  const after = new Map(
    [...traced.parameters].map(([name, { shape, dtype }]) => {
      return [name, input(PROPOSED + parameterInput(name), shape, dtype)] as const;
    }),
  );
  return { proposedLoss, penaltyChange: penaltyChange(traced.parameters, after, weightDecay) };
}

/** (w/2)(‖θ'‖² − ‖θ‖²) = (w/2) Σ ⟨θ' − θ, θ' + θ⟩. */
export function penaltyChange(
  before: ReadonlyMap<string, SymbolicTensor>,
  after: ReadonlyMap<string, SymbolicTensor>,
  weightDecay: number,
): SymbolicTensor {
  const terms = [...before].map(([name, node]) => {
    const other = after.get(name)!;
    return sum(multiply(subtract(other, node), add(other, node)));
  });
  return multiply(terms.reduce(add), weightDecay / 2);
}

/** The slots of all blocks that learn from steps. */
export function traceObservation(
  problem: Problem,
  traced: TracedBatch,
  { fisher, structure }: Pick<NaturalSettings, "fisher" | "structure">,
  sampledTargets: readonly SymbolicTensor[],
  blocks: readonly CurvatureBlock[],
): NamedOutputs {
  const { forward } = traceProposed(problem, traced);
  const proposed = traceScores(forward, problem.likelihood, traced.targets, fisher, sampledTargets);
  const { layers } = linearScores(
    proposed,
    structure.images === "positions" ? "positions" : "samples",
  ).scores;
  const scores = new Map(layers.map((layer) => [layer.weight, layer]));
  const outputs: Record<string, SymbolicTensor> = {};
  blocks.forEach(({ observation, layers: own }, b) => {
    const observed = observation?.statistics(own.map(({ weight }) => scores.get(weight)!)) ?? {};
    for (const [name, node] of Object.entries(observed)) outputs[slotName(b, name)] = node;
  });
  return outputs;
}
