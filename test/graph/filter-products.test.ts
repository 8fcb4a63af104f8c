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
import { operators, readModel } from "./read-model.ts";
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

  it("in as few chunks as 128 MiB of their results take", () => {
    const dilated: Convolution = { ...plain, dilations: [1, 2], padding: [1, 2, 1, 2] };
    const chunksOf = (channels: number) => {
      const [x, y] = ["x", "y"].map((name) => input(name, [32, channels, 8, 8], "float32"));
      const { nodes } = readModel(lowerToOnnx({ products: filterProducts(x, y, KERNEL, dilated) }));
      return nodes.find(({ type }) => type === "Conv")!.attributes.group;
    };
    assert.equal(chunksOf(100), 4, "of 512 positions");
    assert.equal(chunksOf(1000), 2, "of 57 MiB each, three rows of five columns");
    assert.equal(chunksOf(2000), 1, "one is larger by itself");
  });

  const pointwise: [string, [channels: number, units: number, size: number], Convolution][] = [
    ["a product of every sample", [4, 2, 4], { ...plain, padding: [0, 0, 0, 0] }],
    ["one product of all samples", [12, 10, 1], { ...plain, padding: [0, 0, 0, 0] }],
    ["one product of all samples, groups", [24, 20, 1], { ...plain, padding: [0, 0, 0, 0], groups: 2 }],
    ["strides and groups", [4, 4, 5], { ...plain, padding: [0, 0, 0, 0], strides: [2, 2], groups: 2 }],
    ["padding", [2, 3, 3], plain],
  ];
  for (const [name, [channels, units, size], layout] of pointwise) {
    it(`of filters of one element, ${name}`, async () => {
      const side = outputSize(size, 1, 0, layout);
      const [x, y] = [
        input("x", [3, channels, size, size], "float64"),
        input("y", [3, units, side, side], "float64"),
      ];
      const feeds = Object.fromEntries(
        [x, y].map(({ size: count }, k) => ["xy"[k], Array.from({ length: count }, () => random.normal())]),
      );
      const { products, each } = await run(
        runtime,
        { products: filterProducts(x, y, [1, 1], layout), each: filterProductsOfEach(x, y, [1, 1], layout) },
        feeds,
      );
      const perGroup = channels / layout.groups;
      const range = (count: number) => Array.from({ length: count }, (_, k) => k);
      const pixel = (n: number, c: number, v: number, u: number) => {
        const [row, column] = [
          v * layout.strides[0] - layout.padding[0],
          u * layout.strides[1] - layout.padding[1],
        ];
        const inside = Math.min(row, column) >= 0 && Math.max(row, column) < size;
        return inside ? feeds.x[((n * channels + c) * size + row) * size + column] : 0;
      };
      const ofSample = (n: number) =>
        range(units).flatMap((o) =>
          range(perGroup).map((c) => {
            const channel = Math.floor(o / (units / layout.groups)) * perGroup + c;
            const terms = range(side * side).map((at) => {
              return (
                feeds.y[(n * units + o) * side * side + at] *
                pixel(n, channel, Math.floor(at / side), at % side)
              );
            });
            return terms.reduce((total, term) => total + term);
          }),
        );
      const expected = range(3).map(ofSample);
      const bound = { relative: 1e-12, absolute: 1e-12 };
      assertClose(each.data, expected.flat(), "of each", bound);
      assertClose(
        products.data,
        expected[0].map((_, k) => expected[0][k] + expected[1][k] + expected[2][k]),
        "sum",
        bound,
      );
    });
  }
});
