/** First-order methods: the loss, the gradient and the update of a step, all computed by programs. */
import { BoundedCache } from "../../runtime/bounded-cache.ts";
import type { NamedTensors, TypedArray } from "../../tensor.ts";
import type { Batch, Method, MethodMemory, Optimizer, Problem, StepStatistics } from "../optimizer.ts";
import { type MethodName, requireMethodOptions } from "../option-names.ts";
import { BatchFunction } from "../program/batch-function.ts";
import { DoubleBuffer } from "../program/double-buffer.ts";
import { loadBatch, traceNamedGradient } from "../program/traced-batch.ts";
import { type LearningRate, learningRateAt } from "../schedule.ts";
import { InPlace, inPlacePlan, stepsInPlace } from "./in-place.ts";
import type { UpdateRule } from "./rule.ts";
import { doubleBufferedPlan, type StepPlan } from "./step-plan.ts";
import { loadScalars, stateSpecs, updateArrays } from "./update.ts";

/** Batch sizes whose programs are kept. */
const CACHED_BATCH_SIZES = 8;

/** An optimizer that follows an update rule on the gradient. @throws UsageError when an option is misspelt */
export function firstOrder(
  name: MethodName,
  options: object,
  learningRate: LearningRate,
  rule: UpdateRule,
): Optimizer {
  requireMethodOptions(name, options);
  return { name, options, start: async (problem) => new FirstOrderMethod(problem, rule, learningRate) };
}

class FirstOrderMethod implements Method {
  readonly state: DoubleBuffer;
  readonly #problem: Problem;
  readonly #rule: UpdateRule;
  readonly #learningRate: LearningRate;
  readonly #scalars: Record<string, TypedArray>;
  readonly #inPlace: InPlace | undefined;
  readonly #plans = new BoundedCache<number, StepPlan>(CACHED_BATCH_SIZES);
  readonly #gradient: BatchFunction;
  #step = 0;

  constructor(problem: Problem, rule: UpdateRule, learningRate: LearningRate) {
    this.#problem = problem;
    this.#rule = rule;
    this.#learningRate = learningRate;
    const inPlace = stepsInPlace(problem, rule);
    this.state = new DoubleBuffer(stateSpecs(problem, rule), inPlace);
    this.#scalars = updateArrays(problem, rule);
    if (inPlace) this.#inPlace = new InPlace({ problem, rule, state: this.state, scalars: this.#scalars });
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
    const outcome = await plan.take();
    const { loss, status } = outcome;
    const accepted = status === "ok";
    if (accepted) this.#step++;
    let norm: number | undefined;
    return {
      ...{ step, loss, learningRate, accepted, status },
      get stepNorm() {
        norm ??= outcome.stepNorm();
        return norm;
      },
    };
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
    this.#inPlace?.forget();
  }

  dispose(): void {
    this.#plans.clear();
    this.#gradient.dispose();
  }

  #plan(samples: number): Promise<StepPlan> {
    const context = { problem: this.#problem, rule: this.#rule, state: this.state, scalars: this.#scalars };
    return this.#inPlace
      ? inPlacePlan(context, samples, this.#inPlace)
      : doubleBufferedPlan(context, samples);
  }
}
