/** What is seen from the parameters that a step proposes, on the batch of that step. */
import type { CurvatureBlock } from "../curvature/block.ts";
import { type FisherType, traceLoss, traceScores } from "../fisher/index.ts";
import type { NamedOutputs, SymbolicTensor } from "../graph/index.ts";
import type { Forward } from "../nn/index.ts";
import { slotName } from "./directions.ts";
import type { Problem } from "./optimizer.ts";
import { PROPOSED } from "./step-program.ts";
import { parameterInput, type TracedBatch, traceBatch } from "./traced-batch.ts";

/** The forward pass and the loss L(θ'). */
export function traceProposed(
  problem: Problem,
  { samples, targets }: TracedBatch,
): { readonly forward: Forward; readonly loss: SymbolicTensor } {
  const { forward } = traceBatch(problem, samples, (name) => PROPOSED + parameterInput(name));
  return { forward, loss: traceLoss(forward, problem.likelihood, targets) };
}

/** The slots of all blocks that learn from steps. */
export function traceObservation(
  problem: Problem,
  traced: TracedBatch,
  fisher: FisherType,
  sampledTargets: readonly SymbolicTensor[],
  blocks: readonly CurvatureBlock[],
): NamedOutputs {
  const { forward } = traceProposed(problem, traced);
  const { layers } = traceScores(forward, problem.likelihood, traced.targets, fisher, sampledTargets);
  const scores = new Map(layers.map((layer) => [layer.weight, layer]));
  const outputs: Record<string, SymbolicTensor> = {};
  blocks.forEach(({ observation, layers: own }, b) => {
    const observed = observation?.statistics(own.map(({ weight }) => scores.get(weight)!)) ?? {};
    for (const [name, node] of Object.entries(observed)) outputs[slotName(b, name)] = node;
  });
  return outputs;
}
