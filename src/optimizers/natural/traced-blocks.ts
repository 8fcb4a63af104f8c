/** The blocks of a batch's scores, at targets that are the batch's own, drawn from the model or given. */
import type { CurvatureBlock, SlotSpec } from "../../curvature/block.ts";
import { linearScores } from "../../curvature/images.ts";
import { solverName } from "../../curvature/solver.ts";
import type { Structure, StructureContext } from "../../curvature/structure.ts";
import { unitRowsBlock } from "../../curvature/unit-rows.ts";
import {
  chooseForms,
  countForms,
  describeForm,
  type GramForm,
  hasPatches,
  type ImageForm,
  type TracedScores,
  traceScores,
  unitScores,
} from "../../fisher/index.ts";
import { input, multiply, type SymbolicTensor } from "../../graph/index.ts";
import type { Problem } from "../optimizer.ts";
import { type TracedBatch, traceBatch } from "../program/traced-batch.ts";
import type { Directions } from "./directions.ts";
import type { NaturalSettings } from "./natural-method.ts";

/** Part of the memory limit that score matrices of convolutions may keep. */
const CURVATURE_SHARE = 0.5;

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
  return { traced, drawn, scores, blocks: structureBlocks(structure, scores, context) };
}

/** Image layers reach a structure as linear ones, by whichever way it takes them. */
function structureBlocks(
  structure: Structure,
  scores: TracedScores,
  context: StructureContext,
): CurvatureBlock[] {
  const { images = "samples", unitBlock } = structure;
  if (structure.networkBlocks) return structure.networkBlocks(scores, context);
  if (images === "positions" || images === "means" || unitBlock)
    return layerBlocks(structure, scores, context);
  const forms = images === "cheapest" ? cheapestForms(scores, context) : undefined;
  const linear = linearScores(scores, forms ?? (images as ImageForm));
  const carried = context.carried && linear.packed(context.carried);
  const blocks = structure.blocks(linear.scores, { ...context, carried }).map(linear.restored);
  return forms ? blocks.map((block) => withForms(block, scores, forms)) : blocks;
}

/** Forms of the convolutions, for sample space and conjugate gradients; elsewhere S is needed as it is. */
function cheapestForms(
  { layers }: TracedScores,
  { solver, memoryLimit }: StructureContext,
): Map<string, GramForm> {
  if (solverName(solver) === "dense") return new Map();
  return chooseForms(
    layers.filter((layer) => layer.kind === "convolution"),
    CURVATURE_SHARE * memoryLimit,
  );
}

/** The block with the forms of its convolutions in the report: one in full, several by their number. */
function withForms(
  block: CurvatureBlock,
  { layers }: TracedScores,
  forms: ReadonlyMap<string, GramForm>,
): CurvatureBlock {
  const own = layers
    .filter((layer) => layer.kind === "convolution")
    .filter(({ layer }) => forms.has(layer) && block.layers.some((other) => other.layer === layer));
  if (own.length === 0) return block;
  const note =
    own.length === 1
      ? describeForm(forms.get(own[0].layer)!, own[0])
      : countForms(own.map(({ layer }) => forms.get(layer)!));
  return { ...block, report: { ...block.report, note } };
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
    const form = structure.images === "means" ? "means" : "positions";
    const linear = linearScores({ ...scores, layers: [layer] }, form);
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
