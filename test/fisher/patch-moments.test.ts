/** Second moments of patches by distances, against patches and against loops over pixels. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import fc from "fast-check";
import { distanceCost, squaresByDistance } from "../../src/fisher/patch-distances.ts";
import {
  distancesAreCheaper,
  patchSums,
  squaresOfPatches,
  type Windows,
} from "../../src/fisher/patch-moments.ts";
import { input, outputSize } from "../../src/graph/index.ts";
import { Random } from "../../src/random.ts";
import { evaluate } from "../../src/runtime/program.ts";
import { openRuntime } from "../../src/runtime/runtime.ts";
import type { Runtime } from "../../src/runtime/session.ts";
import type { FloatDType, Tensor } from "../../src/tensor.ts";
import { normal } from "../conformance/networks.ts";
import { assertClose } from "../graph/support.ts";

let runtime: Runtime;
before(async () => {
  runtime = await openRuntime();
});
after(() => runtime.dispose());

interface Plan {
  readonly samples: number;
  readonly channels: number;
  readonly size: readonly [number, number];
  readonly kernel: readonly [number, number];
  readonly dilations: readonly [number, number];
  readonly padding: readonly [number, number, number, number];
  readonly seed: number;
}

const upTo = (max: number, min = 1) => fc.integer({ min, max });
const plans: fc.Arbitrary<Plan> = fc
  .record({
    samples: upTo(4),
    channels: upTo(3),
    size: fc.tuple(upTo(7), upTo(7)),
    kernel: fc.tuple(upTo(4), upTo(4)),
    dilations: fc.tuple(upTo(2), upTo(2)),
    padding: fc.tuple(upTo(3, 0), upTo(3, 0), upTo(3, 0), upTo(3, 0)),
    seed: upTo(1e6),
  })
  .filter((plan) => outputOf(plan).every((count) => count >= 1));

function outputOf({ size, kernel, dilations, padding }: Omit<Plan, "seed">): [number, number] {
  const convolution = { strides: [1, 1], dilations, padding } as const;
  const [rows, columns] = ([0, 1] as const).map((axis) => {
    return outputSize(size[axis], kernel[axis], axis, convolution);
  });
  return [rows, columns];
}

function windowsOf(plan: Omit<Plan, "seed">, dtype: FloatDType = "float64"): Windows {
  const { samples, channels, size, kernel, dilations, padding } = plan;
  return {
    images: input("images", [samples, channels, ...size], dtype),
    ...{ kernel, output: outputOf(plan) },
    convolution: { strides: [1, 1], dilations, padding, groups: 1 },
  };
}

/** Patches (N·T, F), pixel by pixel. */
function patchesOf(images: Tensor, plan: Plan): number[][] {
  const { samples, channels, size, kernel, dilations, padding } = plan;
  const [rows, columns] = outputOf(plan);
  const pixel = (n: number, c: number, i: number, j: number) => {
    const inside = i >= 0 && i < size[0] && j >= 0 && j < size[1];
    return inside ? Number(images.data[((n * channels + c) * size[0] + i) * size[1] + j]) : 0;
  };
  const range = (count: number) => Array.from({ length: count }, (_, k) => k);
  return range(samples * rows * columns).map((at) => {
    const [n, row, column] = [
      Math.floor(at / (rows * columns)),
      Math.floor(at / columns) % rows,
      at % columns,
    ];
    return range(channels * kernel[0] * kernel[1]).map((feature) => {
      const [c, e] = [Math.floor(feature / (kernel[0] * kernel[1])), feature % (kernel[0] * kernel[1])];
      const [i, j] = [Math.floor(e / kernel[1]) * dilations[0], (e % kernel[1]) * dilations[1]];
      return pixel(n, c, row + i - padding[0], column + j - padding[1]);
    });
  });
}

const same: Omit<Plan, "seed"> = {
  ...{ samples: 128, channels: 64, size: [32, 32], kernel: [3, 3] },
  ...{ dilations: [1, 1], padding: [1, 1, 1, 1] },
};

describe("second moments of patches", () => {
  it("are those of patches, by either way", async () => {
    await fc.assert(
      fc.asyncProperty(plans, async (plan) => {
        const windows = windowsOf(plan);
        const images = normal(new Random(plan.seed), windows.images.shape);
        const outputs = {
          distances: squaresByDistance(windows),
          patches: squaresOfPatches(windows),
          sums: patchSums(windows),
        };
        const { distances, patches, sums } = await evaluate(runtime, outputs, { images });
        const rows = patchesOf(images, plan);
        const average = (value: (row: number[]) => number) =>
          rows.reduce((total, row) => total + value(row), 0) / plan.samples;
        const features = rows[0].map((_, k) => k);
        const expected = features.flatMap((k) => features.map((l) => average((row) => row[k] * row[l])));
        const bound = { relative: 1e-12, absolute: 1e-12 };
        assertClose(distances.data, expected, "by distances", bound);
        assertClose(patches.data, expected, "by patches", bound);
        assertClose(
          sums.data,
          features.map((k) => average((row) => row[k])),
          "sums",
          bound,
        );
      }),
      { numRuns: 60, seed: 5 },
    );
  });

  it("are the same in float32 as in float64", async () => {
    const wide: fc.Arbitrary<Plan> = plans.map((plan) => ({ ...plan, channels: plan.channels + 3 }));
    const compare = async (plan: Plan) => {
      const images = normal(new Random(plan.seed), windowsOf(plan).images.shape);
      const single = await evaluate(
        runtime,
        { squares: squaresByDistance(windowsOf(plan, "float32")) },
        { images: { ...images, data: Float32Array.from(images.data as Float64Array) } },
      );
      const double = await evaluate(runtime, { squares: squaresOfPatches(windowsOf(plan)) }, { images });
      const scale = (double.squares.data as Float64Array).reduce((most, value) => Math.max(most, value));
      assertClose(single.squares.data, double.squares.data, "squares", {
        relative: 0,
        absolute: 2e-6 * scale,
      });
    };
    await fc.assert(fc.asyncProperty(wide, compare), { numRuns: 40, seed: 7 });
    await compare({ ...same, samples: 12, channels: 8, size: [20, 20], seed: 3 });
    // Wide enough for Winograd's algorithm, and for products of three by three distances.
    await compare({ ...same, samples: 32, channels: 112, size: [8, 8], kernel: [3, 2], seed: 4 });
  });

  it("3 × 3 windows padded by one take less than a fifth of the products of patches, in nine rectangles", () => {
    const { products, rectangles } = distanceCost(windowsOf(same));
    assert.equal(rectangles, 9);
    // Rows: 32 pixels at three distances and two border rows at one; columns: five distances.
    assert.equal(products, (32 * 3 + 2) * (32 * 5 + 2));
    assert.ok(5 * products < 81 * 32 * 32);
  });

  it("are taken by distances for many channels and windows one pixel apart", () => {
    const windows = windowsOf(same);
    assert.ok(distancesAreCheaper(windows));
    assert.ok(distancesAreCheaper(windowsOf({ ...same, kernel: [5, 5], padding: [2, 2, 2, 2] })), "5 × 5");
    const apart = { ...windows, convolution: { ...windows.convolution, strides: [2, 2] as const } };
    assert.ok(!distancesAreCheaper({ ...apart, output: [16, 16] }), "strides");
    assert.ok(!distancesAreCheaper(windowsOf({ ...same, kernel: [1, 1], padding: [0, 0, 0, 0] })), "1 × 1");
    assert.ok(!distancesAreCheaper(windowsOf({ ...same, channels: 3 })), "few channels");
    assert.ok(distancesAreCheaper(windowsOf({ ...same, channels: 8 }, "float32")), "8 channels, float32");
    assert.ok(!distancesAreCheaper(windowsOf({ ...same, channels: 8 }, "float64")), "8 channels, float64");
    assert.ok(!distancesAreCheaper(windowsOf({ ...same, kernel: [7, 7], padding: [3, 3, 3, 3] })), "7 × 7");
  });
});
