/** What an optimizer is: an immutable description that becomes a running method on one problem. */
import type { CurvatureRow } from "../curvature/report.ts";
import type { BuiltModel, Likelihood } from "../nn/index.ts";
import type { Random } from "../random.ts";
import type { Runtime } from "../runtime/session.ts";
import type { FloatDType, NamedTensors, Tensor } from "../tensor.ts";
import type { DirectionMap } from "./natural/direction-map.ts";
import type { DoubleBuffer } from "./program/double-buffer.ts";

/** What a method works on. */
export interface Problem {
  readonly runtime: Runtime;
  readonly model: BuiltModel;
  readonly likelihood: Likelihood;
  readonly dtype: FloatDType;
  /** The stream that Monte-Carlo targets are drawn from. */
  readonly random: Random;
  /** Bytes that a step may take. */
  readonly memoryLimit: number;
  /** Told what each program of a step is estimated to take, with all that it reads and writes, before it is compiled. */
  onMemory?(bytes: number): void;
}

export interface Batch {
  /** (N, …inputShape). */
  readonly inputs: Tensor;
  /** Class indices (N) for a categorical likelihood, (N, C) otherwise. */
  readonly targets: Tensor;
}

/** What one step did. */
export interface StepStatistics {
  /** Steps taken before this one. */
  readonly step: number;
  /** Mean loss of the batch before the update, nats per sample. */
  readonly loss: number;
  /** η, whoever chose it. */
  readonly learningRate: number;
  /** The damping used; absent for first-order methods. */
  readonly damping?: number;
  /** μ, where the quadratic model chooses it. */
  readonly momentum?: number;
  /** ε of the trust region, where there is one. */
  readonly trustRegion?: number;
  /**
   * ‖θ' − θ‖₂ over all parameters; 0 for a rejected step. Steps in place (methods with momentum on large dense networks) are measured
   * when it is read: before the next step, or it is NaN.
   */
  readonly stepNorm: number;
  /** False when the parameters were left, or put back, as they were. */
  readonly accepted: boolean;
  /** What happened, in words: `"ok"` or the reason of a rejection or a fallback. */
  readonly status: string;
}

export interface DirectionOptions {
  /** Targets of each draw, any number of draws, instead of random ones; for the Monte-Carlo Fisher, no other reads them. */
  readonly sampledTargets?: readonly Tensor[];
}

export interface DirectionMapOptions extends DirectionOptions {
  /** Whether averages and histories go on from those of training, as the next step's would; default false: they start anew. */
  readonly continued?: boolean;
}

/** What a method needs beside its double buffer to continue with the same bits. */
export interface MethodMemory {
  readonly tensors: NamedTensors;
  readonly values: Readonly<Record<string, unknown>>;
}

/** An optimizer at work on one problem. */
export interface Method {
  /** Parameters, `parameter/0.weight`, and per-parameter state, `velocity/0.weight`. */
  readonly state: DoubleBuffer;
  /** Compiles what steps on batches of this size need, so that the first is as fast as the others. */
  prepare(samples: number): Promise<void>;
  /** Takes one step; on rejection the state is untouched. */
  step(batch: Batch): Promise<StepStatistics>;
  /** The direction that a fresh refresh on this batch gives, before learning rate, momentum and weight decay. */
  direction(batch: Batch, options?: DirectionOptions): Promise<NamedTensors>;
  /**
   * The map from gradients to directions that a fresh refresh on this batch gives, for methods that have one: natural
   * gradients. The training state is not touched; the caller disposes of the map.
   *
   * @throws UsageError when the curvature of the batch cannot be factorized
   */
  directionMap?(batch: Batch, options?: DirectionMapOptions): Promise<DirectionMap>;
  /** How curvature is approximated, one row a block; empty for first-order methods. */
  curvature(batchSize: number): CurvatureRow[];
  remember(): MethodMemory;
  recall(memory: MethodMemory): void;
  dispose(): void;
}

export interface Optimizer {
  /** The preset's name, `"tengrad"`. */
  readonly name: string;
  /** The options as the user gave them. */
  readonly options: object;
  start(problem: Problem): Promise<Method>;
}
