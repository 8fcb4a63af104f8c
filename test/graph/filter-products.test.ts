/** Derivatives with respect to filters on batches that are cut into chunks: float32, by convolution, against float64, by products. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import {
  type Convolution,
  filterProducts,
  filterProductsOfEach,
  input,
  lowerToOnnx,
  outputSize,
  type SymbolicTensor,
} from "../../src/graph/index.ts";
import { Random } from "../../src/random.ts";
import { openRuntime } from "../../src/runtime/runtime.ts";
import type { Runtime } from "../../src/runtime/session.ts";
import { type FloatDType, sizeOf } from "../../src/tensor.ts";
import { operators } from "./read-model.ts";
import { assertClose, run } from "./support.ts";

let runtime: Runtime;
before(async () => {
  runtime = await openRuntime({ threads: 1 });
});
after(() => runtime.dispose());

type Products = typeof filterProducts;

const KERNEL = [3, 3] as const;
const SINGLE = { relative: 1e-5, absolute: 0 };
const random = new Random(5);

/** Of x with 4 channels a group and y with 2 units a group. */
function shapesOf(samples: number, layout: Convolution) {
  const sizes = ([0, 1] as const).map((axis) => outputSize(20, 3, axis, layout));
  return { x: [samples, 4 * layout.groups, 20, 20], y: [samples, 2 * layout.groups, ...sizes] };
}

function trace(products: Products, dtype: FloatDType, samples: number, layout: Convolution): SymbolicTensor {
  const { x, y } = shapesOf(samples, layout);
  return products(input("x", x, dtype), input("y", y, dtype), KERNEL, layout);
}

describe("derivatives with respect to filters", () => {
  const plain: Convolution = { strides: [1, 1], padding: [1, 1, 1, 1], dilations: [1, 1], groups: 1 };
  const cases: [string, number, Convolution][] = [
    ["three chunks of two samples", 6, plain],
    ["a number of samples without divisors", 5, plain],
    ["groups", 6, { ...plain, groups: 2 }],
    ["strides and dilations", 12, { ...plain, strides: [2, 2], dilations: [1, 2] }],
  ];
  for (const [name, samples, layout] of cases) {
    for (const products of [filterProducts, filterProductsOfEach]) {
      it(`${products.name}, ${name}: the same in float32 as in float64`, async () => {
        const [single, double] = (["float32", "float64"] as const).map((dtype) =>
          trace(products, dtype, samples, layout),
        );
        const feeds = Object.fromEntries(
          Object.entries(shapesOf(samples, layout)).map(([operand, shape]) => {
            return [operand, Array.from({ length: sizeOf(shape) }, () => random.normal())];
          }),
        );
        const { actual } = await run(runtime, { actual: single }, feeds);
        const { expected } = await run(runtime, { expected: double }, feeds);
        assertClose(actual.data, expected.data, name, SINGLE);
      });
    }
  }

  it("one convolution, without copies of the image for every element of the kernel", () => {
    const types = operators(lowerToOnnx({ products: trace(filterProducts, "float32", 6, plain) }));
    assert.equal(types.filter((type) => type === "Conv").length, 1);
    assert.ok(!types.includes("Concat") && !types.includes("Slice"), types.join());
  });
});
