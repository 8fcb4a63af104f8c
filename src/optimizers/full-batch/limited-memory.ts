/**
 * The inverse Hessian by its last pairs of steps and gradient changes.
 *
 *   H ← (I − ρ s yᵀ) H (I − ρ y sᵀ) + ρ s sᵀ,   ρ = 1/yᵀs,   H⁰ = γI,   γ = sᵀy/yᵀy of the last pair
 *
 * applied to the pairs kept, oldest first, without forming H: the two-loop recursion [Nocedal & Wright, 2nd ed., eq. 7.16,
 * 7.20 and algorithm 7.4].
 *
 * | symbol | variable  | shape  |
 * | ------ | --------- | ------ |
 * | s, y   | `step`, `change` of a pair | (P) |
 * | ρ      | `inverse` | number |
 * | m      | `capacity` | number |
 *
 * Pairs are kept in the training dtype, sums are float64.
 */
import { allocate, type FloatDType, type Tensor } from "../../tensor.ts";

interface Pair {
  readonly step: FloatArray;
  readonly change: FloatArray;
  /** ρ. */
  inverse: number;
}

export type FloatArray = Float32Array | Float64Array;

/** A pair is of use when the cosine of s and y is above this; rounding alone gives as much. */
const SMALLEST_COSINE = 1e-12;

export class LimitedMemory {
  readonly #capacity: number;
  readonly #size: number;
  readonly #dtype: FloatDType;
  /** The oldest first. */
  #pairs: Pair[] = [];

  /** @param size P, @param capacity m, the number of pairs kept */
  constructor(size: number, capacity: number, dtype: FloatDType) {
    this.#size = size;
    this.#capacity = capacity;
    this.#dtype = dtype;
  }

  get count(): number {
    return this.#pairs.length;
  }

  clear(): void {
    this.#pairs = [];
  }

  /**
   * Takes in a pair; the oldest makes room.
   *
   * @returns false, and nothing changed, where sᵀy is not positive: H would not be positive definite
   */
  learn(step: FloatArray, change: FloatArray): boolean {
    const full = this.#pairs.length === this.#capacity;
    const pair = { step: this.#array(), change: this.#array(), inverse: 0 };
    pair.step.set(step);
    pair.change.set(change);
    const along = dot(pair.step, pair.change);
    const scale = Math.sqrt(dot(pair.step, pair.step) * dot(pair.change, pair.change));
    pair.inverse = 1 / along;
    if (!(along > SMALLEST_COSINE * scale && Number.isFinite(scale) && Number.isFinite(pair.inverse))) {
      return false;
    }
    if (full) this.#pairs.shift();
    this.#pairs.push(pair);
    return true;
  }

  /** −H g; without pairs −g, shortened to length 1 in the 1-norm where it is longer. */
  direction(gradient: FloatArray): Float64Array {
    const direction = Float64Array.from(gradient);
    const pairs = this.#pairs;
    const weights = new Float64Array(pairs.length);
    for (let k = pairs.length - 1; k >= 0; k--) {
      const { step, change, inverse } = pairs[k];
      weights[k] = inverse * dot(step, direction);
      addScaled(direction, change, -weights[k]);
    }
    scale(direction, this.#initialScale(gradient));
    for (let k = 0; k < pairs.length; k++) {
      const { step, change, inverse } = pairs[k];
      addScaled(direction, step, weights[k] - inverse * dot(change, direction));
    }
    scale(direction, -1);
    return direction;
  }

  /** The pairs as tensors, (count, P) each, the oldest first. */
  save(): { steps: Tensor; changes: Tensor } {
    const gather = (of: (pair: Pair) => FloatArray): Tensor => {
      const data = allocate(this.#dtype, this.count * this.#size);
      this.#pairs.forEach((pair, k) => {
        data.set(of(pair), k * this.#size);
      });
      return { shape: [this.count, this.#size], data };
    };
    return { steps: gather(({ step }) => step), changes: gather(({ change }) => change) };
  }

  /** Takes back what {@link save} gave. */
  restore({ steps, changes }: { readonly steps: Tensor; readonly changes: Tensor }): void {
    const row = ({ data }: Tensor, k: number) =>
      data.subarray(k * this.#size, (k + 1) * this.#size) as FloatArray;
    this.clear();
    for (let k = 0; k < steps.shape[0]; k++) this.learn(row(steps, k), row(changes, k));
  }

  #initialScale(gradient: FloatArray): number {
    const last = this.#pairs.at(-1);
    if (last) return 1 / (last.inverse * dot(last.change, last.change));
    let length = 0;
    for (let k = 0; k < gradient.length; k++) length += Math.abs(gradient[k]);
    return Math.min(1, 1 / length);
  }

  #array(): FloatArray {
    return allocate(this.#dtype, this.#size) as FloatArray;
  }
}

/** aᵀb, in four sums that do not wait for one another. */
export function dot(a: FloatArray, b: FloatArray): number {
  let [first, second, third, fourth] = [0, 0, 0, 0];
  const end = a.length - (a.length % 4);
  for (let k = 0; k < end; k += 4) {
    first += a[k] * b[k];
    second += a[k + 1] * b[k + 1];
    third += a[k + 2] * b[k + 2];
    fourth += a[k + 3] * b[k + 3];
  }
  for (let k = end; k < a.length; k++) first += a[k] * b[k];
  return first + second + third + fourth;
}

/** a ← a + factor·b. */
function addScaled(a: Float64Array, b: FloatArray, factor: number): void {
  for (let k = 0; k < a.length; k++) a[k] += factor * b[k];
}

function scale(a: Float64Array, factor: number): void {
  for (let k = 0; k < a.length; k++) a[k] *= factor;
}
