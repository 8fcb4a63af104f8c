/** A model as a chain of layers, its parameters named as PyTorch's `Sequential` names them. */
import { requireOption } from "../errors.ts";
import { input, type SymbolicTensor } from "../graph/index.ts";
import { applyChain, buildChain } from "./chain.ts";
import type { BufferSpec, Layer, ParameterSpec, Tap, Trace } from "./layer.ts";

export interface Forward {
  /** Network outputs f, (N, …outputShape). */
  readonly outputs: SymbolicTensor;
  /** One tap for every parametric layer, from the input to the output. */
  readonly taps: readonly Tap[];
  /** Values of the buffers after a training step, by full name. */
  readonly buffers: ReadonlyMap<string, SymbolicTensor>;
  /** Input nodes to be filled with numbers uniform in [0, 1) before every training step, in order. */
  readonly noise: readonly SymbolicTensor[];
}

/** Which pass through a model is traced. */
export interface Pass {
  /** Whether the pass is a training step's; default false. */
  readonly training?: boolean;
  /** Input nodes of the buffers, by full name; needed by models that have any. */
  readonly buffers?: ReadonlyMap<string, SymbolicTensor>;
}

/** A model whose shapes are known. */
export interface BuiltModel {
  readonly inputShape: readonly number[];
  readonly outputShape: readonly number[];
  /** Every trainable tensor by its full name, in order. */
  readonly parameters: ReadonlyMap<string, ParameterSpec>;
  /** Every running statistic by its full name, in order. */
  readonly buffers: ReadonlyMap<string, BufferSpec>;
  /** Traces the forward pass of a batch (N, …inputShape). */
  forward(x: SymbolicTensor, parameters: ReadonlyMap<string, SymbolicTensor>, pass?: Pass): Forward;
}

export interface Model {
  /** As the user would write it. */
  describe(): string;
  build(inputShape: readonly number[]): BuiltModel;
}

/**
 * Layers one after another. Layer k's parameters are named `"k.weight"`, `"k.bias"`.
 *
 * @throws UsageError when there is no layer
 */
export function sequential(layers: readonly Layer[]): Model {
  requireOption(layers.length > 0, "sequential", "[]", "a list of at least one layer");
  return {
    describe: () => layers.map((layer) => layer.describe()).join(" → "),
    build(inputShape) {
      const { outputShape, parameters, buffers } = buildChain(layers, inputShape);
      return {
        inputShape,
        outputShape,
        parameters: new Map(Object.entries(parameters)),
        buffers: new Map(Object.entries(buffers)),
        forward(x, values, pass = {}) {
          const recorder = new Recorder(x, pass);
          const outputs = applyChain(layers, x, Object.fromEntries(values), recorder.within(""));
          return { outputs, ...recorder };
        },
      };
    },
  };
}

/** What the layers of one forward pass declare. */
class Recorder {
  readonly taps: Tap[] = [];
  readonly buffers = new Map<string, SymbolicTensor>();
  readonly noise: SymbolicTensor[] = [];
  readonly #x: SymbolicTensor;
  readonly #pass: Pass;

  constructor(x: SymbolicTensor, pass: Pass) {
    this.#x = x;
    this.#pass = pass;
  }

  within(layer: string): Trace {
    const prefix = layer === "" ? "" : `${layer}.`;
    return {
      training: this.#pass.training === true,
      tap: (tap) => {
        const names = { layer, weight: prefix + tap.weight, bias: tap.bias && prefix + tap.bias };
        this.taps.push({ ...tap, ...names });
      },
      noise: (shape) => {
        const node = input(`noise/${this.noise.length}`, shape, this.#x.dtype);
        this.noise.push(node);
        return node;
      },
      buffer: (name) => this.#pass.buffers!.get(prefix + name)!,
      updateBuffer: (name, value) => {
        this.buffers.set(prefix + name, value);
      },
      within: (name) => this.within(prefix + name),
    };
  }
}
