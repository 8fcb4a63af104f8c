/** The arrays that a plan's programs read and write, by the names that they have there. */
import type { CurvatureBlock, SlotArrays, SlotSpec } from "../../curvature/block.ts";
import type { Workspace } from "../../curvature/workspace.ts";
import type { LayerScores } from "../../fisher/index.ts";
import { allocate, bytesPerElement, sizeOf, type TypedArray } from "../../tensor.ts";
import type { Problem } from "../optimizer.ts";
import { allocateSpec, type BatchArrays, batchArrays, type TracedBatch } from "../program/traced-batch.ts";
import { QUADRATIC_MODEL_RESULTS } from "../step-rules/quadratic-model.ts";
import { factorName, gradientName, slotName } from "./directions.ts";
import type { Draw } from "./traced-blocks.ts";

/** What needs arrays. */
export interface PlanTensors {
  readonly traced: TracedBatch;
  readonly drawn: readonly Draw[];
  readonly blocks: readonly CurvatureBlock[];
  /** Factors of the gradient that refreshes keep. */
  readonly factors: readonly LayerScores[];
  /** Parameters whose gradient refreshes keep, by full name. */
  readonly gradients: readonly string[];
}

export interface PlanArrays {
  readonly batch: BatchArrays;
  /** Noise, or the given targets, of each draw. */
  readonly draws: readonly TypedArray[];
  /** Of each block. */
  readonly slots: readonly SlotArrays[];
  /** Scalars that programs write. */
  readonly results: Readonly<Record<string, TypedArray>>;
  /** All of them. */
  readonly named: Record<string, TypedArray>;
}

export function allocatePlan({ model, dtype }: Problem, tensors: PlanTensors): PlanArrays {
  const batch = batchArrays(tensors.traced);
  const draws = tensors.drawn.map(({ source }) => allocateSpec(source));
  const slots = tensors.blocks.map(allocateSlots);
  const scalarNames = ["loss", ...QUADRATIC_MODEL_RESULTS];
  const results = Object.fromEntries(scalarNames.map((name) => [name, allocate(dtype, 1)]));
  const named: Record<string, TypedArray> = { ...batch, ...results };
  tensors.drawn.forEach(({ name }, k) => {
    named[name] = draws[k];
  });
  slots.forEach((arrays, b) => {
    for (const [name, array] of Object.entries(arrays)) named[slotName(b, name)] = array;
  });
  for (const { layer, inputs, deltas } of tensors.factors) {
    named[factorName(layer, "inputs")] = allocateSpec(inputs);
    named[factorName(layer, "deltas")] = allocateSpec(deltas);
  }
  for (const name of tensors.gradients) {
    named[gradientName(name)] = allocate(dtype, sizeOf(model.parameters.get(name)!.shape));
  }
  return { batch, draws, slots, results, named };
}

function allocateSlots({ statistics, refreshed }: CurvatureBlock): SlotArrays {
  const specs = Object.entries({ ...statistics, ...refreshed });
  return Object.fromEntries(specs.map(([name, spec]) => [name, allocateSpec(spec)]));
}

/** What refreshes take on the host: what blocks report beside their slots and averages, and what they borrow of one another. */
export function hostBytes(blocks: readonly CurvatureBlock[]): number {
  const own = blocks.reduce((total, block) => total + unslottedBytes(block), 0);
  const byWorkspace = new Map<Workspace, number[]>();
  for (const { borrowed } of blocks) {
    if (!borrowed) continue;
    const { workspace, bytes } = borrowed;
    byWorkspace.set(workspace, [...(byWorkspace.get(workspace) ?? []), ...bytes]);
  }
  return [...byWorkspace].reduce((total, [workspace, bytes]) => total + workspace.bytesFor(bytes), own);
}

/** What is in a block's report beside its slots and averages. */
function unslottedBytes({
  report,
  statistics,
  refreshed,
  averages = {},
  settled,
  evolving = {},
}: CurvatureBlock): number {
  const bytes = (specs: Readonly<Record<string, SlotSpec>>) =>
    Object.values(specs).reduce(
      (total, { shape, dtype }) => total + sizeOf(shape) * bytesPerElement(dtype),
      0,
    );
  const slots = bytes(statistics) + bytes(refreshed);
  const buffered = bytes(averages) + bytes(settled?.specs ?? {}) + bytes(evolving);
  return Math.max(0, report.memoryBytes - slots - 2 * buffered);
}

/** Names of the slots that a checkpoint holds: all where later steps read them, else what outlives a refresh. */
export function savedSlots(
  { statistics, refreshed, memory = [] }: CurvatureBlock,
  stale: boolean,
): readonly string[] {
  return stale ? [...Object.keys(statistics), ...Object.keys(refreshed)] : memory;
}
