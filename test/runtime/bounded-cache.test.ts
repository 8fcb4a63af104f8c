import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { BoundedCache } from "../../src/runtime/bounded-cache.ts";

class Resource {
  readonly name: string;
  disposals = 0;
  constructor(name: string) {
    this.name = name;
  }
  dispose(): void {
    this.disposals++;
  }
}

describe("BoundedCache", () => {
  it("drops and disposes the least recently used", async () => {
    const cache = new BoundedCache<string, Resource>(2);
    const make = (name: string) => cache.getOrCreate(name, () => new Resource(name));
    const [a, b] = [await make("a"), await make("b")];
    assert.equal(cache.get("a"), a);
    const c = await make("c");
    assert.deepEqual([a.disposals, b.disposals, c.disposals], [0, 1, 0]);
    assert.equal(cache.get("b"), undefined);
    assert.equal(await make("a"), a);
    assert.equal(cache.size, 2);
  });

  it("creates once for callers at the same time", async () => {
    const cache = new BoundedCache<string, Resource>(2);
    let creations = 0;
    const create = async () => {
      creations++;
      await new Promise((resolve) => setImmediate(resolve));
      return new Resource("a");
    };
    const [first, second] = await Promise.all([
      cache.getOrCreate("a", create),
      cache.getOrCreate("a", create),
    ]);
    assert.equal(first, second);
    assert.equal(creations, 1);
  });

  it("never drops what is being created, nor what was created last", async () => {
    const cache = new BoundedCache<number, Resource>(1);
    const created = await Promise.all(
      [0, 1, 2].map((key) => cache.getOrCreate(key, async () => new Resource(String(key)))),
    );
    assert.deepEqual(
      created.map(({ disposals }) => disposals),
      [1, 1, 0],
    );
    assert.equal(cache.size, 1);
    assert.equal(cache.get(2), created[2]);
  });

  it("forgets a creation that fails", async () => {
    const cache = new BoundedCache<string, Resource>(1);
    const fail = () => Promise.reject(new Error("no memory"));
    await assert.rejects(cache.getOrCreate("a", fail), /no memory/);
    assert.equal(cache.size, 0);
    assert.equal((await cache.getOrCreate("a", () => new Resource("a"))).name, "a");
  });

  it("disposes everything when cleared, creations under way included", async () => {
    const cache = new BoundedCache<string, Resource>(4);
    const a = await cache.getOrCreate("a", () => new Resource("a"));
    const b = new Resource("b");
    const pending = cache.getOrCreate("b", async () => b);
    cache.clear();
    await assert.rejects(pending, /was cleared/);
    assert.deepEqual([a.disposals, b.disposals, cache.size], [1, 1, 0]);
    assert.throws(() => new BoundedCache(0), { message: "invalid cache limit: 0 (must be >= 1)" });
  });
});
