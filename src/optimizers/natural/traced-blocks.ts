/** The blocks of a batch's scores, at targets that are the batch's own, drawn from the model or given. */
import type { CurvatureBlock, SlotSpec } from "../../curvature/block.ts";
import { linearScores, requireLinear } from "../../curvature/images.ts";
import type { Structure, StructureContext } from "../../curvature/structure.ts";
import { unitRowsBlock } from "../../curvature/unit-rows.ts";
import { hasPatches, type TracedScores, traceScores, unitScores } from "../../fisher/index.ts";
import { input, multiply, type SymbolicTensor } from "../../graph/index.ts";
import type { Problem } from "../optimizer.ts";
import { type TracedBatch, traceBatch } from "../program/traced-batch.ts";
import type { Directions } from "./directions.ts";
import type { NaturalSettings } from "./natural-method.ts";

/** How the targets of the Monte-Carlo Fisher come about. */
export type Draws = "random" | "given";

/** Traces the scores of a batch and cuts them into the structure's blocks. */
export function traceBlocks(problem: Problem, settings: NaturalSettings, samples: number, draws: Draws) {
  const traced = traceBatch(problem, samples);
  const drawn = traceDraws(problem, settings.fisher.draws, traced, draws);
  const sampled = drawn.map(({ targets }) => targets);
  const { forward, targets } = traced;
  const { structure } = settings;
  const scores = traceScores(forward, problem.likelihood, targets, settings.fisher, sampled);
  const carried = settings.carry > 0 ? carriedDirections(problem, settings.carry) : undefined;
  const context: StructureContext = {
    solver: settings.solver,
    memoryLimit: problem.memoryLimit,
    stale: settings.refreshEvery > 1,
    damping: settings.damping.initial,
    carried,
    network: { ...traced, model: problem.model, likelihood: problem.likelihood },
  };
  return { traced, drawn, blocks: structureBlocks(structure, scores, context) };
}

/** Image layers reach a structure as linear ones, by whichever way it takes them. */
function structureBlocks(
  structure: Structure,
  scores: TracedScores,
  context: StructureContext,
): CurvatureBlock[] {
  const { images = "samples", name, unitBlock } = structure;
  if (images === "none") return structure.blocks(requireLinear(name, scores), context);
  if (images === "positions" || unitBlock) return layerBlocks(structure, scores, context);
  const linear = linearScores(scores, images);
  const carried = context.carried && linear.packed(context.carried);
  return structure.blocks(linear.scores, { ...context, carried }).map(linear.restored);
}

/** The blocks of a structure that takes layers one by one; exact blocks of the units where a layer has no common patches. */
function layerBlocks(
  structure: Structure,
  scores: TracedScores,
  context: StructureContext,
): CurvatureBlock[] {
  const byUnits = structure.unitBlock ?? unitRowsBlock;
  return scores.layers.flatMap((layer) => {
    if (layer.kind !== "linear" && (structure.unitBlock || !hasPatches(layer))) {
      return [byUnits(unitScores(layer), scores, context)];
    }
    const linear = linearScores({ ...scores, layers: [layer] }, "positions");
    return structure.blocks(linear.scores, context).map(linear.restored);
  });
}

/** Name under which the state holds the last direction of a parameter, for SPRING's momentum. */
export function previousDirectionName(parameter: string): string {
  return `previousDirection/${parameter}`;
}

/** Tensors of the state that SPRING's momentum adds. */
export function carriedSpecs({ model, dtype }: Problem): Map<string, SlotSpec> {
  return new Map(
    [...model.parameters].map(
      ([name, { shape }]) => [previousDirectionName(name), { shape, dtype }] as const,
    ),
  );
}

/** μφ of the direction φ before. */
function carriedDirections({ model, dtype }: Problem, momentum: number): Directions {
  return new Map(
    [...model.parameters].map(([name, { shape }]) => {
      return [name, multiply(input(previousDirectionName(name), shape, dtype), momentum)] as const;
    }),
  );
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
