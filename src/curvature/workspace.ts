/**
 * Float64 memory for large factorizations, lent to as many at a time as fit a limit.
 *
 * A deep network refreshes dozens of layers in one step, and in float64 all their matrices at once would take more than everything
 * else. The largest work goes first, so that no later one needs more than there is; what is given back is kept and lent again,
 * for fresh pages at every refresh would cost a third of an inversion.
 */

/** Work that takes less than this together is done at once: two inversions of order 5792, a thread each. */
const LIMIT_BYTES = 2 ** 30;

interface Waiting {
  readonly length: number;
  start(block: Float64Array): void;
  refuse(error: unknown): void;
}

export interface WorkspaceOptions {
  /** Bytes lent at once, or what the largest work alone takes if that is more (default 1 GiB). */
  readonly limit?: number;
  /** Whether memory is kept for the next refresh (default true). */
  readonly keep?: boolean;
}

export class Workspace {
  readonly #limit: number;
  readonly #keep: boolean;
  /** Given back, the smallest first. */
  #free: Float64Array[] = [];
  /** The largest first. */
  readonly #waiting: Waiting[] = [];
  /** Bytes of all blocks, free or lent. */
  #bytes = 0;
  #lent = 0;
  #scheduled = false;

  constructor({ limit = LIMIT_BYTES, keep = true }: WorkspaceOptions = {}) {
    this.#limit = limit;
    this.#keep = keep;
  }

  /** What it comes to hold where work of each of these bytes is asked for at once. */
  bytesFor(bytes: readonly number[]): number {
    const all = bytes.reduce((total, value) => total + value, 0);
    return Math.min(all, Math.max(this.#limit, ...bytes));
  }

  /** Does some work with that many numbers of memory, whose contents are arbitrary, as soon as they are free. */
  lend<T>(length: number, work: (block: Float64Array) => Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const start = (block: Float64Array) => {
        const done = work(block.subarray(0, length)).finally(() => this.#giveBack(block));
        done.then(resolve, reject);
      };
      this.#waiting.push({ length, start, refuse: reject });
      if (this.#scheduled) return;
      this.#scheduled = true;
      queueMicrotask(() => {
        this.#scheduled = false;
        this.#waiting.sort((a, b) => b.length - a.length);
        this.#startWaiting();
      });
    });
  }

  #giveBack(block: Float64Array): void {
    this.#lent--;
    this.#free.push(block);
    this.#free.sort((a, b) => a.length - b.length);
    this.#startWaiting();
    if (this.#keep || this.#lent > 0) return;
    this.#free = [];
    this.#bytes = 0;
  }

  #startWaiting(): void {
    for (let k = 0; k < this.#waiting.length; ) {
      const { length, start, refuse } = this.#waiting[k];
      let block: Float64Array | undefined;
      try {
        block = this.#take(length);
      } catch (error) {
        refuse(error); // the machine has no such memory
        this.#waiting.splice(k, 1);
        continue;
      }
      if (!block) {
        k++;
        continue;
      }
      this.#waiting.splice(k, 1);
      this.#lent++;
      start(block);
    }
  }

  /** The smallest free block that is large enough, or a new one if there is room; some room there always is. */
  #take(length: number): Float64Array | undefined {
    const found = this.#free.findIndex((block) => block.length >= length);
    if (found >= 0) return this.#free.splice(found, 1)[0];
    const bytes = length * Float64Array.BYTES_PER_ELEMENT;
    const free = this.#free.reduce((total, { byteLength }) => total + byteLength, 0);
    if (this.#lent > 0 && this.#bytes - free + bytes > this.#limit) return undefined;
    while (this.#free.length > 0 && this.#bytes + bytes > this.#limit) {
      this.#bytes -= this.#free.pop()!.byteLength;
    }
    const block = new Float64Array(length);
    this.#bytes += bytes;
    return block;
  }
}
