/** A cache of things that hold memory outside JavaScript's heap. */

interface Entry<V> {
  created: Promise<V>;
  /** Set once the creation has ended well. */
  value?: V;
}

/**
 * Keeps the `limit` most recently used values and disposes the ones it drops. Two calls that ask for the same key at the same time
 * share one creation; a creation that fails leaves no trace.
 */
export class BoundedCache<K, V extends { dispose(): void }> {
  readonly #limit: number;
  /** In order of use, the least recent first. */
  readonly #entries = new Map<K, Entry<V>>();

  constructor(limit: number) {
    if (!(limit >= 1)) throw new Error(`invalid cache limit: ${limit} (must be >= 1)`);
    this.#limit = limit;
  }

  /** Values held or being created. */
  get size(): number {
    return this.#entries.size;
  }

  /** The value, marked as just used, or undefined when it is not there or still being created. */
  get(key: K): V | undefined {
    const entry = this.#entries.get(key);
    if (entry) this.#touch(key, entry);
    return entry?.value;
  }

  /**
   * The value, created when it is not there.
   *
   * @throws what `create` throws, and an Error when the cache was cleared meanwhile
   */
  getOrCreate(key: K, create: () => V | Promise<V>): Promise<V> {
    const known = this.#entries.get(key);
    if (known) {
      this.#touch(key, known);
      return known.created;
    }
    const entry = {} as Entry<V>;
    this.#entries.set(key, entry);
    entry.created = this.#fill(key, entry, create);
    return entry.created;
  }

  /** Disposes everything, creations under way included; the cache can be used again. */
  clear(): void {
    const entries = [...this.#entries.values()];
    this.#entries.clear();
    for (const { value } of entries) value?.dispose();
  }

  async #fill(key: K, entry: Entry<V>, create: () => V | Promise<V>): Promise<V> {
    const isKept = () => this.#entries.get(key) === entry;
    try {
      const value = await create();
      if (!isKept()) {
        value.dispose();
        throw new Error("the cache was cleared while this value was being created");
      }
      entry.value = value;
      this.#touch(key, entry);
      this.#trim();
      return value;
    } catch (error) {
      if (isKept()) this.#entries.delete(key);
      throw error;
    }
  }

  #touch(key: K, entry: Entry<V>): void {
    this.#entries.delete(key);
    this.#entries.set(key, entry);
  }

  /** Creations under way are not dropped: someone is waiting for them. */
  #trim(): void {
    for (const [key, { value }] of this.#entries) {
      if (this.#entries.size <= this.#limit) return;
      if (!value) continue;
      this.#entries.delete(key);
      value.dispose();
    }
  }
}
