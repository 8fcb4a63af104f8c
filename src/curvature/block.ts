/**
 * A block of the approximate Fisher matrix: one layer, or several that are solved together.
 *
 * A block lives in three phases. *Statistics* are traced into the program that runs at a refresh; each becomes a slot,
 * an array that stays until the next refresh. *Refresh* runs on the host in float64 and writes further slots. The
 * *direction* (F̃ + λI)⁻¹g is traced again and reads the slots: `fresh` on the batch of the refresh itself, `stale` on
 * later batches, from their gradient.
 *
 * *Moving averages* go on between refreshes: X ← εX + (1 − ε)X_new, traced into the program of every step that takes
 * statistics, and taken back with the step when it is rejected. ε is the structure's.
 */

import type { LayerScores, LayerVector } from "../fisher/index.ts";
import type { SymbolicTensor } from "../graph/index.ts";
import type { DType, TypedArray } from "../tensor.ts";
import type { CurvatureRow } from "./report.ts";
import type { Workspace } from "./workspace.ts";

/** Shape and dtype of a slot. */
export interface SlotSpec {
  readonly shape: readonly number[];
  readonly dtype: DType;
}

export type SlotArrays = Readonly<Record<string, TypedArray>>;
export type SlotSymbols = Readonly<Record<string, SymbolicTensor>>;

export interface RefreshRequest {
  readonly damping: number;
  /** Whether the fresh direction will be read. */
  readonly fresh: boolean;
  /** Whether stale directions will be read. */
  readonly stale: boolean;
  /** The block's moving averages. */
  readonly averages: AverageArrays;
}

/** The two sides of a block's moving averages, by name. */
export interface AverageArrays {
  /** As they were before the step. */
  readonly current: SlotArrays;
  /** With the batch of the step. */
  readonly next: SlotArrays;
}

/** How a refresh ended; never an exception, never NaN in a slot. */
export interface RefreshOutcome {
  /** The damping used: the one asked for, or a multiple of it where the factorization failed. */
  readonly damping: number;
  /** Factorizations that failed before one succeeded. */
  readonly retries: number;
  /** What the user should know of a direction that is there, in words. */
  readonly note?: string;
  /** Why there is no direction, in words. */
  readonly failure?: string;
}

/** A block whose system is solved by programs that replace the same tensors again and again, driven by the host. */
export interface IterativeSolve {
  /** The block's gradient as the flat slot `gradient`, traced on every batch. */
  flatten(gradient: readonly LayerVector[]): SymbolicTensor;
  /** The tensors that iterations replace. */
  readonly iterates: Readonly<Record<string, SlotSpec>>;
  /** Their first values, traced from the slots. */
  start(slots: SlotSymbols): SlotSymbols;
  /** Their next values. */
  next(iterates: SlotSymbols, slots: SlotSymbols): SlotSymbols;
  /** Reads the slot `gradient` and writes the slot `solution`. */
  solve(iterations: Iterations, slots: SlotArrays, damping: number): Promise<RefreshOutcome>;
}

/** The programs of an {@link IterativeSolve} on two sets of its iterates: one is current, the other is written. */
export interface Iterations {
  start(): void | Promise<void>;
  next(): void | Promise<void>;
  /** Makes what was written last the current set. */
  accept(): void;
  readonly current: SlotArrays;
  readonly proposed: SlotArrays;
}

/** What a block learns of a step: the batch of the refresh once more, at the parameters that the step proposes. */
export interface StepObservation {
  /** Traced from the layers' scores there; every entry is written to the slot of its name among `refreshed`. */
  statistics(proposed: readonly LayerScores[]): SlotSymbols;
  /** The next values of what is `evolving`, traced, from the slots of the refresh, the current values and the averages with its batch. */
  evolve?(slots: SlotSymbols, averages: SlotSymbols): SlotSymbols;
  /** Writes `memory` slots, on the host; run for accepted steps only. In words what the user should know. */
  learn(slots: SlotArrays): string | undefined;
}

export interface CurvatureBlock {
  readonly report: CurvatureRow;
  /** What a refresh borrows of memory that blocks share: bytes of each piece of work. */
  readonly borrowed?: { readonly workspace: Workspace; readonly bytes: readonly number[] };
  /** Full names of the parameters of each layer of the block. */
  readonly layers: readonly Pick<LayerScores, "layer" | "weight" | "bias">[];
  /** Traced at a refresh; every entry becomes a slot of its name. */
  readonly statistics: SlotSymbols;
  /** The batch's values X_new of moving averages: zero before the first, of shapes that do not depend on the batch's size. */
  readonly averages?: SlotSymbols;
  /**
   * Further moving averages, of values that only `refreshed` slots make: traced after the refresh, or with kept slots, and
   * read by the direction of the same step. A refresh may write the current ones, as it does when they begin anew.
   */
  readonly settled?: {
    readonly specs: Readonly<Record<string, SlotSpec>>;
    /** X_new from statistics and refreshed slots. */
    trace(slots: SlotSymbols): SlotSymbols;
  };
  /**
   * Further tensors of the averages' double buffer, which the step's observation replaces: see {@link StepObservation.evolve}. A
   * refresh may write the current ones. Zero at first.
   */
  readonly evolving?: Readonly<Record<string, SlotSpec>>;
  /** In words why averages that a step proposes cannot be used, as when they overflow. */
  refusal?(next: SlotArrays): string | undefined;
  /** Slots that `refresh` writes. */
  readonly refreshed: Readonly<Record<string, SlotSpec>>;
  /**
   * Slots that outlive a refresh: histories, warm starts. They carry over between batch sizes, so their
   * shapes must not depend on it, and are in every checkpoint. Zero at first.
   */
  readonly memory?: readonly string[];
  refresh(slots: SlotArrays, request: RefreshRequest): RefreshOutcome | Promise<RefreshOutcome>;
  /** Direction on the refresh batch without its gradient, where the structure has such a form. */
  readonly fresh?: (slots: SlotSymbols) => LayerVector[];
  /**
   * Direction from a batch's gradient for the block's layers.
   *
   * @param factors the same gradient as g_l = (1/N) δ_lᵀ ā_l, where the batch's factors are at hand
   */
  stale(
    gradient: readonly LayerVector[],
    slots: SlotSymbols,
    factors?: readonly LayerScores[],
  ): LayerVector[];
  /** Whether `stale` works on the factors of the gradient alone: it is then given them, and no gradient, at a refresh. */
  readonly factored?: boolean;
  /** Present when the block learns from the step that a refresh led to. */
  readonly observation?: StepObservation;
  /** Present when every step solves anew; directions then read the slot `solution`. */
  readonly iterative?: IterativeSolve;
}
