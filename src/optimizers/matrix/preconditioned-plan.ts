/**
 * The programs of a preconditioned method for one batch size.
 *
 * - `whole`: loss, gradient, statistics and update in one; what a refresh after it reads, where one follows
 * - `gather`: loss, gradient, statistics and what a refresh reads
 * - `apply`: what settles after the refresh, and the update from the gradient gathered
 * - `direction`: the same without the update
 */
import type { SlotArrays, SlotSymbols } from "../../curvature/block.ts";
import { traceLoss } from "../../fisher/index.ts";
import { add, input, reshape, type SymbolicTensor, squaredNorm, subtract, sum } from "../../graph/index.ts";
import { allocate, type NamedTensors, sizeOf, type TypedArray } from "../../tensor.ts";
import type { Problem } from "../optimizer.ts";
import type { DoubleBuffer } from "../program/double-buffer.ts";
import { NEXT, StepProgram } from "../program/step-program.ts";
import {
  type BatchArrays,
  batchArrays,
  parameterInput,
  type TracedBatch,
  traceBatch,
  traceBuffers,
  traceNamedGradient,
} from "../program/traced-batch.ts";
import { matrixShape, type Preconditioner } from "./preconditioner.ts";

/** A method's preconditioners by parameter, and the arrays that its programs share. */
export interface PlanContext {
  readonly problem: Problem;
  readonly preconditioners: ReadonlyMap<string, Preconditioner>;
  readonly state: DoubleBuffer;
  /** Slots that the host writes, by parameter. */
  readonly slots: ReadonlyMap<string, SlotArrays>;
  /** Numbers of the step, by name. */
  readonly scalars: Readonly<Record<string, TypedArray>>;
  /** Gradients between `gather` and `apply`, by parameter; shared by all batch sizes. */
  readonly gradients: ReadonlyMap<string, TypedArray>;
}

type Outputs = Record<string, SymbolicTensor>;

const RESULTS = ["loss", "squaredStepNorm", "guard"] as const;

export class PreconditionedPlan {
  readonly batch: BatchArrays;
  /** Scalars that programs write; `guard` is finite while the state is. */
  readonly results: Readonly<Record<(typeof RESULTS)[number], TypedArray>>;
  readonly #context: PlanContext;
  readonly #traced: TracedBatch;
  readonly #arrays: Record<string, TypedArray>;
  readonly #programs = new Map<string, Promise<StepProgram>>();

  constructor(context: PlanContext, samples: number) {
    const { problem, scalars, slots, gradients } = context;
    this.#context = context;
    this.#traced = traceBatch(problem, samples);
    this.batch = batchArrays(this.#traced);
    const results = RESULTS.map((name) => [name, allocate(problem.dtype, 1)] as const);
    this.results = Object.fromEntries(results) as Record<(typeof RESULTS)[number], TypedArray>;
    this.#arrays = { ...this.batch, ...scalars, ...this.results };
    for (const [parameter, arrays] of slots) {
      for (const [name, array] of Object.entries(arrays)) this.#arrays[slotName(parameter, name)] = array;
    }
    for (const [parameter, array] of gradients) this.#arrays[gradientName(parameter)] = array;
  }

  gather(): Promise<StepProgram> {
    return this.#program("gather", () => {
      const { loss, gradients } = this.#traceBatch();
      const outputs: Outputs = { loss, ...traceBuffers(this.#traced) };
      for (const [name, gradient] of gradients) outputs[gradientName(name)] = gradient;
      this.#traceStatistics(outputs, gradients, true);
      return outputs;
    });
  }

  apply(): Promise<StepProgram> {
    return this.#program("apply", () => {
      const outputs: Outputs = {};
      this.#traceUpdate(outputs, this.#gathered(), this.#traceSettled(outputs), []);
      return outputs;
    });
  }

  /** @param refreshing whether a refresh follows */
  whole(refreshing: boolean): Promise<StepProgram> {
    return this.#program(refreshing ? "whole, refreshing" : "whole", () => {
      const { loss, gradients } = this.#traceBatch();
      const outputs: Outputs = { loss, ...traceBuffers(this.#traced) };
      const statistics = this.#traceStatistics(outputs, gradients, refreshing);
      this.#traceUpdate(outputs, gradients, (name) => this.#slotInputs(name), statistics);
      return outputs;
    });
  }

  /** The program and the arrays that it writes the directions to. */
  async direction(): Promise<{ program: StepProgram; direction: NamedTensors }> {
    const { dtype, model } = this.#context.problem;
    const direction: NamedTensors = new Map();
    for (const [name, { shape }] of model.parameters) {
      direction.set(name, { shape, data: allocate(dtype, sizeOf(shape)) });
      this.#arrays[directionName(name)] = direction.get(name)!.data;
    }
    const program = await this.#program("direction", () => {
      const outputs: Outputs = {};
      const slots = this.#traceSettled(outputs);
      for (const [name, gradient] of this.#gathered()) {
        const preconditioner = this.#context.preconditioners.get(name)!;
        outputs[directionName(name)] = reshape(
          preconditioner.direction?.(gradient, slots(name)) ?? gradient,
          direction.get(name)!.shape,
        );
      }
      return outputs;
    });
    return { program, direction };
  }

  dispose(): void {
    for (const program of this.#programs.values()) {
      program.then(
        (compiled) => compiled.dispose(),
        () => {},
      );
    }
    this.#programs.clear();
  }

  #program(name: string, trace: () => Outputs): Promise<StepProgram> {
    const known = this.#programs.get(name);
    if (known) return known;
    const { problem, state } = this.#context;
    const compiled = StepProgram.compile(problem, trace(), [state], this.#arrays);
    this.#programs.set(name, compiled);
    return compiled;
  }

  #traceBatch(): { loss: SymbolicTensor; gradients: Map<string, SymbolicTensor> } {
    const { likelihood } = this.#context.problem;
    const { forward, targets } = this.#traced;
    return {
      loss: traceLoss(forward, likelihood, targets),
      gradients: asMatrices(traceNamedGradient(likelihood, this.#traced)),
    };
  }

  /** Adds the next statistics, and what a refresh reads where one follows; returns the statistics. */
  #traceStatistics(
    outputs: Outputs,
    gradients: ReadonlyMap<string, SymbolicTensor>,
    refreshing: boolean,
  ): SymbolicTensor[] {
    const all: SymbolicTensor[] = [];
    for (const [name, { statistics, refresh }] of this.#context.preconditioners) {
      const next = statistics?.({ gradient: gradients.get(name)!, state: this.#stateInputs(name) }) ?? {};
      for (const [slot, node] of Object.entries(next)) outputs[NEXT + stateName(name, slot)] = node;
      all.push(...Object.values(next));
      const prepared = refreshing ? refresh?.prepare?.(next, this.#slotInputs(name)) : undefined;
      for (const [slot, node] of Object.entries(prepared ?? {})) outputs[slotName(name, slot)] = node;
    }
    return all;
  }

  /** Adds what settles after a refresh; returns the slots as an update is to read them. */
  #traceSettled(outputs: Outputs): (parameter: string) => SlotSymbols {
    const settled = new Map<string, SlotSymbols>();
    for (const [name, { refresh }] of this.#context.preconditioners) {
      const slots = this.#slotInputs(name);
      const made = refresh?.settle?.(slots) ?? {};
      for (const [slot, node] of Object.entries(made)) outputs[slotName(name, slot)] = node;
      settled.set(name, { ...slots, ...made });
    }
    return (name) => settled.get(name)!;
  }

  /** @param statistics those of the same program, watched for numbers that are not finite */
  #traceUpdate(
    outputs: Outputs,
    gradients: ReadonlyMap<string, SymbolicTensor>,
    slots: (parameter: string) => SlotSymbols,
    statistics: readonly SymbolicTensor[],
  ): void {
    const { problem, preconditioners, scalars } = this.#context;
    const { dtype, model } = problem;
    const numbers = Object.fromEntries(Object.keys(scalars).map((name) => [name, input(name, [], dtype)]));
    const squares: SymbolicTensor[] = [];
    const guards = statistics.map((node) => sum(node));
    for (const [name, { shape }] of model.parameters) {
      const parameter = input(parameterInput(name), shape, dtype);
      const { step, state, guard } = preconditioners.get(name)!.update({
        ...{ parameter: asMatrix(parameter), gradient: gradients.get(name)!, scalars: numbers },
        ...{ state: this.#stateInputs(name), slots: slots(name) },
      });
      outputs[NEXT + parameterInput(name)] = subtract(parameter, reshape(step, shape));
      for (const [slot, node] of Object.entries(state)) outputs[NEXT + stateName(name, slot)] = node;
      squares.push(squaredNorm(step));
      if (guard) guards.push(guard);
    }
    outputs.squaredStepNorm = squares.reduce(add);
    if (guards.length > 0) outputs.guard = guards.reduce(add);
  }

  #gathered(): Map<string, SymbolicTensor> {
    const { model, dtype } = this.#context.problem;
    const gradients = [...model.parameters].map(([name, { shape }]) => {
      return [name, input(gradientName(name), matrixShape(shape), dtype)] as const;
    });
    return new Map(gradients);
  }

  #stateInputs(parameter: string): SlotSymbols {
    const { state } = this.#context.preconditioners.get(parameter)!;
    const inputs = Object.entries(state).map(([slot, { shape, dtype }]) => {
      return [slot, input(stateName(parameter, slot), shape, dtype)] as const;
    });
    return Object.fromEntries(inputs);
  }

  #slotInputs(parameter: string): SlotSymbols {
    const { refresh } = this.#context.preconditioners.get(parameter)!;
    const inputs = Object.entries(refresh?.slots ?? {}).map(([slot, { shape, dtype }]) => {
      return [slot, input(slotName(parameter, slot), shape, dtype)] as const;
    });
    return Object.fromEntries(inputs);
  }
}

/** Name of a parameter's state in the double buffer: `mean/0.weight`. */
export function stateName(parameter: string, slot: string): string {
  return `${slot}/${parameter}`;
}

function slotName(parameter: string, slot: string): string {
  return `slot/${slot}/${parameter}`;
}

function gradientName(parameter: string): string {
  return `gradient/${parameter}`;
}

function directionName(parameter: string): string {
  return `direction/${parameter}`;
}

function asMatrix(x: SymbolicTensor): SymbolicTensor {
  return reshape(x, matrixShape(x.shape));
}

function asMatrices(named: ReadonlyMap<string, SymbolicTensor>): Map<string, SymbolicTensor> {
  return new Map([...named].map(([name, node]) => [name, asMatrix(node)]));
}
