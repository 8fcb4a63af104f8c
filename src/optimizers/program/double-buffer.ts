/** State that every step replaces, in two sets of arrays: a step reads one set and writes the other, unless it is done in place. */
import type { SlotSpec } from "../../curvature/block.ts";
import { allocate, type NamedTensors, sizeOf, type TypedArray } from "../../tensor.ts";

export type Side = 0 | 1;

/**
 * Named tensors twice. Accepting a step swaps the sides; rejecting it is doing nothing, which makes every rollback
 * exact.
 */
export class DoubleBuffer {
  readonly specs: ReadonlyMap<string, SlotSpec>;
  readonly #sides: readonly [Record<string, TypedArray>, Record<string, TypedArray>];
  #front: Side = 0;

  /** @param inPlace both sides are the same arrays: half the memory, and what a step writes is there at once */
  constructor(specs: ReadonlyMap<string, SlotSpec>, inPlace = false) {
    this.specs = specs;
    const arrays = () =>
      Object.fromEntries(
        [...specs].map(([name, { shape, dtype }]) => [name, allocate(dtype, sizeOf(shape))]),
      );
    const front = arrays();
    this.#sides = [front, inPlace ? front : arrays()];
  }

  /** The side that holds the current state. */
  get front(): Side {
    return this.#front;
  }

  get current(): Readonly<Record<string, TypedArray>> {
    return this.#sides[this.#front];
  }

  get proposed(): Readonly<Record<string, TypedArray>> {
    return this.#sides[this.#front === 0 ? 1 : 0];
  }

  /** Of both sides. */
  get bytes(): number {
    const arrays = new Set(this.#sides.flatMap((side) => Object.values(side)));
    return [...arrays].reduce((total, { byteLength }) => total + byteLength, 0);
  }

  /** Makes what the last step wrote the current state. */
  accept(): void {
    this.#front = this.#front === 0 ? 1 : 0;
  }

  /** Copies of the current tensors. */
  snapshot(): NamedTensors {
    const entries = [...this.specs].map(([name, { shape }]) => {
      return [name, { shape, data: this.current[name].slice() }] as const;
    });
    return new Map(entries);
  }
}
