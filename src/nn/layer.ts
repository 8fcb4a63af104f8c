/** What a layer is: shapes, parameters, a traced forward pass, and the tap that curvature is measured at. */
import type { Convolution, SymbolicTensor } from "../graph/index.ts";
import type { Random } from "../random.ts";

/** A trainable tensor before it has values. */
export interface ParameterSpec {
  readonly shape: readonly number[];
  /** Initial values, row-major. */
  initialize(random: Random): Float64Array;
}

/** A tensor that training updates but does not train: a running statistic. */
export interface BufferSpec {
  readonly shape: readonly number[];
  /** Value of every element before the first step. */
  readonly initial: number;
}

export interface BuiltLayer {
  /** Shape of one sample's output, without the batch axis. */
  readonly outputShape: readonly number[];
  /** Parameters by their name within the layer. */
  readonly parameters: Readonly<Record<string, ParameterSpec>>;
  /** Buffers by their name within the layer; none by default. */
  readonly buffers?: Readonly<Record<string, BufferSpec>>;
}

interface TapNames {
  /** Name of the layer in the model, `"0"`. */
  readonly layer: string;
  /** Full names of the parameters, `"0.weight"`. */
  readonly weight: string;
  readonly bias?: string;
}

/**
 * Where a dense layer declares its curvature statistics: the linear map s = a·Wᵀ + β·b.
 *
 * | symbol | field            | shape            |
 * | ------ | ---------------- | ---------------- |
 * | a      | `inputs`         | (N, F)           |
 * | s      | `preactivations` | (N, O)           |
 * | W, b   | `weight`, `bias` | (O, F), (O)      |
 * | β      | `biasInput`      | a number         |
 */
export interface LinearTap extends TapNames {
  readonly kind: "linear";
  readonly inputs: SymbolicTensor;
  readonly preactivations: SymbolicTensor;
  /** What the bias is multiplied by: 1, or σ_b in the NTK parameterization. */
  readonly biasInput: number;
}

/** The same of a convolution: the linear map of every patch. Inputs (N, C, H, W), pre-activations (N, O, H', W'). */
export interface ConvolutionTap extends TapNames {
  readonly kind: "convolution";
  readonly inputs: SymbolicTensor;
  readonly preactivations: SymbolicTensor;
  readonly biasInput: 1;
  readonly kernel: readonly [number, number];
  readonly convolution: Convolution;
}

/** A factor and a summand for each channel, s = γ·x̂ + β: `inputs` x̂ and `preactivations` s are (N, C, …). */
export interface ScaleTap extends TapNames {
  readonly kind: "scale";
  readonly inputs: SymbolicTensor;
  readonly preactivations: SymbolicTensor;
  readonly biasInput: 1;
}

export type Tap = LinearTap | ConvolutionTap | ScaleTap;

type DistributiveOmit<T, Key extends PropertyKey> = T extends unknown ? Omit<T, Key> : never;

/** Collects what layers declare during one traced forward pass, and tells them what kind of pass it is. */
export interface Trace {
  /** Whether the pass is a training step's: dropout drops and batch normalization uses the batch's statistics. */
  readonly training: boolean;
  /** Declares the tap of a parametric layer, by the names of its parameters within the layer. */
  tap(tap: DistributiveOmit<Tap, "layer">): void;
  /** Numbers uniform in [0, 1) of the given shape, drawn anew for every training step. */
  noise(shape: readonly number[]): SymbolicTensor;
  /** A buffer's value before the step. */
  buffer(name: string): SymbolicTensor;
  /** Sets a buffer's value after the step; for training passes. */
  updateBuffer(name: string, value: SymbolicTensor): void;
  /** The trace of a layer within this one, its names prefixed by `name.`. */
  within(name: string): Trace;
}

export interface Layer {
  /** The factory's name, `"dense"`. */
  readonly type: string;
  /** As the user would write it, `"dense(32)"`. */
  describe(): string;
  /** @throws UsageError when the layer does not accept this input shape (one sample, without the batch axis) */
  build(inputShape: readonly number[]): BuiltLayer;
  /** Traces the layer on a batch (N, …inputShape). */
  apply(
    x: SymbolicTensor,
    parameters: Readonly<Record<string, SymbolicTensor>>,
    trace: Trace,
  ): SymbolicTensor;
}
