/** An update rule: what becomes of a parameter, given a gradient or a natural-gradient direction. */
import type { SymbolicTensor } from "../../graph/index.ts";

export interface UpdateInputs {
  readonly parameter: SymbolicTensor;
  /** The gradient, or the preconditioned direction in its place; times η for a rule that is `scaled`. */
  readonly gradient: SymbolicTensor;
  /** Per-parameter state by name, of the parameter's shape. */
  readonly slots: Readonly<Record<string, SymbolicTensor>>;
  /** Numbers that the host computes for every step, by name. */
  readonly scalars: Readonly<Record<string, SymbolicTensor>>;
}

export interface UpdateResult {
  /** What is subtracted from the parameter. */
  readonly step: SymbolicTensor;
  readonly slots: Readonly<Record<string, SymbolicTensor>>;
}

/** The slot u of a rule u ← κu + g, θ ← θ − u. */
export interface Displacement {
  readonly slot: string;
  /** |κ|, given the scalars of the step. */
  carried(scalars: Readonly<Record<string, number>>): number;
}

export interface UpdateRule {
  /**
   * Whether the rule is linear in the gradient and takes η·gradient: a factor on the small end of the backward pass
   * costs nothing, one on every gradient costs a pass over all parameters.
   */
  readonly scaled: boolean;
  /** Names of the per-parameter state, which starts at zero. */
  readonly slots: readonly string[];
  /**
   * The slot that the step is divided by, if there is one. When a gradient's square overflows there, the step becomes 0
   * and would for ever: such an update is rejected.
   */
  readonly divisor?: string;
  /**
   * Where the new value of a slot is what is subtracted, and that is the gradient plus a multiple of the slot's old value: such a
   * step may be taken in place.
   */
  readonly displacement?: Displacement;
  /** Names and values of the scalars of a step, counted from 0. */
  scalars(step: number, learningRate: number): Readonly<Record<string, number>>;
  update(inputs: UpdateInputs): UpdateResult;
}
