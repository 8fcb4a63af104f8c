/** Layers on images: shapes, names, values against plain loops, refusals. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { input, type NamedOutputs } from "../../src/graph/index.ts";
import {
  avgPool,
  batchNorm,
  concat,
  conv2d,
  dropout,
  globalAvgPool,
  type Layer,
  maxPool,
  Random,
  relu6,
  residual,
  sequential,
} from "../../src/index.ts";
import { openRuntime } from "../../src/runtime/runtime.ts";
import type { Runtime } from "../../src/runtime/session.ts";
import { sizeOf } from "../../src/tensor.ts";
import { assertClose, run, type Values } from "../graph/support.ts";

let runtime: Runtime;
before(async () => {
  runtime = await openRuntime({ threads: 1 });
});
after(() => runtime.dispose());

const random = new Random(7);
const numbers = (shape: readonly number[]) =>
  Float64Array.from({ length: sizeOf(shape) }, () => random.normal());

/** Runs a chain on a batch, with parameters and buffers of given or random values. */
async function forward(
  layers: readonly Layer[],
  shape: readonly number[],
  x: ArrayLike<number>,
  { training = false, values = {} as Values } = {},
) {
  const model = sequential(layers).build(shape.slice(1));
  const named = (prefix: string, specs: ReadonlyMap<string, { shape: readonly number[] }>) =>
    new Map([...specs].map(([name, spec]) => [name, input(prefix + name, spec.shape, "float64")] as const));
  const buffers = named("buffer/", model.buffers);
  const traced = model.forward(input("x", shape, "float64"), named("", model.parameters), {
    training,
    buffers,
  });
  const outputs: Record<string, NamedOutputs[string]> = { y: traced.outputs };
  for (const [name, value] of traced.buffers) outputs[`next ${name}`] = value;
  const feeds: Record<string, ArrayLike<number>> = { x };
  for (const [name, spec] of model.parameters) feeds[name] = numbers(spec.shape);
  for (const [name, { shape: own, initial }] of model.buffers) {
    feeds[`buffer/${name}`] = new Float64Array(sizeOf(own)).fill(initial);
  }
  Object.assign(feeds, values);
  return { model, traced, feeds, results: await run(runtime, outputs, feeds) };
}

const shapeOf = (layer: Layer, shape: readonly number[]) => layer.build(shape).outputShape;

describe("conv2d", () => {
  it("has PyTorch's shapes and names", () => {
    const layer = conv2d(6, { kernel: [3, 5], stride: [1, 2], padding: [0, 2], groups: 2 });
    const { outputShape, parameters } = layer.build([4, 8, 9]);
    assert.deepEqual(outputShape, [6, 6, 5]);
    assert.deepEqual(parameters.weight.shape, [6, 2, 3, 5]);
    assert.deepEqual(parameters.bias.shape, [6]);
    assert.deepEqual(Object.keys(conv2d(2, { bias: false }).build([1, 3, 3]).parameters), ["weight"]);
    assert.equal(layer.describe(), "conv2d(6, kernel 3 × 5, stride 1 × 2, padding 0 × 2, groups 2)");
  });

  it('keeps the size with padding "same", for odd and even kernels', () => {
    for (const kernel of [1, 2, 3, 4, 5]) {
      assert.deepEqual(
        shapeOf(conv2d(1, { kernel, padding: "same", dilation: 2 }), [1, 11, 12]),
        [1, 11, 12],
      );
    }
  });

  it("adds its bias to the products", async () => {
    const shape = [1, 1, 2, 2];
    const values = { "0.weight": [1, 10, 100, 1000], "0.bias": [0.5] };
    const { results } = await forward([conv2d(1, { kernel: 2 })], shape, [1, 2, 3, 4], { values });
    assert.deepEqual([...results.y.data], [1 + 20 + 300 + 4000 + 0.5]);
  });

  it("initializes within ±1/√fanIn by default", () => {
    const { weight } = conv2d(8, { kernel: 3, groups: 2 }).build([4, 5, 5]).parameters;
    const values = weight.initialize(new Random(1));
    const bound = 1 / Math.sqrt(2 * 9);
    assert.ok(values.every((value) => Math.abs(value) <= bound));
    assert.ok(Math.max(...values) > 0.9 * bound);
  });

  const refusals: [string, () => unknown, RegExp][] = [
    ["no filters", () => conv2d(0), /conv2d filters: 0/],
    ["a kernel of 0", () => conv2d(1, { kernel: 0 }), /conv2d kernel: 0/],
    ["a stride of 1.5", () => conv2d(1, { stride: 1.5 }), /conv2d stride: 1.5/],
    ["a negative padding", () => conv2d(1, { padding: -1 }), /conv2d padding: -1/],
    ["same with strides", () => conv2d(1, { padding: "same", stride: 2 }), /conv2d padding: "same"/],
    ["groups that do not divide the filters", () => conv2d(3, { groups: 2 }), /divisor of the 3 filters/],
    [
      "groups that do not divide the channels",
      () => conv2d(4, { groups: 2 }).build([3, 5, 5]),
      /divisor of the 3 channels/,
    ],
    ["features", () => conv2d(4).build([3]), /must be an image: channels, height, width/],
    ["an image smaller than the kernel", () => conv2d(4).build([1, 2, 5]), /holds a window of 3 × 3/],
    ["an image smaller than the window", () => maxPool(3).build([1, 2, 5]), /holds a window of 3 × 3/],
    ["a dropout rate of 1", () => dropout(1), /dropout rate: 1/],
    ["batch normalization of a sequence", () => batchNorm().build([3, 4]), /batchNorm/],
    [
      "a residual block of another shape",
      () => residual([conv2d(2)]).build([2, 5, 5]),
      /the shortcut's shape/,
    ],
    [
      "branches of different sizes",
      () => concat([[], [conv2d(2)]]).build([2, 5, 5]),
      /size of the first branch/,
    ],
  ];
  for (const [name, create, message] of refusals) {
    it(`refuses ${name}`, () => {
      assert.throws(create, (error: Error) => error.name === "UsageError" && message.test(error.message));
    });
  }
});

describe("pooling", () => {
  it("drops what does not fill a window", () => {
    assert.deepEqual(shapeOf(maxPool(3), [128, 28, 28]), [128, 9, 9]);
    assert.deepEqual(shapeOf(avgPool(2), [3, 5, 4]), [3, 2, 2]);
    assert.deepEqual(shapeOf(maxPool(3, { stride: 2, padding: 1 }), [1, 4, 6]), [1, 2, 3]);
    assert.deepEqual(shapeOf(globalAvgPool(), [7, 3, 2]), [7]);
  });

  it("averages channels", async () => {
    const { results } = await forward([globalAvgPool()], [1, 2, 1, 2], [1, 2, 5, 7]);
    assert.deepEqual([...results.y.data], [1.5, 6]);
  });
});

describe("batchNorm", () => {
  const shape = [3, 2, 2, 1];
  const x = numbers(shape);
  const values = { "0.weight": [2, -1], "0.bias": [0.5, 3] };
  const channel = (c: number) => Array.from(x).filter((_, k) => Math.floor(k / 2) % 2 === c);
  const moments = [0, 1].map((c) => {
    const own = channel(c);
    const mean = own.reduce((a, b) => a + b) / own.length;
    return {
      mean,
      variance: own.reduce((total, v) => total + (v - mean) ** 2, 0) / own.length,
      count: own.length,
    };
  });

  it("normalizes by the batch in training, and moves the running statistics", async () => {
    const { results } = await forward([batchNorm()], shape, x, { training: true, values });
    const expected = Array.from(x, (value, k) => {
      const c = Math.floor(k / 2) % 2;
      const { mean, variance } = moments[c];
      return ([2, -1][c] * (value - mean)) / Math.sqrt(variance + 1e-5) + [0.5, 3][c];
    });
    assertClose(results.y.data, expected, "outputs");
    const means = moments.map(({ mean }) => 0.1 * mean);
    const variances = moments.map(({ variance, count }) => 0.9 + (0.1 * variance * count) / (count - 1));
    assertClose(results["next 0.running_mean"].data, means, "running mean");
    assertClose(results["next 0.running_var"].data, variances, "running variance");
  });

  it("normalizes by the running statistics in evaluation, and leaves them", async () => {
    const running = { "buffer/0.running_mean": [0.3, -0.2], "buffer/0.running_var": [2, 0.5] };
    const { results, traced } = await forward([batchNorm()], shape, x, { values: { ...values, ...running } });
    const expected = Array.from(x, (value, k) => {
      const c = Math.floor(k / 2) % 2;
      const center = value - running["buffer/0.running_mean"][c];
      return ([2, -1][c] * center) / Math.sqrt(running["buffer/0.running_var"][c] + 1e-5) + [0.5, 3][c];
    });
    assertClose(results.y.data, expected, "outputs");
    assert.equal(traced.buffers.size, 0);
  });
});

describe("dropout", () => {
  const x = Float64Array.from({ length: 6 }, (_, k) => k + 1);
  it("drops by its noise in training and rescales what stays", async () => {
    const values = { "noise/0": [0.1, 0.74, 0.75, 0.76, 0.9, 0] };
    const { results } = await forward([dropout(0.25)], [2, 3], x, { training: true, values });
    assertClose(results.y.data, [1 / 0.75, 2 / 0.75, 0, 0, 0, 6 / 0.75], "outputs");
  });
  it("passes everything on in evaluation", async () => {
    const { results, traced } = await forward([dropout(0.25)], [2, 3], x);
    assert.deepEqual([...results.y.data], [...x]);
    assert.equal(traced.noise.length, 0);
  });
});

describe("branches", () => {
  it("residual adds body and shortcut, and names their parameters", async () => {
    const layers = [residual([conv2d(1, { kernel: 1 })], [conv2d(1, { kernel: 1, bias: false })])];
    const values = { "0.body.0.weight": [2], "0.body.0.bias": [1], "0.shortcut.0.weight": [10] };
    const { results, model, traced } = await forward(layers, [1, 1, 1, 2], [1, 3], { values });
    assert.deepEqual([...results.y.data], [13, 37]);
    assert.deepEqual([...model.parameters.keys()].sort(), Object.keys(values).sort());
    assert.deepEqual(
      traced.taps.map(({ layer, weight }) => [layer, weight]),
      [
        ["0.body.0", "0.body.0.weight"],
        ["0.shortcut.0", "0.shortcut.0.weight"],
      ],
    );
  });

  it("concat puts channels one after another, nested buffers and all", async () => {
    const layers = [concat([[], [batchNorm(), relu6()]])];
    const values = { "0.1.0.weight": [1], "0.1.0.bias": [0] };
    const { results, model } = await forward(layers, [1, 1, 1, 3], [-1, 2, 8], { values });
    const scale = 1 / Math.sqrt(1 + 1e-5);
    assertClose(results.y.data, [-1, 2, 8, 0, 2 * scale, 6], "outputs");
    assert.deepEqual([...model.buffers.keys()], ["0.1.0.running_mean", "0.1.0.running_var"]);
  });
});
