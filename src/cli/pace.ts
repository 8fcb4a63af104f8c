/** How fast a run goes, measured as it goes, and how long the rest of it will take by the clock on the wall. */

/** Where a run stands, and where it is to end. */
export interface Standing {
  /** Epochs done, and batches of the one under way. */
  readonly epoch: number;
  readonly batch: number;
  /** Batches of an epoch. */
  readonly batches: number;
  /** Epochs in all. */
  readonly epochs: number;
  /** Seconds of training that are left, where they are limited. */
  readonly budget?: number;
}

/** All in seconds. */
export interface TimeLeft {
  readonly perStep: number;
  /** Of the epoch under way, with its evaluation. */
  readonly epoch: number;
  readonly run: number;
}

/** Steps over which the pace is averaged: as many as natural gradients usually take from one refresh to the next. */
const HORIZON = 100;

export class Pace {
  readonly #now: () => number;
  #mark: number;
  #steps = 0;
  #perStep = 0;
  #evaluation = 0;

  /** @param now a clock, in milliseconds */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
    this.#mark = now();
  }

  /** A step has ended. */
  step(): void {
    const seconds = this.#lap();
    this.#steps++;
    // What the first one waited for (compilation) counts until there is a second.
    const weight = 1 / Math.min(Math.max(1, this.#steps - 1), HORIZON);
    this.#perStep += weight * (seconds - this.#perStep);
  }

  /** Evaluation, and the checkpoint that follows it, have ended. */
  evaluated(): void {
    this.#evaluation = this.#lap();
  }

  /** `undefined` before the first step. */
  left({ epoch, batch, batches, epochs, budget }: Standing): TimeLeft | undefined {
    if (this.#steps === 0) return undefined;
    if (epoch >= epochs) return { perStep: this.#perStep, epoch: 0, run: 0 };
    const whole = batches * this.#perStep + this.#evaluation;
    const rest = (batches - batch) * this.#perStep + this.#evaluation;
    const byEpochs = rest + (epochs - epoch - 1) * whole;
    const byBudget = budget === undefined ? byEpochs : this.#until(budget, batches);
    return { perStep: this.#perStep, epoch: Math.min(rest, byBudget), run: Math.min(byEpochs, byBudget) };
  }

  /** Until so many seconds of training have passed; evaluation comes on top. */
  #until(seconds: number, batches: number): number {
    const evaluations = Math.ceil(seconds / (batches * this.#perStep));
    return Math.max(0, seconds) + Math.max(0, evaluations) * this.#evaluation;
  }

  #lap(): number {
    const now = this.#now();
    const seconds = (now - this.#mark) / 1000;
    this.#mark = now;
    return seconds;
  }
}
