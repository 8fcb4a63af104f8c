/** Chooses how an exactly represented block is solved. */
import { everyKeyOf, requireKnown, requireNumber, requireOption } from "../errors.ts";
import { type Scores, totalDimension } from "../fisher/index.ts";
import { requireMemory } from "../memory.ts";
import type { CurvatureBlock } from "./block.ts";
import { type ConjugateGradientOptions, conjugateGradientBlock } from "./conjugate-gradient.ts";
import { parameterSpaceBlock, parameterSpaceMemory } from "./parameter-space.ts";
import { sampleSpaceBlock, sampleSpaceMemory } from "./sample-space.ts";

export type SolverName = "auto" | "gram" | "dense" | "cg";

/**
 * `"gram"` solves in sample space, `"dense"` in parameter space, `"cg"` iteratively; `"auto"` takes the smaller of
 * sample and parameter space for each block.
 */
export type SolverOption = SolverName | ({ readonly type: "cg" } & ConjugateGradientOptions);

const conjugateGradientOptions = everyKeyOf<ConjugateGradientOptions>()([
  ...(["iterations", "tolerance", "relativeProgress", "warmStart"] as const),
]);

const names: readonly SolverName[] = ["auto", "gram", "dense", "cg"];

/** What structures take that know no iterative solver. */
export type DirectSolver = "auto" | "gram" | "dense";

/** The solver's name, whichever way it was given. */
export function solverName(option: SolverOption): SolverName {
  return typeof option === "string" ? option : option.type;
}

/** @throws UsageError for an unknown solver or an option of it out of range */
export function checkSolver(option: SolverOption): void {
  const isObject = typeof option === "object" && option !== null;
  const { type, ...rest } = isObject ? option : { type: option };
  requireOption(
    names.includes(type),
    "solver",
    isObject && type === undefined ? option : type,
    names.join(" | "),
  );
  requireKnown(rest, conjugateGradientOptions, "solver");
  checkConjugateGradient(rest, "solver ");
}

/** @throws UsageError, the option's name after `prefix`, when a number is out of range */
export function checkConjugateGradient(options: ConjugateGradientOptions, prefix = ""): void {
  const { iterations, tolerance, relativeProgress, warmStart } = options;
  for (const [name, value] of Object.entries({ iterations, tolerance, relativeProgress })) {
    if (value !== undefined) requireNumber(value > 0, prefix + name, value, "> 0");
  }
  if (warmStart !== undefined) {
    requireNumber(warmStart >= 0 && warmStart <= 1, `${prefix}warmStart`, warmStart, "0 to 1");
  }
}

/**
 * The block of some layers' scores, solved together.
 *
 * @param memoryLimit bytes that one block may take
 * @throws UsageError with the estimate when the block would take more
 */
export function solvedBlock(
  structure: string,
  scores: Scores,
  option: SolverOption,
  memoryLimit: number,
): CurvatureBlock {
  const { layers } = scores;
  const rows = layers[0].deltas.shape[0];
  const dimension = totalDimension(layers);
  const requested = solverName(option);
  const chosen = requested === "auto" ? (rows <= dimension ? "gram" : "dense") : requested;
  if (chosen === "cg") {
    return conjugateGradientBlock(
      structure,
      scores,
      typeof option === "string" ? {} : (option as ConjugateGradientOptions),
    );
  }
  const bytes = chosen === "gram" ? sampleSpaceMemory(layers) : parameterSpaceMemory(layers);
  const order = chosen === "gram" ? `${rows} score rows` : `${dimension} parameters`;
  const remedy = chosen === "gram" ? "a smaller batch or solver: cg" : "solver: gram or cg";
  requireMemory(`${structure} block of ${order}`, bytes, memoryLimit, remedy);
  return chosen === "gram" ? sampleSpaceBlock(structure, scores) : parameterSpaceBlock(structure, scores);
}
