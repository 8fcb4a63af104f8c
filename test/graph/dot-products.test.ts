/** Sums of products that become dot products. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { formDotProducts } from "../../src/graph/dot-products.ts";
import { add, input, lowerToOnnx, multiply, type SymbolicTensor, sum } from "../../src/graph/index.ts";
import { topologicalOrder } from "../../src/graph/symbolic.ts";
import { Random } from "../../src/random.ts";
import { openRuntime, type Runtime } from "../../src/runtime/index.ts";

const SHAPE = [2, 3, 16, 20];
const tensors = (dtype: "float32" | "float64") => [input("x", SHAPE, dtype), input("y", SHAPE, dtype)];

function products(...outputs: SymbolicTensor[]): number {
  return topologicalOrder(formDotProducts(outputs)).filter(({ operation }) => operation.name === "matmul")
    .length;
}

describe("dot products", () => {
  let runtime: Runtime;
  before(async () => {
    runtime = await openRuntime();
  });
  after(() => runtime.dispose());

  for (const axes of [
    [2, 3],
    [0, 2, 3],
    [1, 2, 3],
  ]) {
    it(`equal sums of products over the axes ${axes}`, async () => {
      const [x, y] = tensors("float32");
      const random = new Random(0);
      const feeds = {
        x: Float32Array.from({ length: x.size }, () => random.normal()),
        y: Float32Array.from({ length: y.size }, () => random.normal()),
      };
      for (const [a, b] of [
        [x, y],
        [x, x],
      ]) {
        const total = sum(multiply(a, b), axes);
        assert.equal(products(total), 1);
        const session = await runtime.load(lowerToOnnx({ total }));
        const fetches = { total: new Float32Array(total.size) };
        const binding = session.bind(b === x ? { x: feeds.x } : feeds, fetches);
        await binding.run();
        const expected = new Float64Array(total.size);
        const strides = [960, 320, 20, 1];
        for (let k = 0; k < x.size; k++) {
          const place = SHAPE.map((size, axis) => Math.floor(k / strides[axis]) % size);
          const kept = [0, 1].filter((axis) => !axes.includes(axis));
          const index = kept.reduce((position, axis) => position * SHAPE[axis] + place[axis], 0);
          expected[index] += feeds.x[k] * (b === x ? feeds.x : feeds.y)[k];
        }
        fetches.total.forEach((value, k) => {
          assert.ok(Math.abs(value - expected[k]) < 2e-3, `${value} for ${expected[k]}`);
        });
        session.dispose();
      }
    });
  }

  it("are left alone where nothing is gained", () => {
    const [x, y] = tensors("float32");
    assert.equal(products(sum(multiply(x, y), [0, 1])), 0); // not the last axes
    assert.equal(products(sum(multiply(x, y), [3])), 0); // 20 terms
    assert.equal(products(sum(multiply(x, 2), [2, 3])), 0);
    const product = multiply(x, y);
    assert.equal(products(sum(product, [2, 3]), add(product, 1)), 0); // made anyway
    const [a, b] = tensors("float64");
    assert.equal(products(sum(multiply(a, b), [2, 3])), 0);
  });
});
