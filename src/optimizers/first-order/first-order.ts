/** First-order methods: one program computes the loss, the gradient and the update. */
import { traceLoss } from "../../fisher/index.ts";
import { input } from "../../graph/index.ts";
import { BoundedCache } from "../../runtime/bounded-cache.ts";
import { allocate, type NamedTensors, type TypedArray } from "../../tensor.ts";
import type { Batch, Method, MethodMemory, Optimizer, Problem, StepStatistics } from "../optimizer.ts";
import { BatchFunction } from "../program/batch-function.ts";
import { DoubleBuffer } from "../program/double-buffer.ts";
import { StepProgram } from "../program/step-program.ts";
import {
  type BatchArrays,
  batchArrays,
  loadBatch,
  traceBatch,
  traceBuffers,
  traceNamedGradient,
} from "../program/traced-batch.ts";
import { type LearningRate, learningRateAt } from "../schedule.ts";
import type { UpdateRule } from "./rule.ts";
import { divisorIsFinite, loadScalars, stateSpecs, stepNorm, traceUpdate, updateArrays } from "./update.ts";

/** Batch sizes whose programs are kept. */
const CACHED_BATCH_SIZES = 8;

/** An optimizer that follows an update rule on the gradient. */
export function firstOrder(
  name: string,
  options: object,
  learningRate: LearningRate,
  rule: UpdateRule,
): Optimizer {
  return { name, options, start: async (problem) => new FirstOrderMethod(problem, rule, learningRate) };
}

interface Plan {
  readonly program: StepProgram;
  readonly batch: BatchArrays;
  readonly loss: TypedArray;
  dispose(): void;
}

class FirstOrderMethod implements Method {
  readonly state: DoubleBuffer;
  readonly #problem: Problem;
  readonly #rule: UpdateRule;
  readonly #learningRate: LearningRate;
  readonly #scalars: Record<string, TypedArray>;
  readonly #plans = new BoundedCache<number, Plan>(CACHED_BATCH_SIZES);
  readonly #gradient: BatchFunction;
  #step = 0;

  constructor(problem: Problem, rule: UpdateRule, learningRate: LearningRate) {
    this.#problem = problem;
    this.#rule = rule;
    this.#learningRate = learningRate;
    this.state = new DoubleBuffer(stateSpecs(problem, rule));
    this.#scalars = updateArrays(problem, rule);
    this.#gradient = new BatchFunction(problem, this.state, (traced) =>
      Object.fromEntries(traceNamedGradient(problem.likelihood, traced)),
    );
  }

  async prepare(samples: number): Promise<void> {
    await this.#plans.getOrCreate(samples, () => this.#plan(samples));
  }

  async step(batch: Batch): Promise<StepStatistics> {
    const samples = batch.inputs.shape[0];
    const plan =
      this.#plans.get(samples) ?? (await this.#plans.getOrCreate(samples, () => this.#plan(samples)));
    const step = this.#step;
    const learningRate = learningRateAt(this.#learningRate, step);
    loadBatch(plan.batch, batch, this.#problem.random);
    loadScalars(this.#scalars, this.#rule, step, learningRate);
    const running = plan.program.run();
    if (running) await running;

    const loss = plan.loss[0];
    const norm = stepNorm(this.#problem, this.state, this.#scalars);
    const finite =
      Number.isFinite(norm) && divisorIsFinite(this.#problem, this.#rule, this.state, this.#scalars);
    const status = !Number.isFinite(loss)
      ? `rejected: the loss is ${loss} at the current parameters`
      : finite
        ? "ok"
        : "rejected: the update is not finite";
    const accepted = status === "ok";
    if (accepted) {
      this.state.accept();
      this.#step++;
    }
    return { step, loss, learningRate, stepNorm: accepted ? norm : 0, accepted, status };
  }

  /** The gradient: a first-order method has no other direction. */
  async direction(batch: Batch): Promise<NamedTensors> {
    return new Map(Object.entries(await this.#gradient.call(batch)));
  }

  curvature(): [] {
    return [];
  }

  remember(): MethodMemory {
    return { tensors: new Map(), values: { step: this.#step } };
  }

  recall({ values }: MethodMemory): void {
    this.#step = Number(values.step);
  }

  dispose(): void {
    this.#plans.clear();
    this.#gradient.dispose();
  }

  async #plan(samples: number): Promise<Plan> {
    const problem = this.#problem;
    const traced = traceBatch(problem, samples);
    const rate = input("learningRate", [], problem.dtype);
    const gradient = traceNamedGradient(
      problem.likelihood,
      traced,
      this.#rule.scaled ? { factor: rate } : {},
    );
    const outputs = {
      loss: traceLoss(traced.forward, problem.likelihood, traced.targets),
      ...traceBuffers(traced),
      ...traceUpdate(problem, this.#rule, gradient),
    };
    const batch = batchArrays(traced);
    const loss = allocate(problem.dtype, 1);
    const arrays = { ...batch, ...this.#scalars, loss };
    const program = await StepProgram.compile(problem.runtime, outputs, [this.state], arrays);
    return { program, batch, loss, dispose: () => program.dispose() };
  }
}
