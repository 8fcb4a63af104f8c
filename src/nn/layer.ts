/** What a layer is: shapes, parameters, a traced forward pass, and the tap that curvature is measured at. */
import type { SymbolicTensor } from "../graph/index.ts";
import type { Random } from "../random.ts";

/** A trainable tensor before it has values. */
export interface ParameterSpec {
  readonly shape: readonly number[];
  /** Initial values, row-major. */
  initialize(random: Random): Float64Array;
}

export interface BuiltLayer {
  /** Shape of one sample's output, without the batch axis. */
  readonly outputShape: readonly number[];
  /** Parameters by their name within the layer. */
  readonly parameters: Readonly<Record<string, ParameterSpec>>;
}

/**
 * Where a parametric layer declares its curvature statistics: the linear map s = a·Wᵀ + β·b of one layer.
 *
 * | symbol | field            | shape            |
 * | ------ | ---------------- | ---------------- |
 * | a      | `inputs`         | (N, F)           |
 * | s      | `preactivations` | (N, O)           |
 * | W, b   | `weight`, `bias` | (O, F), (O)      |
 * | β      | `biasInput`      | a number         |
 */
export interface Tap {
  /** Name of the layer in the model, `"0"`. */
  readonly layer: string;
  /** Full names of the parameters, `"0.weight"`. */
  readonly weight: string;
  readonly bias?: string;
  readonly inputs: SymbolicTensor;
  readonly preactivations: SymbolicTensor;
  /** What the bias is multiplied by: 1, or σ_b in the NTK parameterization. */
  readonly biasInput: number;
}

/** Collects what layers declare during one traced forward pass. */
export interface Trace {
  /** Declares the tap of a parametric layer, by the names of its parameters within the layer. */
  tap(tap: Omit<Tap, "layer">): void;
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
