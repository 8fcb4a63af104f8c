/** The trainer: one model, one optimizer, one likelihood, on one runtime. */

import type { CurvatureRow } from "../curvature/report.ts";
import { RunError, UsageError } from "../errors.ts";
import type { FisherOption } from "../fisher/index.ts";
import type { Batch, DirectionOptions, Method, Problem, StepStatistics } from "../optimizers/optimizer.ts";
import { BatchFunction } from "../optimizers/program/batch-function.ts";
import { bufferInput, parameterInput, traceNamedGradient } from "../optimizers/program/traced-batch.ts";
import {
  formatShape,
  type NamedTensors,
  type NamedTensorsLike,
  sameShape,
  sizeOf,
  type Tensor,
} from "../tensor.ts";
import { fisherOfBatch } from "./batch-fisher.ts";
import {
  type CheckpointSource,
  encodeCheckpoint,
  type Progress,
  readCheckpoint,
  writeCheckpoint,
} from "./checkpoint.ts";
import { type Evaluation, Evaluator, type Examples } from "./evaluation.ts";
import { fisherOperator, type LinearOperator, type Preconditioner } from "./fisher-operator.ts";
import { type FitOptions, fit } from "./fit.ts";
import { type NamedPart, readNamed, writeNamed } from "./named-state.ts";
import type { EpochRecord } from "./run-folder.ts";
import { explainMemory } from "./step-memory.ts";
import { explain } from "./step-status.ts";
import { identityOf, type ResolvedConfig } from "./trainer-config.ts";

export class Trainer {
  readonly config: ResolvedConfig;
  readonly #problem: Problem;
  readonly #method: Method;
  readonly #usage: { readonly peakBytes: number };
  readonly #ownsRuntime: boolean;
  readonly #gradient: BatchFunction;
  readonly #evaluator: Evaluator;
  #progress: Progress = { epoch: 0, batch: 0, step: 0, seconds: 0 };
  #stepping = false;
  #disposed = false;

  /** Use `createTrainer`. */
  constructor(
    config: ResolvedConfig,
    problem: Problem,
    method: Method,
    usage: { readonly peakBytes: number },
    ownsRuntime: boolean,
  ) {
    this.config = config;
    this.#usage = usage;
    this.#problem = problem;
    this.#method = method;
    this.#ownsRuntime = ownsRuntime;
    this.#evaluator = new Evaluator(problem, method.state);
    this.#gradient = new BatchFunction(problem, method.state, (traced) =>
      Object.fromEntries(traceNamedGradient(problem.likelihood, traced)),
    );
  }

  /** Where training stands: epochs, batches of the epoch under way, steps, seconds. */
  get progress(): Progress {
    return this.#progress;
  }

  /** Number of trainable numbers. */
  get parameterCount(): number {
    return [...this.#problem.model.parameters.values()].reduce(
      (total, { shape }) => total + sizeOf(shape),
      0,
    );
  }

  /** Estimated bytes of a step at its peak, of the batch sizes prepared so far: arrays, curvature, intermediate results. */
  get peakBytes(): number {
    return this.#usage.peakBytes;
  }

  /** What runs the programs, in lines for people. */
  describe(): string[] {
    return this.#problem.runtime.describe();
  }

  /** How each parameter's curvature is approximated, for batches of this size. */
  curvature(batchSize: number = this.config.batchSize): CurvatureRow[] {
    return this.#method.curvature(batchSize);
  }

  /**
   * Compiles what steps on batches of this size need; `fit` does so before its clock starts.
   *
   * @throws UsageError with the estimate, and a batch size that fits, when a step would take more than the memory limit
   */
  async prepare(batchSize: number = this.config.batchSize): Promise<void> {
    this.#checkIdle();
    await this.#naming(batchSize, this.#method.prepare(batchSize));
  }

  /**
   * One training step. A step that would leave the finite numbers is rejected: the parameters stay as they were and
   * the status says why.
   *
   * @throws UsageError when the batch does not fit the model or the memory limit, or another step is under way
   */
  async step(batch: Batch): Promise<StepStatistics> {
    this.#check(batch);
    this.#checkIdle();
    this.#stepping = true;
    try {
      const statistics = await this.#method.step(batch);
      if (!statistics.accepted) return { ...statistics, status: explain(statistics, batch) };
      this.#advance({ step: this.#progress.step + 1 });
      return statistics;
    } catch (error) {
      throw await explainMemory(error, this.config.optimizer, this.#problem, batch.inputs.shape[0]);
    } finally {
      this.#stepping = false;
    }
  }

  /** Gradient of the batch's mean loss, by parameter name. */
  async gradient(batch: Batch): Promise<NamedTensors> {
    this.#check(batch);
    return new Map(Object.entries(await this.#gradient.call(batch)));
  }

  /**
   * The method's direction of this batch with curvature refreshed on it, before learning rate, momentum, weight decay and
   * clipping: (F̃ + λI)⁻¹ g, or what K-FAC's factored damping, K-BFGS and SPRING have in its place; what this batch alone makes of
   * its gradient for muon, shampoo and soap, the gradient for first-order methods. Training state is not touched, but Monte-Carlo targets are drawn from the trainer's generator unless
   * `sampledTargets` gives them.
   */
  async direction(batch: Batch, options?: DirectionOptions): Promise<NamedTensors> {
    this.#check(batch);
    return this.#naming(batch.inputs.shape[0], this.#method.direction(batch, options));
  }

  /**
   * The full Fisher matrix of a batch, (P, P), parameters layer by layer and row-major in [W b].
   *
   * @param options `sampledTargets` are the draws of the Monte-Carlo Fisher, as many as there are
   * @throws UsageError with the estimate when it would exceed the memory limit
   */
  async fisher(batch: Batch, option: FisherOption, options: DirectionOptions = {}): Promise<Tensor> {
    this.#checkDrawn(batch, options);
    return fisherOfBatch(this.#problem, this.#method.state, batch, option, options);
  }

  /**
   * The Fisher matrix of a batch as a linear operator, of any network and number of parameters: F v by two passes over the
   * network. It is taken at the parameters that the trainer has when it is applied; the caller disposes of it. With batch
   * normalization J is the derivative of the whole batch's outputs.
   *
   * @param options `sampledTargets` are the draws of the Monte-Carlo Fisher, as many as there are
   * @throws UsageError when the batch does not fit the model
   */
  fisherOperator(batch: Batch, option: FisherOption, options: DirectionOptions = {}): LinearOperator {
    this.#checkDrawn(batch, options);
    return fisherOperator(this.#problem, this.#method.state, batch, option, options);
  }

  /**
   * What the method makes of gradients of any origin, g ↦ (F̃ + λI)⁻¹ g with the curvature of a batch at the parameters of now, as
   * a linear operator; {@link direction} says which methods have another form of it. The caller disposes of it.
   *
   * @throws UsageError for a method without curvature, and where that of the batch cannot be factorized
   */
  async preconditioner(batch: Batch, options?: DirectionOptions): Promise<Preconditioner> {
    this.#check(batch);
    const { name } = this.config.optimizer;
    if (!this.#method.directionMap) throw new UsageError(`${name} has no curvature to precondition with`);
    return this.#naming(batch.inputs.shape[0], this.#method.directionMap(batch, options));
  }

  /** Copies of the parameters, by name. */
  getParameters(): NamedTensors {
    this.#checkUsable();
    return readNamed(this.#method.state, this.#parameters());
  }

  /** Copies of the running statistics, by name: `"1.running_mean"`; none without batch normalization. */
  getBuffers(): NamedTensors {
    this.#checkUsable();
    return readNamed(this.#method.state, this.#buffers());
  }

  /**
   * Replaces some or all parameters.
   *
   * @throws UsageError for an unknown name, a wrong shape or a number that is not finite
   */
  setParameters(named: NamedTensorsLike): void {
    this.#checkIdle();
    writeNamed(this.#method.state, this.#parameters(), named);
  }

  /**
   * Replaces some or all running statistics.
   *
   * @throws UsageError for an unknown name, a wrong shape or a number that is not finite
   */
  setBuffers(named: NamedTensorsLike): void {
    this.#checkIdle();
    writeNamed(this.#method.state, this.#buffers(), named);
  }

  /** Network outputs (N, C): means for gaussian, natural parameters (logits, log rates) for others. */
  async predict(inputs: Tensor): Promise<Tensor> {
    this.#checkInputs(inputs);
    return this.#evaluator.predict(inputs);
  }

  /** Mean loss and metric over a dataset. */
  async evaluate(examples: Examples): Promise<Evaluation> {
    this.#check(examples);
    return this.#evaluator.evaluate(examples);
  }

  /**
   * Trains for some epochs, in a seeded order, and yields a record after each. An epoch that an earlier call left
   * unfinished is finished first and counts as one.
   *
   * @throws UsageError when the batch is larger than the data; RunError when too many steps in a row are rejected
   */
  fit(examples: Examples, options: FitOptions): AsyncGenerator<EpochRecord, void, void> {
    this.#check(examples);
    return fit(this, (progress) => this.#advance(progress), examples, options);
  }

  /** Writes a checkpoint, atomically; needs Node. */
  async save(path: string): Promise<void> {
    this.#checkIdle();
    await writeCheckpoint(path, this.#method, this.#contents());
  }

  /** The bytes that {@link save} would write, for a page to keep where it likes. */
  toBytes(): Uint8Array {
    this.#checkIdle();
    return encodeCheckpoint(this.#method, this.#contents());
  }

  /** Reads a checkpoint of the same configuration: a file by its path, or the bytes of one. */
  async load(checkpoint: CheckpointSource): Promise<void> {
    this.#checkIdle();
    const { progress, random } = await readCheckpoint(
      checkpoint,
      this.#method,
      identityOf(this.config),
      this.config,
    );
    this.#problem.random.restore(random);
    this.#progress = progress;
  }

  /** Releases programs and memory; the trainer cannot be used afterwards. */
  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    this.#evaluator.dispose();
    this.#gradient.dispose();
    this.#method.dispose();
    if (this.#ownsRuntime) this.#problem.runtime.dispose();
  }

  #parameters(): NamedPart {
    return { kind: "parameter", specs: this.#problem.model.parameters, nameOf: parameterInput };
  }

  #buffers(): NamedPart {
    return { kind: "buffer", specs: this.#problem.model.buffers, nameOf: bufferInput };
  }

  /** Work on batches of a size; refused for its memory, the refusal names a size that fits. */
  async #naming<T>(samples: number, work: Promise<T>): Promise<T> {
    try {
      return await work;
    } catch (error) {
      throw await explainMemory(error, this.config.optimizer, this.#problem, samples);
    }
  }

  #advance(progress: Partial<Progress>): void {
    this.#progress = { ...this.#progress, ...progress };
  }

  #contents() {
    return {
      identity: identityOf(this.config),
      progress: this.#progress,
      batchSize: this.config.batchSize,
      random: this.#problem.random.state(),
    };
  }

  #checkUsable(): void {
    if (this.#disposed) throw new RunError("the trainer has been disposed");
  }

  #checkIdle(): void {
    this.#checkUsable();
    if (this.#stepping) throw new UsageError("a step is under way (await it first)");
  }

  #check({ inputs, targets }: Batch): void {
    this.#checkInputs(inputs);
    this.#problem.likelihood.check(targets, inputs.shape[0], this.#problem.model.outputShape[0]);
  }

  #checkDrawn(batch: Batch, { sampledTargets = [] }: DirectionOptions): void {
    this.#check(batch);
    for (const targets of sampledTargets) this.#check({ inputs: batch.inputs, targets });
  }

  #checkInputs({ shape, data }: Tensor): void {
    this.#checkUsable();
    const expected = this.#problem.model.inputShape;
    if (shape.length !== expected.length + 1 || !sameShape(shape.slice(1), expected)) {
      throw new UsageError(
        `invalid inputs: shape ${formatShape(shape)} (must be (N, ${expected.join(", ")}))`,
      );
    }
    if (shape[0] === 0 || data.length === 0) throw new UsageError("invalid inputs: no samples");
  }
}
