/**
 * Tells a method made for full batches when its batches are too small: the loss at the same parameters then differs from
 * one batch to the next by more than a step gains.
 */

/** Differences below this part of the loss are no matter. */
const NEGLIGIBLE = 1e-3;

export class BatchNoise {
  /** The loss that the last step ended with, on its own batch, and how much lower that was than before it. */
  #last: { loss: number; gain: number } | undefined;

  /** Whether noise outweighs progress, given the loss of a new batch before its step. */
  dominates(loss: number): boolean {
    if (!this.#last) return false;
    const difference = Math.abs(loss - this.#last.loss);
    return difference > Math.max(this.#last.gain, NEGLIGIBLE * Math.abs(loss));
  }

  /** Takes note of an accepted step. */
  record(before: number, after: number): void {
    this.#last = { loss: after, gain: before - after };
  }

  /** For a checkpoint; `undefined` before the first step. */
  get memory(): unknown {
    return this.#last;
  }

  recall(memory: unknown): void {
    this.#last = memory as { loss: number; gain: number } | undefined;
  }
}

/** The status of a step that noise outweighs. */
export function smallBatches(method: string): string {
  return `small batches: the loss changes more from batch to batch than by a step (${method} wants full batches)`;
}
