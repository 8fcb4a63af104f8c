import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { input, matmul, tanh } from "../../src/graph/index.ts";
import { compile, countOperations, openRuntime } from "../../src/runtime/index.ts";

describe("a counting runtime", () => {
  it("adds up the operations of every run, of all its programs", async () => {
    const { runtime, count } = countOperations(await openRuntime());
    const a = input("a", [4, 3], "float32");
    const b = input("b", [3, 5], "float32");
    const product = await compile(runtime, { y: matmul(a, b) });
    const curve = await compile(runtime, { y: tanh(a) });
    assert.deepEqual(count, { flops: 0, runs: 0 });
    const arrays = { a: new Float32Array(12).fill(1), b: new Float32Array(15).fill(1) };
    const y = new Float32Array(20);
    const binding = product.bind(arrays, { y });
    await binding.run();
    await binding.run();
    await curve.bind(arrays, { y: new Float32Array(12) }).run();
    assert.ok(y.every((value) => value === 3));
    assert.deepEqual(count, { flops: 2 * (2 * 4 * 3 * 5) + 12, runs: 3 });
    assert.equal(runtime.describe().length > 0, true);
    runtime.dispose();
  });
});
