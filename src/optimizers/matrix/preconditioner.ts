/**
 * What becomes of one parameter under a method that preconditions its gradient: state of any shape, traced formulas, and what the
 * host computes of the state now and then.
 */
import type { SlotArrays, SlotSpec, SlotSymbols } from "../../curvature/block.ts";
import type { CurvatureRow } from "../../curvature/report.ts";
import { type SymbolicTensor, sum } from "../../graph/index.ts";
import { bytesPerElement, type FloatDType, sizeOf } from "../../tensor.ts";
import type { UpdateRule } from "../first-order/rule.ts";

/** A parameter of the model, as a method is asked to precondition it. */
export interface ParameterPlace {
  /** Full name, `"0.weight"`. */
  readonly name: string;
  /** One or two axes: a convolution's filters are rows, see {@link matrixShape}. */
  readonly shape: readonly number[];
  readonly dtype: FloatDType;
}

export interface GradientInputs {
  /** Gradient of the batch's mean loss. */
  readonly gradient: SymbolicTensor;
  /** The state before the step, by name. */
  readonly state: SlotSymbols;
}

export interface PreconditionInputs extends GradientInputs {
  readonly parameter: SymbolicTensor;
  /** What the host wrote, and what `settle` made of it. */
  readonly slots: SlotSymbols;
  /** Numbers that the host computes for every step, by name. */
  readonly scalars: SlotSymbols;
}

export interface PreconditionResult {
  /** What is subtracted from the parameter. */
  readonly step: SymbolicTensor;
  /** Next values of the state that is not among the statistics. */
  readonly state: SlotSymbols;
  /** A scalar that is finite as long as the state can go on, where the step does not show it. */
  readonly guard?: SymbolicTensor;
}

export interface Preconditioner {
  readonly report: CurvatureRow;
  /** Tensors that every step replaces and a rejected one leaves alone; zero at first. */
  readonly state: Readonly<Record<string, SlotSpec>>;
  /** Next values of those that the gradient alone moves; a refresh reads them. */
  statistics?(inputs: GradientInputs): SlotSymbols;
  /** θ − θ' and the rest of the state. */
  update(inputs: PreconditionInputs): PreconditionResult;
  /** The preconditioned gradient, where a parameter has more than a rule for each of its elements. */
  direction?(gradient: SymbolicTensor, slots: SlotSymbols): SymbolicTensor;
  readonly refresh?: HostRefresh;
}

/** What the host computes from a parameter's statistics. */
export interface HostRefresh {
  /** Arrays that live from one refresh to the next; those of `memory` are in checkpoints. */
  readonly slots: Readonly<Record<string, SlotSpec>>;
  readonly memory: readonly string[];
  /** Slots that `run` reads, traced from the next statistics and the slots before it. */
  prepare?(statistics: SlotSymbols, slots: SlotSymbols): SlotSymbols;
  /**
   * Writes slots. It may move what is in `state`, which belongs to the step that is being taken.
   *
   * @param step steps taken before this one
   * @returns why it could not, in words; the slots are then not read before another refresh
   */
  run(state: SlotArrays, slots: SlotArrays, step: number): Promise<string | undefined>;
  /** Slots traced from what `run` wrote. */
  settle?(slots: SlotSymbols): SlotSymbols;
}

/** A parameter updated element by element, as a first-order method does. */
export function elementwise(
  rule: UpdateRule,
  name: string,
  { shape, dtype, ...place }: ParameterPlace,
): Preconditioner {
  const size = sizeOf(shape);
  return {
    report: {
      parameters: [place.name],
      structure: "diagonal",
      solver: name,
      dimension: 1,
      memoryBytes: rule.slots.length * 2 * size * bytesPerElement(dtype),
    },
    state: Object.fromEntries(rule.slots.map((slot) => [slot, { shape, dtype }])),
    update({ parameter, gradient, state, scalars }) {
      const { step, slots } = rule.update({ parameter, gradient, slots: state, scalars });
      return { step, state: slots, ...(rule.divisor && { guard: sum(slots[rule.divisor]) }) };
    },
  };
}

/** The shape that a parameter is preconditioned in: filters (O, C, k_h, k_w) as the rows of a matrix, all else as it is. */
export function matrixShape(shape: readonly number[]): readonly number[] {
  return shape.length > 2 ? [shape[0], sizeOf(shape.slice(1))] : shape;
}
