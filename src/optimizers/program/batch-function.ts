/** A traced function of a batch and the current parameters, compiled once for every batch size. */
import type { NamedOutputs } from "../../graph/index.ts";
import { BoundedCache } from "../../runtime/bounded-cache.ts";
import { compile } from "../../runtime/program.ts";
import { allocate, sizeOf, type Tensor, type TypedArray } from "../../tensor.ts";
import type { Batch, Problem } from "../optimizer.ts";
import type { DoubleBuffer } from "./double-buffer.ts";
import { NEXT, PROPOSED, StepProgram } from "./step-program.ts";
import {
  type BatchArrays,
  batchArrays,
  loadBatchAhead,
  parameterInput,
  type TracedBatch,
  traceBatch,
} from "./traced-batch.ts";

interface Plan {
  readonly program: StepProgram;
  readonly batch: BatchArrays;
  readonly results: Readonly<Record<string, Tensor>>;
  /** Arrays of inputs that calls give values for. */
  readonly given: Readonly<Record<string, TypedArray>>;
  dispose(): void;
}

/** Batch sizes whose programs are kept. */
const CACHED_BATCH_SIZES = 4;

export class BatchFunction {
  readonly #problem: Problem;
  readonly #state: DoubleBuffer;
  readonly #trace: (traced: TracedBatch) => NamedOutputs;
  readonly #extras: Readonly<Record<string, TypedArray>>;
  readonly #training: boolean;
  readonly #plans = new BoundedCache<number, Plan>(CACHED_BATCH_SIZES);
  #last: Promise<unknown> = Promise.resolve();

  /**
   * @param trace the results by name, `next/x` for the buffer's proposed x; it may read the inputs that
   *   {@link traceBatch}, the state and `extras` provide, and others that calls give values for
   * @param extras further inputs, by name, the same for every call
   * @param training whether the pass traced is a training step's; its noise is what the next step would draw
   */
  constructor(
    problem: Problem,
    state: DoubleBuffer,
    trace: (traced: TracedBatch) => NamedOutputs,
    extras: ReadonlyMap<string, Tensor> = new Map(),
    training = true,
  ) {
    this.#problem = problem;
    this.#state = state;
    this.#trace = trace;
    this.#training = training;
    this.#extras = Object.fromEntries([...extras].map(([name, { data }]) => [name, data]));
  }

  /**
   * Fresh copies of the results on a batch. Calls take turns: they share the arrays of their batch size.
   *
   * @param values the inputs that only a call knows, by name
   */
  call(
    batch: Batch,
    values: Readonly<Record<string, ArrayLike<number>>> = {},
  ): Promise<Record<string, Tensor>> {
    const result = this.#last.then(() => this.#run(batch, values));
    this.#last = result.catch(() => {});
    return result;
  }

  /** Compiles what calls on batches of this size need. */
  async prepare(samples: number): Promise<void> {
    await this.#plans.getOrCreate(samples, () => this.#plan(samples));
  }

  async #run(
    batch: Batch,
    values: Readonly<Record<string, ArrayLike<number>>>,
  ): Promise<Record<string, Tensor>> {
    const samples = batch.inputs.shape[0];
    const plan =
      this.#plans.get(samples) ?? (await this.#plans.getOrCreate(samples, () => this.#plan(samples)));
    loadBatchAhead(plan.batch, batch, this.#problem.random);
    for (const [name, array] of Object.entries(plan.given)) array.set(values[name]);
    await plan.program.run();
    const copies = Object.entries(plan.results).map(([name, { shape, data }]) => {
      return [name, { shape, data: data.slice() }] as const;
    });
    return Object.fromEntries(copies);
  }

  dispose(): void {
    this.#plans.clear();
  }

  async #plan(samples: number): Promise<Plan> {
    const traced = traceBatch(this.#problem, samples, parameterInput, this.#training);
    const outputs = this.#trace(traced);
    const batch = batchArrays(traced);
    const compiled = await compile(this.#problem.runtime, outputs);
    const results = Object.fromEntries(
      compiled.outputs
        .filter(({ name }) => !name.startsWith(NEXT))
        .map(({ name, shape, dtype }) => [name, { shape, data: allocate(dtype, sizeOf(shape)) }]),
    );
    const known = { ...this.#extras, ...batch };
    const given = Object.fromEntries(
      compiled.inputs
        .filter(({ name }) => !(name in known) && !this.#state.specs.has(name.replace(PROPOSED, "")))
        .map(({ name, shape, dtype }) => [name, allocate(dtype, sizeOf(shape))]),
    );
    const arrays = Object.fromEntries(Object.entries(results).map(([name, { data }]) => [name, data]));
    const program = new StepProgram(compiled, [this.#state], { ...known, ...given, ...arrays });
    return { program, batch, results, given, dispose: () => program.dispose() };
  }
}
