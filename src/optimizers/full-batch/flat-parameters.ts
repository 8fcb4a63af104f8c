/** All parameters of a model as one vector, in the model's order, on the two sides of a double buffer. */
import { concatenate, reshape, type SymbolicTensor } from "../../graph/index.ts";
import { sizeOf, type TypedArray } from "../../tensor.ts";
import type { Problem } from "../optimizer.ts";
import type { DoubleBuffer } from "../program/double-buffer.ts";
import { parameterInput } from "../program/traced-batch.ts";

export class FlatParameters {
  /** P. */
  readonly size: number;
  readonly #state: DoubleBuffer;
  readonly #names: readonly string[];

  constructor({ model }: Problem, state: DoubleBuffer) {
    this.#state = state;
    this.#names = [...model.parameters.keys()].map(parameterInput);
    this.size = [...model.parameters.values()].reduce((total, { shape }) => total + sizeOf(shape), 0);
  }

  /** The arrays of the current parameters. */
  get current(): TypedArray[] {
    return this.#names.map((name) => this.#state.current[name]);
  }

  /** Proposes θ + αd, d (P). */
  propose(direction: Float64Array, step: number): void {
    const { current, proposed } = this.#state;
    let start = 0;
    for (const name of this.#names) {
      const [from, to] = [current[name], proposed[name]];
      for (let k = 0; k < from.length; k++) to[k] = from[k] + step * direction[start + k];
      start += from.length;
    }
  }

  /** Proposes the current parameters. */
  proposeCurrent(): void {
    const { current, proposed } = this.#state;
    for (const name of this.#names) proposed[name].set(current[name]);
  }

  /** θ' − θ, (P). */
  step(): Float64Array {
    const { current, proposed } = this.#state;
    const result = new Float64Array(this.size);
    let start = 0;
    for (const name of this.#names) {
      const [from, to] = [current[name], proposed[name]];
      for (let k = 0; k < from.length; k++) result[start + k] = to[k] - from[k];
      start += from.length;
    }
    return result;
  }
}

/** Tensors of the parameters, by name, as one vector (P). */
export function flatten(named: ReadonlyMap<string, SymbolicTensor>): SymbolicTensor {
  return concatenate([...named.values()].map((node) => reshape(node, [-1])));
}
