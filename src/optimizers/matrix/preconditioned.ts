/**
 * Methods between first order and natural gradient: every parameter's gradient is preconditioned by statistics of its own gradients
 * alone. Gradient, statistics and update are traced; every few steps the host takes roots or eigenvectors of the statistics.
 *
 * | refresh           | a step on which it is due                   | every other step |
 * | ----------------- | ------------------------------------------- | ---------------- |
 * | `"before update"` | gather → host → apply                       | whole            |
 * | `"after update"`  | whole → host; the first one: gather → host  | whole            |
 *
 * With `"after update"` the first step has nothing to precondition with: it moves no parameter.
 */
import type { SlotArrays, SlotSpec } from "../../curvature/block.ts";
import type { CurvatureRow } from "../../curvature/report.ts";
import { UsageError } from "../../errors.ts";
import { lapackInfo } from "../../linalg/index.ts";
import { BoundedCache } from "../../runtime/bounded-cache.ts";
import { allocate, type NamedTensors, sizeOf, type TypedArray } from "../../tensor.ts";
import { bufferSpecs } from "../first-order/update.ts";
import type { Batch, Method, MethodMemory, Optimizer, Problem, StepStatistics } from "../optimizer.ts";
import { type MethodName, requireMethodOptions } from "../option-names.ts";
import { DoubleBuffer } from "../program/double-buffer.ts";
import { allocateSpec, loadBatch, loadBatchAhead, parameterInput } from "../program/traced-batch.ts";
import { type LearningRate, learningRateAt } from "../schedule.ts";
import { type PlanContext, PreconditionedPlan, stateName } from "./preconditioned-plan.ts";
import type { ParameterPlace, Preconditioner } from "./preconditioner.ts";
import { matrixShape } from "./preconditioner.ts";

export interface RefreshSchedule {
  /** Where in its step a refresh comes. */
  readonly when: "before update" | "after update";
  /** Steps between refreshes, in the long run. */
  readonly every: number;
  /** Whether the step of this number, counted from 0, refreshes. Depends on nothing else, so a rejected step is tried again alike. */
  isDue(step: number): boolean;
}

export interface PreconditionedSettings {
  readonly learningRate: LearningRate;
  /** When the host refreshes; never where it has no part. */
  readonly refresh?: RefreshSchedule;
  /** Names and values of the scalars of a step, counted from 0. */
  scalars(step: number, learningRate: number): Readonly<Record<string, number>>;
  /**
   * How a parameter is preconditioned.
   *
   * @throws UsageError where that would take more memory than the problem allows
   */
  preconditioner(place: ParameterPlace, problem: Problem): Preconditioner;
}

/** Batch sizes whose programs are kept. */
const CACHED_BATCH_SIZES = 4;

/** The status of a step that only looked. */
export const FIRST_STEP = "the first step sets the eigenbases and moves no parameter";

/** An optimizer that preconditions each parameter's gradient. @throws UsageError when an option is misspelt */
export function preconditioned(
  name: MethodName,
  options: object,
  settings: PreconditionedSettings,
): Optimizer {
  requireMethodOptions(name, options);
  return { name, options, start: async (problem) => new PreconditionedMethod(problem, settings) };
}

class PreconditionedMethod implements Method {
  readonly state: DoubleBuffer;
  readonly #problem: Problem;
  readonly #settings: PreconditionedSettings;
  readonly #context: PlanContext;
  readonly #plans = new BoundedCache<number, PreconditionedPlan>(CACHED_BATCH_SIZES);
  #step = 0;

  constructor(problem: Problem, settings: PreconditionedSettings) {
    this.#problem = problem;
    this.#settings = settings;
    this.#context = createContext(problem, settings, settings.refresh !== undefined);
    this.state = this.#context.state;
  }

  async prepare(samples: number): Promise<void> {
    const { refresh } = this.#settings;
    const plan = await this.#plan(samples);
    const programs: Promise<unknown>[] = [];
    if (refresh) {
      lapackInfo(); // looks for the library, which takes a moment the first time
      programs.push(plan.gather());
      programs.push(refresh.when === "before update" ? plan.apply() : plan.whole(true));
    }
    if (refresh?.every !== 1) programs.push(plan.whole(false));
    await Promise.all(programs);
  }

  async step(batch: Batch): Promise<StepStatistics> {
    const plan = this.#plans.get(batch.inputs.shape[0]) ?? (await this.#plan(batch.inputs.shape[0]));
    const step = this.#step;
    const learningRate = learningRateAt(this.#settings.learningRate, step);
    loadBatch(plan.batch, batch, this.#problem.random);
    const scalars = this.#settings.scalars(step, learningRate);
    for (const [name, value] of Object.entries(scalars)) this.#context.scalars[name][0] = value;

    plan.results.guard[0] = 0; // programs that have nothing to watch do not write it
    const looking = step === 0 && this.#settings.refresh?.when === "after update";
    const failure = looking ? await this.#look(plan) : await this.#move(plan);
    const { loss, squaredStepNorm } = plan.results;
    const accepted = failure === undefined;
    if (accepted) {
      this.state.accept();
      this.#step++;
    }
    return {
      ...{ step, loss: loss[0], learningRate, accepted },
      stepNorm: accepted && !looking ? Math.sqrt(squaredStepNorm[0]) : 0,
      status: accepted ? (looking ? FIRST_STEP : "ok") : `rejected: ${failure}`,
    };
  }

  /** What the first refresh makes of this batch's gradient; the gradient where elements are updated alone. */
  async direction(batch: Batch): Promise<NamedTensors> {
    const context = createContext(this.#problem, this.#settings, true);
    for (const name of this.#problem.model.parameters.keys()) {
      context.state.current[parameterInput(name)].set(this.state.current[parameterInput(name)]);
    }
    const plan = new PreconditionedPlan(context, batch.inputs.shape[0]);
    try {
      loadBatchAhead(plan.batch, batch, this.#problem.random);
      await (await plan.gather()).run();
      const failure = await refresh(context, 0);
      if (failure !== undefined) throw new UsageError(failure);
      const { program, direction } = await plan.direction();
      await program.run();
      return direction;
    } finally {
      plan.dispose();
    }
  }

  curvature(): CurvatureRow[] {
    return [...this.#context.preconditioners.values()].map(({ report }) => report);
  }

  remember(): MethodMemory {
    const tensors: NamedTensors = new Map();
    for (const [parameter, name, shape] of this.#memory()) {
      tensors.set(memoryName(parameter, name), { shape, data: this.#slots(parameter)[name].slice() });
    }
    return { tensors, values: { step: this.#step } };
  }

  recall({ tensors, values }: MethodMemory): void {
    for (const [parameter, name] of this.#memory()) {
      const saved = tensors.get(memoryName(parameter, name));
      if (saved?.data.length !== this.#slots(parameter)[name].length) {
        throw new UsageError(
          "it was saved with other sides, or another refresh period, of the preconditioners",
        );
      }
    }
    for (const [parameter, name] of this.#memory()) {
      this.#slots(parameter)[name].set(tensors.get(memoryName(parameter, name))!.data);
    }
    this.#step = Number(values.step);
  }

  dispose(): void {
    this.#plans.clear();
  }

  /** The first step of a method that refreshes after its updates; returns why it has to be rejected, if so. */
  async #look(plan: PreconditionedPlan): Promise<string | undefined> {
    const { current, proposed } = this.state;
    for (const [name, array] of Object.entries(current)) proposed[name].set(array);
    await run(await plan.gather());
    return lossFailure(plan) ?? refresh(this.#context, 0);
  }

  /** A step; returns why it has to be rejected, if so. */
  async #move(plan: PreconditionedPlan): Promise<string | undefined> {
    const { refresh: schedule } = this.#settings;
    const due = schedule?.isDue(this.#step) ?? false;
    if (due && schedule?.when === "before update") {
      await run(await plan.gather());
      const failure = lossFailure(plan) ?? (await refresh(this.#context, this.#step));
      if (failure !== undefined) return failure;
      await run(await plan.apply());
      return updateFailure(plan);
    }
    await run(await plan.whole(due));
    const failure = lossFailure(plan) ?? updateFailure(plan);
    return failure === undefined && due ? refresh(this.#context, this.#step) : failure;
  }

  #slots(parameter: string): SlotArrays {
    return this.#context.slots.get(parameter)!;
  }

  /** Parameter, name and shape of every slot that checkpoints hold. */
  *#memory(): Iterable<[string, string, readonly number[]]> {
    for (const [parameter, { refresh }] of this.#context.preconditioners) {
      for (const name of refresh?.memory ?? []) yield [parameter, name, refresh!.slots[name].shape];
    }
  }

  #plan(samples: number): Promise<PreconditionedPlan> {
    return this.#plans.getOrCreate(samples, () => new PreconditionedPlan(this.#context, samples));
  }
}

/** @param gathers whether gradients are handed from one program to another */
function createContext(problem: Problem, settings: PreconditionedSettings, gathers: boolean): PlanContext {
  const { model, dtype } = problem;
  const places = [...model.parameters].map(([name, { shape }]) => {
    return { name, shape: matrixShape(shape), dtype };
  });
  const preconditioners = new Map(
    places.map((place) => [place.name, settings.preconditioner(place, problem)] as const),
  );
  const parameters = [...model.parameters].map(([name, { shape }]) => {
    return [parameterInput(name), { shape, dtype }] as const;
  });
  const states = [...preconditioners].flatMap(([parameter, { state }]) =>
    Object.entries(state).map(([slot, spec]) => [stateName(parameter, slot), spec] as const),
  );
  const slots = [...preconditioners].map(([parameter, { refresh }]) => {
    const arrays = Object.entries(refresh?.slots ?? {}).map(([name, spec]) => [name, allocateSpec(spec)]);
    return [parameter, Object.fromEntries(arrays) as SlotArrays] as const;
  });
  const scalars = Object.keys(settings.scalars(0, 0)).map((name) => [name, allocate(dtype, 1)]);
  return {
    ...{ problem, preconditioners, slots: new Map(slots) },
    state: new DoubleBuffer(new Map<string, SlotSpec>([...parameters, ...bufferSpecs(problem), ...states])),
    scalars: Object.fromEntries(scalars) as Record<string, TypedArray>,
    gradients: new Map(
      gathers ? places.map(({ name, shape }) => [name, allocate(dtype, sizeOf(shape))]) : [],
    ),
  };
}

/**
 * Runs the host's part on the state of the step under way, one parameter after another: what all of them would copy at once
 * would hold the event loop. In words why it failed.
 */
async function refresh(context: PlanContext, step: number): Promise<string | undefined> {
  const { proposed } = context.state;
  for (const [parameter, { state, refresh }] of context.preconditioners) {
    const arrays = Object.keys(state).map((slot) => [slot, proposed[stateName(parameter, slot)]] as const);
    const failure = await refresh?.run(Object.fromEntries(arrays), context.slots.get(parameter)!, step);
    if (failure !== undefined) return `${failure} of ${parameter}`;
  }
  return undefined;
}

async function run(program: { run(): void | Promise<void> }): Promise<void> {
  const running = program.run();
  if (running) await running;
}

function lossFailure({ results }: PreconditionedPlan): string | undefined {
  const loss = results.loss[0];
  return Number.isFinite(loss) ? undefined : `the loss is ${loss} at the current parameters`;
}

function updateFailure({ results }: PreconditionedPlan): string | undefined {
  const { squaredStepNorm, guard } = results;
  return Number.isFinite(squaredStepNorm[0]) && Number.isFinite(guard[0])
    ? undefined
    : "the update is not finite";
}

function memoryName(parameter: string, slot: string): string {
  return `curvature/${slot}/${parameter}`;
}
