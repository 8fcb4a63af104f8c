/** The full Fisher matrix of a batch at a trainer's parameters. */
import { linearScores } from "../curvature/images.ts";
import { fisherMatrix } from "../curvature/parameter-space.ts";
import { requireOption, UsageError } from "../errors.ts";
import { type FisherName, type FisherOption, parseFisher, traceScores } from "../fisher/index.ts";
import { input } from "../graph/index.ts";
import { formatBytes } from "../memory.ts";
import type { Batch, DirectionOptions, Problem } from "../optimizers/optimizer.ts";
import { BatchFunction } from "../optimizers/program/batch-function.ts";
import type { DoubleBuffer } from "../optimizers/program/double-buffer.ts";
import { sizeOf, type Tensor } from "../tensor.ts";

/**
 * (P, P), parameters layer by layer and row-major in [W b].
 *
 * @param options `sampledTargets` are the draws of the Monte-Carlo Fisher, as many as there are
 * @throws UsageError with the estimate when it would exceed the memory limit
 */
export async function fisherOfBatch(
  problem: Problem,
  state: DoubleBuffer,
  batch: Batch,
  option: FisherOption,
  { sampledTargets = [] }: DirectionOptions,
): Promise<Tensor> {
  const { model, likelihood, memoryLimit } = problem;
  const fisher = { ...parseFisher(option), draws: sampledTargets.length };
  const rows =
    batch.inputs.shape[0] * Math.max(1, fisher.draws, fisher.type === "exact" ? model.outputShape[0] : 1);
  const count = [...model.parameters.values()].reduce((total, { shape }) => total + sizeOf(shape), 0);
  const bytes = 8 * count * (count + rows);
  if (bytes > memoryLimit) {
    throw new UsageError(
      `the Fisher matrix of ${count} parameters needs ${formatBytes(bytes)}, the limit is ${formatBytes(memoryLimit)}`,
    );
  }
  requireDraws(fisher.type, sampledTargets);
  const drawn = sampledTargets.map((_, k) => `sampled/${k}`);
  const trace = new BatchFunction(
    problem,
    state,
    ({ forward, targets, samples }) => {
      const nodes = drawn.map((name) => input(name, targets.shape, targets.dtype));
      const scores = traceScores(forward, likelihood, targets, fisher, nodes);
      return { fisher: fisherMatrix(linearScores(scores, "samples").scores.layers, samples) };
    },
    new Map(drawn.map((name, k) => [name, sampledTargets[k]])),
  );
  try {
    return (await trace.call(batch)).fisher;
  } finally {
    trace.dispose();
  }
}

/** @throws UsageError where draws are given to another Fisher than Monte-Carlo's, or none to this one */
export function requireDraws(type: FisherName, sampledTargets: readonly Tensor[]): void {
  requireOption(
    sampledTargets.length > 0 === (type === "monte-carlo"),
    "sampledTargets",
    `${sampledTargets.length} draws`,
    "given for the monte-carlo Fisher and for no other",
  );
}
