/** Traces an update rule over all parameters, and what is reported of it. */

import type { SlotSpec } from "../../curvature/block.ts";
import {
  add,
  input,
  type NamedOutputs,
  type SymbolicTensor,
  squaredNorm,
  subtract,
  sum,
} from "../../graph/index.ts";
import { allocate, type TypedArray } from "../../tensor.ts";
import type { Problem } from "../optimizer.ts";
import type { DoubleBuffer } from "../program/double-buffer.ts";
import { NEXT } from "../program/step-program.ts";
import { bufferInput, parameterInput } from "../program/traced-batch.ts";
import type { UpdateResult, UpdateRule } from "./rule.ts";

/** Above this many parameters ‖θ' − θ‖² is computed by the program, below it on the host, where it is cheaper. */
const TRACED_NORM_SIZE = 20_000;

/** Tensors of a method's double buffer: parameters, running statistics, and the rule's state, `velocity` and the like. */
export function stateSpecs(
  { model, dtype }: Problem,
  { slots }: Pick<UpdateRule, "slots"> = { slots: [] },
): Map<string, SlotSpec> {
  const kinds = ["parameter", ...slots];
  const specs = kinds.flatMap((kind) =>
    [...model.parameters].map(([name, { shape }]) => [`${kind}/${name}`, { shape, dtype }] as const),
  );
  return new Map([...specs, ...bufferSpecs({ model, dtype })]);
}

/** Tensors of a method's double buffer that hold the model's running statistics. */
export function bufferSpecs({ model, dtype }: Pick<Problem, "model" | "dtype">): [string, SlotSpec][] {
  return [...model.buffers].map(([name, { shape }]) => [bufferInput(name), { shape, dtype }]);
}

/** Arrays of the scalars that an update reads and writes. */
export function updateArrays({ dtype }: Problem, rule: UpdateRule): Record<string, TypedArray> {
  const names = [...Object.keys(rule.scalars(0, 0)), "squaredStepNorm", "divisorSum"];
  return Object.fromEntries(names.map((name) => [name, allocate(dtype, 1)]));
}

/** What a rule makes of every parameter, by full name. */
export type Updates = ReadonlyMap<string, UpdateResult>;

/** Traces θ' and the rule's state for all parameters. */
export function traceUpdate(
  problem: Problem,
  rule: UpdateRule,
  directions: ReadonlyMap<string, SymbolicTensor>,
): NamedOutputs {
  return updateOutputs(problem, rule, traceSteps(problem, rule, directions));
}

/**
 * Traces the steps of all parameters.
 *
 * @param computed scalars of the rule that the program computes, beside those that the host writes
 */
export function traceSteps(
  { dtype, model }: Problem,
  rule: UpdateRule,
  directions: ReadonlyMap<string, SymbolicTensor>,
  computed: Readonly<Record<string, SymbolicTensor>> = {},
): Updates {
  const names = Object.keys(rule.scalars(0, 0));
  const written = Object.fromEntries(names.map((name) => [name, input(name, [], dtype)]));
  const scalars = { ...written, ...computed };
  return new Map(
    [...model.parameters].map(([name, { shape }]) => {
      const parameter = input(parameterInput(name), shape, dtype);
      const slots = Object.fromEntries(
        rule.slots.map((slot) => [slot, input(`${slot}/${name}`, shape, dtype)]),
      );
      return [name, rule.update({ parameter, gradient: directions.get(name)!, slots, scalars })] as const;
    }),
  );
}

/**
 * The proposed parameters and state that steps lead to, and what is reported of them.
 *
 * @param measured whether the step's length is, which takes a pass over it
 */
export function updateOutputs(
  problem: Problem,
  rule: UpdateRule,
  updates: Updates,
  measured = tracesNorm(problem),
): NamedOutputs {
  const { dtype, model } = problem;
  const outputs: Record<string, SymbolicTensor> = {};
  const squares: SymbolicTensor[] = [];
  for (const [name, { shape }] of model.parameters) {
    const { step, slots } = updates.get(name)!;
    outputs[NEXT + parameterInput(name)] = subtract(input(parameterInput(name), shape, dtype), step);
    for (const slot of rule.slots) outputs[`${NEXT}${slot}/${name}`] = slots[slot];
    squares.push(squaredNorm(step));
  }
  if (!measured) return outputs;
  outputs.squaredStepNorm = squares.reduce(add);
  if (rule.divisor) {
    const divisors = [...model.parameters.keys()].map((name) => outputs[`${NEXT}${rule.divisor}/${name}`]);
    outputs.divisorSum = divisors.map((divisor) => sum(divisor)).reduce(add);
  }
  return outputs;
}

/** Writes the scalars of a step. */
export function loadScalars(
  arrays: Readonly<Record<string, TypedArray>>,
  rule: UpdateRule,
  step: number,
  learningRate: number,
): void {
  for (const [name, value] of Object.entries(rule.scalars(step, learningRate))) arrays[name][0] = value;
}

/** ‖θ' − θ‖₂ of the proposed parameters; NaN or infinite exactly when one of them is. */
export function stepNorm(
  problem: Problem,
  state: DoubleBuffer,
  arrays: Readonly<Record<string, TypedArray>>,
): number {
  if (tracesNorm(problem)) return Math.sqrt(arrays.squaredStepNorm[0]);
  let total = 0;
  const { current, proposed } = state;
  for (const name of problem.model.parameters.keys()) {
    const before = current[parameterInput(name)];
    const after = proposed[parameterInput(name)];
    for (let k = 0; k < before.length; k++) {
      const difference = after[k] - before[k];
      total += difference * difference;
    }
  }
  return Math.sqrt(total);
}

/** Whether the rule's divisor, which no step shows, stayed finite. */
export function divisorIsFinite(
  problem: Problem,
  rule: UpdateRule,
  state: DoubleBuffer,
  arrays: Readonly<Record<string, TypedArray>>,
): boolean {
  if (!rule.divisor) return true;
  if (tracesNorm(problem)) return Number.isFinite(arrays.divisorSum[0]);
  let total = 0;
  for (const name of problem.model.parameters.keys()) {
    const divisor = state.proposed[`${rule.divisor}/${name}`];
    for (let k = 0; k < divisor.length; k++) total += divisor[k];
  }
  return Number.isFinite(total);
}

function tracesNorm({ model }: Problem): boolean {
  let size = 0;
  for (const { shape } of model.parameters.values()) size += shape.reduce((a, b) => a * b, 1);
  return size > TRACED_NORM_SIZE;
}
