/** The blocks of a batch's scores, at targets that are the batch's own, drawn from the model or given. */
import { traceScores } from "../fisher/index.ts";
import { input, type SymbolicTensor } from "../graph/index.ts";
import type { NaturalSettings } from "./natural-method.ts";
import type { Problem } from "./optimizer.ts";
import { type TracedBatch, traceBatch } from "./traced-batch.ts";

/** How the targets of the Monte-Carlo Fisher come about. */
export type Draws = "random" | "given";

/** Traces the scores of a batch and cuts them into the structure's blocks. */
export function traceBlocks(problem: Problem, settings: NaturalSettings, samples: number, draws: Draws) {
  const traced = traceBatch(problem, samples);
  const drawn = traceDraws(problem, settings.fisher.draws, traced, draws);
  const sampled = drawn.map(({ targets }) => targets);
  const { forward, targets } = traced;
  const scores = traceScores(forward, problem.likelihood, targets, settings.fisher, sampled);
  const blocks = settings.structure.blocks(scores, {
    solver: settings.solver,
    memoryLimit: problem.memoryLimit,
    stale: settings.refreshEvery > 1,
    damping: settings.damping.initial,
    network: { ...traced, model: problem.model, likelihood: problem.likelihood },
  });
  return { traced, drawn, blocks };
}

export interface Draw {
  readonly name: string;
  readonly source: SymbolicTensor;
  readonly targets: SymbolicTensor;
}

/** The targets of each Monte-Carlo draw: by noise from the model, or as given. */
function traceDraws(
  problem: Problem,
  count: number,
  { forward, targets, samples }: TracedBatch,
  draws: Draws,
): Draw[] {
  const { likelihood, dtype, model } = problem;
  return Array.from({ length: count }, (_, k) => {
    const name = `draw/${k}`;
    if (draws === "given") {
      const source = input(name, targets.shape, targets.dtype);
      return { name, source, targets: source };
    }
    const source = input(name, likelihood.noise(samples, model.outputShape[0]).shape, dtype);
    return { name, source, targets: likelihood.sample(forward.outputs, source) };
  });
}
