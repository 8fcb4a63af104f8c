import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { RunError } from "../../src/errors.ts";
import type { OnnxModel } from "../../src/graph/onnx-model.ts";
import { openRuntime, type Runtime } from "../../src/runtime/runtime.ts";
import type { Session } from "../../src/runtime/session.ts";
import { shareSessions } from "../../src/runtime/session-cache.ts";
import { allocate } from "../../src/tensor.ts";
import { matrix } from "./conformance.ts";
import { addition, chain } from "./models.ts";

/** A runtime that counts what is compiled and released below the cache. */
function counting(runtime: Runtime): Runtime & { compiled: number; released: number } {
  const counts = { compiled: 0, released: 0 };
  const load = async (model: OnnxModel): Promise<Session> => {
    counts.compiled++;
    const session = await runtime.load(model);
    let isReleased = false;
    const dispose = () => {
      if (!isReleased) counts.released++;
      isReleased = true;
      session.dispose();
    };
    return { kind: session.kind, bind: (feeds, fetches) => session.bind(feeds, fetches), dispose };
  };
  const { kind, device, threads } = runtime;
  const describe = () => runtime.describe();
  return Object.assign(counts, { kind, device, threads, describe, load, dispose() {} });
}

for (const kind of ["native", "node", "web"] as const) {
  describe(`the cache of ${kind} sessions`, () => {
    let inner: Runtime;
    before(async () => {
      inner = await openRuntime({ session: kind, threads: 2 });
    });
    after(() => inner.dispose());

    it("compiles equal bytes once, also for loads at the same time and after all were given back", async () => {
      const runtime = counting(inner);
      const shared = shareSessions(runtime);
      const sessions = await Promise.all([1, 2, 3].map(() => shared.load(addition("float32", [2]))));
      for (const session of sessions) session.dispose();
      (await shared.load(addition("float32", [2]))).dispose();
      assert.deepEqual([runtime.compiled, runtime.released], [1, 0]);
    });

    it("keeps models apart that differ in bytes, operations or precision", async () => {
      const runtime = counting(inner);
      const shared = shareSessions(runtime);
      const model = addition("float32", [2]);
      const others = [addition("float32", [3]), { ...model, flops: 1e12 }, { ...model, float64: true }];
      for (const other of [model, ...others]) await shared.load(other);
      assert.equal(runtime.compiled, 4);
    });

    it("disposes one user's view without touching the others", async () => {
      const shared = shareSessions(inner);
      const [first, second] = await Promise.all([1, 2].map(() => shared.load(addition("float32", [1]))));
      const [a, b, c] = [Float32Array.of(1), Float32Array.of(2), new Float32Array(1)];
      const firstBinding = first.bind({ a, b }, { c: new Float32Array(1) });
      const secondBinding = second.bind({ a, b }, { c });
      first.dispose();
      first.dispose();
      await secondBinding.run();
      assert.equal(c[0], 3);
      await assert.rejects(async () => firstBinding.run(), /this session is disposed/);
      assert.throws(() => first.bind({ a, b }, { c }), /this session is disposed/);
    });

    it("runs bindings of two users at the same time", async () => {
      const shared = shareSessions(inner);
      const model = { ...chain(128, 6), flops: 1e12 };
      const weights = matrix(128, 0.1);
      const results = [1, 2].map(() => allocate("float32", 128 * 128));
      const sessions = await Promise.all([1, 2].map(() => shared.load(model)));
      const bindings = sessions.map((session, k) =>
        session.bind({ x: matrix(128, 1 + k), w: weights }, { y: results[k] }),
      );
      await Promise.all(bindings.map((binding) => binding.run()));
      const together = results.map((y) => y.slice());
      for (const binding of bindings) await binding.run();
      assert.deepEqual(together, results);
      assert.notDeepEqual(results[0], results[1]);
    });

    it("drops what is idle, the least recently used first, and never what is in use", async () => {
      const runtime = counting(inner);
      const shared = shareSessions(runtime, { sessions: 2, bytes: 1e9 });
      const used = await shared.load(addition("float32", [1]));
      for (const size of [2, 3, 2, 4]) (await shared.load(addition("float32", [size]))).dispose();
      await settled();
      assert.deepEqual([runtime.compiled, runtime.released], [4, 1], "3 was idle for the longest");
      (await shared.load(addition("float32", [2]))).dispose();
      assert.equal(runtime.compiled, 4);
      (await shared.load(addition("float32", [3]))).dispose();
      assert.equal(runtime.compiled, 5);
      const c = new Float32Array(1);
      await used.bind({ a: Float32Array.of(1), b: Float32Array.of(1) }, { c }).run();
      assert.equal(c[0], 2);
    });

    it("is bounded by bytes: a model that is larger than all of them is released at once", async () => {
      const runtime = counting(inner);
      const shared = shareSessions(runtime, { sessions: 10, bytes: 1000 });
      for (const size of [10, 10_000]) (await shared.load(addition("float32", [size]))).dispose();
      await settled();
      assert.deepEqual([runtime.compiled, runtime.released], [2, 2]);
    });

    it("leaves no trace of a model that does not compile", async () => {
      const runtime = counting(inner);
      const shared = shareSessions(runtime);
      const garbage = { ...addition("float32", [2]), bytes: Uint8Array.of(1, 2, 3, 4) };
      const loads = [shared.load(garbage), shared.load(garbage)];
      for (const load of loads) await assert.rejects(load, RunError);
      await assert.rejects(shared.load(garbage), RunError);
      assert.equal(runtime.compiled, 2);
    });

    it("gives memory back when many models come and go", async () => {
      const shared = shareSessions(inner);
      const cycle = async (index: number) => {
        const size = 2 ** 18 + index;
        const session = await shared.load(addition("float32", [size]));
        const arrays = { a: allocate("float32", size), b: allocate("float32", size) };
        await session.bind(arrays, { c: allocate("float32", size) }).run();
        session.dispose();
      };
      for (let index = 0; index < 40; index++) await cycle(index);
      const before = process.memoryUsage.rss();
      for (let index = 40; index < 140; index++) await cycle(index);
      // 100 sessions with 3 MiB of arrays each would be 300 MiB.
      assert.ok(process.memoryUsage.rss() - before < 100 * 2 ** 20);
    });

    it("refuses to load once it is disposed, and when that happens meanwhile", async () => {
      const shared = shareSessions(await openRuntime({ session: kind }));
      const loading = shared.load(addition("float32", [5]));
      shared.dispose();
      await assert.rejects(loading, /this runtime is disposed/);
      await assert.rejects(shared.load(addition("float32", [5])), /this runtime is disposed/);
    });
  });
}

/** Waits until releases that are under way have happened. */
function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
