/** One seeded generator for everything random: initial weights, shuffles, Monte-Carlo targets, synthetic data. */
import { uniformFloat64 } from "pure-rand/distribution/uniformFloat64";
import { xoroshiro128plus, xoroshiro128plusFromState } from "pure-rand/generator/xoroshiro128plus";
import type { RandomGenerator } from "pure-rand/types/RandomGenerator";

/** Where a generator stands; feed it to {@link Random.restore} to continue with the same bits. */
export type RandomState = readonly number[];

/**
 * A seeded generator (xoroshiro128+). Independent streams come from {@link Random.fork}, so that one more draw in
 * one place does not shift the numbers in another.
 */
export class Random {
  readonly seed: number;
  #generator: RandomGenerator;
  #spare: number | undefined;

  constructor(seed: number) {
    if (!Number.isSafeInteger(seed)) throw new Error(`invalid seed: ${seed} (must be an integer)`);
    this.seed = seed;
    this.#generator = xoroshiro128plus(mix(seed, ""));
  }

  /** An independent stream named `label`, the same for the same seed and label whatever was drawn before. */
  fork(label: string): Random {
    return new Random(mix(this.seed, label));
  }

  /** Uniform in [0, 1), 53 bits. */
  uniform(): number {
    return uniformFloat64(this.#generator);
  }

  /** Standard normal, by Marsaglia's polar method. */
  normal(): number {
    if (this.#spare !== undefined) {
      const value = this.#spare;
      this.#spare = undefined;
      return value;
    }
    for (;;) {
      const u = 2 * this.uniform() - 1;
      const v = 2 * this.uniform() - 1;
      const square = u * u + v * v;
      if (square === 0 || square >= 1) continue;
      const factor = Math.sqrt((-2 * Math.log(square)) / square);
      this.#spare = v * factor;
      return u * factor;
    }
  }

  /** Uniform integer in [0, bound). */
  integer(bound: number): number {
    return Math.floor(this.uniform() * bound);
  }

  /** A random order of 0 … length−1 (Fisher-Yates). */
  permutation(length: number): Int32Array {
    const order = Int32Array.from({ length }, (_, index) => index);
    for (let last = length - 1; last > 0; last--) {
      const other = this.integer(last + 1);
      const held = order[last];
      order[last] = order[other];
      order[other] = held;
    }
    return order;
  }

  /** The state as plain numbers. */
  state(): RandomState {
    const spare = this.#spare === undefined ? [] : [this.#spare];
    return [...this.#generator.getState(), ...spare];
  }

  /** Continues from a saved state with the same bits. */
  restore(state: RandomState): void {
    this.#generator = xoroshiro128plusFromState(state.slice(0, 4));
    this.#spare = state[4];
  }
}

/** A 32-bit seed from a seed and a label (FNV-1a over both). */
function mix(seed: number, label: string): number {
  let hash = 0x811c9dc5;
  for (const character of `${seed}/${label}`) {
    hash = Math.imul(hash ^ character.codePointAt(0)!, 0x01000193);
  }
  return hash | 0;
}
