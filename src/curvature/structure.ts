/** A structure of the Fisher approximation: how score matrices become blocks. */
import type { Scores } from "../fisher/index.ts";
import type { CurvatureBlock } from "./block.ts";
import type { SolverOption } from "./solver.ts";

export interface StructureContext {
  readonly solver: SolverOption;
  /** Bytes that one block may take. */
  readonly memoryLimit: number;
  /** Whether directions of later batches will be asked for. */
  readonly stale: boolean;
  /** The damping that training starts with. */
  readonly damping: number;
}

export interface Structure {
  readonly name: string;
  /** The blocks of a batch's traced scores. */
  blocks(scores: Scores, context: StructureContext): CurvatureBlock[];
}
