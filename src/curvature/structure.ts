/** A structure of the Fisher approximation: how score matrices become blocks. */
import type { ImageForm, Scores, TracedScores, UnitScores } from "../fisher/index.ts";
import type { SymbolicTensor } from "../graph/index.ts";
import type { BuiltModel, Forward, Likelihood, Pass } from "../nn/index.ts";
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
  readonly network: TracedNetwork;
  /** μφ of the direction φ before, by full parameter name, for SPRING's momentum; only for structures that carry it. */
  readonly carried?: ReadonlyMap<string, SymbolicTensor>;
}

/** The batch as it was traced, for structures that trace the network once more. */
export interface TracedNetwork {
  readonly model: BuiltModel;
  readonly likelihood: Likelihood;
  /** (N, …inputShape). */
  readonly inputs: SymbolicTensor;
  readonly targets: SymbolicTensor;
  /** By full name. */
  readonly parameters: ReadonlyMap<string, SymbolicTensor>;
  readonly forward: Forward;
  /** Which pass it was, for tracing the same one again. */
  readonly pass: Pass;
}

/** When and how the moving averages of a structure's blocks are updated. */
export interface Averaging {
  /** Steps between updates; every refresh is one too. */
  readonly every: number;
  /** ε of the k-th update, k from 1. */
  decay(update: number): number;
}

export interface Structure {
  readonly name: string;
  /** Present when blocks have moving averages. */
  readonly averaging?: Averaging;
  /**
   * How convolutions are written for it as linear layers: `"cheapest"` for whichever form has all of S_l and costs least; default
   * `"samples"`.
   */
  readonly images?: ImageForm | "cheapest";
  /** The block of an image layer, for structures that treat its units one by one; otherwise image layers come as `images` says. */
  unitBlock?(
    layer: UnitScores,
    scores: Pick<Scores, "samples" | "residual">,
    context: StructureContext,
  ): CurvatureBlock;
  /** Whether blocks take `carried`; default false. */
  readonly carries?: boolean;
  /** Whether blocks have an `observation`, which looks at a step before it counts; default false. */
  readonly learns?: boolean;
  /** The blocks of a batch's traced scores. */
  blocks(scores: Scores, context: StructureContext): CurvatureBlock[];
  /** In place of `blocks` for structures that take all layers as they are, for they differentiate the network. */
  networkBlocks?(scores: TracedScores, context: StructureContext): CurvatureBlock[];
}
