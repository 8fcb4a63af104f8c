/** Convolutions by Winograd's algorithm: what they round away, where they are taken, and what is turned over for them. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import fc from "fast-check";
import { layOutImages } from "../../src/graph/image-layout.ts";
import {
  add,
  averagePool,
  type Convolution,
  concatenate,
  convolve,
  convolveTransposed,
  cosine,
  filterProducts,
  input,
  lowerToOnnx,
  mean,
  multiply,
  type NamedOutputs,
  outputSize,
  relu,
  reshape,
  type SymbolicTensor,
  sliceAxis,
  squaredNorm,
  standardize,
  sum,
  tanh,
  vjp,
} from "../../src/graph/index.ts";
import { optimize } from "../../src/graph/optimize.ts";
import { topologicalOrder } from "../../src/graph/symbolic.ts";
import { Random } from "../../src/random.ts";
import { openRuntime } from "../../src/runtime/runtime.ts";
import type { Runtime } from "../../src/runtime/session.ts";
import { type FloatDType, sizeOf } from "../../src/tensor.ts";
import { operators, readModel } from "./read-model.ts";
import { run, type Values, valuesOf } from "./support.ts";

let runtime: Runtime;
before(async () => {
  runtime = await openRuntime({ threads: 1 });
});
after(() => runtime.dispose());

const KERNEL = [3, 3] as const;
const SAME: Convolution = { strides: [1, 1], padding: [1, 1, 1, 1], dilations: [1, 1], groups: 1 };

/** Rounding that is allowed: ‖float32 − float64‖/‖float64‖. One convolution loses 1e-6, ONNX Runtime's Conv 2e-7. */
const ROUNDING = 2e-6;

function distance(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  let [error, norm] = [0, 0];
  for (let k = 0; k < expected.length; k++) {
    error += (actual[k] - expected[k]) ** 2;
    norm += expected[k] ** 2;
  }
  return Math.sqrt(error / norm);
}

/** Images of numbers about 1, filters whose sums are about 1. */
const normal = ([first, ...rest]: readonly number[], random: Random) => {
  const scale = rest[1] === 3 ? 1 / Math.sqrt(sizeOf(rest)) : 1;
  return Float32Array.from({ length: first * sizeOf(rest) }, () => scale * random.normal());
};

/** Asserts that float32 gives what float64, which knows no such algorithm, gives. */
async function assertSame(
  trace: (dtype: FloatDType) => NamedOutputs,
  feeds: Values,
  bound: number,
): Promise<void> {
  const [actual, expected] = [
    await run(runtime, trace("float32"), feeds),
    await run(runtime, trace("float64"), feeds),
  ];
  for (const [name, { data }] of Object.entries(expected)) {
    const off = distance(actual[name].data, data);
    assert.ok(off < bound, `${name}: ${off}`);
  }
}

interface Sizes {
  readonly samples: number;
  readonly channels: number;
  readonly filters: number;
  readonly size: readonly [number, number];
  readonly convolution: Convolution;
}

const SIZES: Sizes = { samples: 32, channels: 112, filters: 112, size: [8, 8], convolution: SAME };

function shapesOf({ samples, channels, filters, size, convolution }: Sizes) {
  const [rows, columns] = ([0, 1] as const).map((axis) => outputSize(size[axis], 3, axis, convolution));
  return {
    x: [samples, channels, ...size],
    w: [filters, channels / convolution.groups, ...KERNEL],
    y: [samples, filters, rows, columns],
  };
}

/** The convolution and both of its transposes. */
function threeForms(sizes: Sizes, dtype: FloatDType) {
  const [x, w, y] = Object.entries(shapesOf(sizes)).map(([name, shape]) => input(name, shape, dtype));
  const { convolution, size } = sizes;
  return {
    convolve: convolve(x, w, convolution),
    convolveTransposed: convolveTransposed(y, w, convolution, size),
    filterProducts: filterProducts(x, y, KERNEL, convolution),
  };
}

/** The same numbers for the same shapes, whichever tests ran before. */
function feedsOf(shapes: Readonly<Record<string, readonly number[]>>): Values {
  const random = new Random(3);
  return Object.fromEntries(Object.entries(shapes).map(([name, shape]) => [name, normal(shape, random)]));
}

const FEEDS = feedsOf(shapesOf(SIZES));

/** Which of the three are computed without a Conv. */
function taken(sizes: Sizes): boolean[] {
  return Object.values(threeForms(sizes, "float32")).map(
    (form) => !operators(lowerToOnnx({ form })).some((type) => type.startsWith("Conv")),
  );
}

describe("convolutions by Winograd's algorithm", () => {
  it("are the convolution and its transposes, whatever the size and the padding", async () => {
    const arbitrary = fc.record({
      samples: fc.constantFrom(32, 33),
      channels: fc.constantFrom(112, 128),
      filters: fc.constantFrom(112, 120),
      size: fc.tuple(fc.integer({ min: 4, max: 9 }), fc.integer({ min: 4, max: 9 })),
      convolution: fc
        .tuple(...Array.from({ length: 4 }, () => fc.integer({ min: 0, max: 2 })))
        .map((padding) => ({ ...SAME, padding: padding as [number, number, number, number] })),
    });
    const check = async (sizes: Sizes) => {
      fc.pre(taken(sizes).every(Boolean));
      await assertSame((dtype) => threeForms(sizes, dtype), feedsOf(shapesOf(sizes)), ROUNDING);
    };
    await fc.assert(fc.asyncProperty(arbitrary, check), { numRuns: 8 });
  });

  it("are taken for 3 × 3 filters with unit strides, many channels and samples, images of middling size", () => {
    assert.deepEqual(taken(SIZES), [true, true, true]);
    const others: [string, Partial<Sizes>][] = [
      ["few channels", { channels: 111 }],
      ["few filters", { filters: 40, channels: 128 }],
      ["few samples", { samples: 31 }],
      ["a large image", { size: [8, 65] }],
      ["an image much smaller than its tiles", { size: [5, 5] }],
      ["tiles of more than 128 MiB", { samples: 512, channels: 128, size: [40, 40] }],
      ["strides", { convolution: { ...SAME, strides: [1, 2] } }],
      ["dilations", { convolution: { ...SAME, dilations: [2, 1] } }],
      ["groups", { channels: 192, filters: 192, convolution: { ...SAME, groups: 2 } }],
    ];
    for (const [name, part] of others) {
      assert.deepEqual(taken({ ...SIZES, ...part }), [false, false, false], name);
    }
    const wide = taken({ ...SIZES, convolution: { ...SAME, padding: [3, 1, 1, 1] } });
    assert.deepEqual(
      wide,
      [false, true, false],
      "wide padding, whose transpose convolves a part of the image",
    );
  });

  it("are the same from images transformed twice, where too many would be kept", async () => {
    const [x, w, y] = Object.entries(shapesOf(SIZES)).map(([name, shape]) => input(name, shape, "float32"));
    const traced = [convolve(x, w, SAME), filterProducts(x, y, KERNEL, SAME)];
    const [kept, twice] = [optimize(layOutImages(traced)), optimize(layOutImages(traced, 0))];
    const products = (outputs: readonly SymbolicTensor[]) =>
      topologicalOrder(outputs).filter(({ operation }) => operation.name === "matmul").length;
    assert.equal(products(twice) - products(kept), 2, "rows and columns once more");
    const [, expected] = await valuesOf(runtime, kept, FEEDS);
    const [, actual] = await valuesOf(runtime, twice, FEEDS);
    assert.ok(distance(actual, expected) < ROUNDING);
    assert.notDeepEqual(actual, expected, "in another order, or it would be one node again");
  });

  it("are the same in WebAssembly", async () => {
    const web = await openRuntime({ session: "web" });
    const trace = threeForms(SIZES, "float32");
    const [actual, expected] = [await run(web, trace, FEEDS), await run(runtime, trace, FEEDS)];
    for (const [name, { data }] of Object.entries(expected)) {
      assert.ok(distance(actual[name].data, data) < ROUNDING, name);
    }
    web.dispose();
  });

  it("take a quarter of the multiplications and what their transforms add", () => {
    const sizes: Sizes = { ...SIZES, samples: 128, channels: 128, filters: 128, size: [28, 28] };
    const plain = 2 * 9 * 128 * 128 * 128 * 28 * 28;
    for (const [name, form] of Object.entries(threeForms(sizes, "float32"))) {
      const share = lowerToOnnx({ form }).flops / plain;
      assert.ok(share > 0.25 && share < 0.45, `${name}: ${share}`);
    }
  });
});

/** Images, filters and biases of a small network with two or more such convolutions. */
const [x, g] = [
  [32, 112, 8, 8],
  [32, 112, 8, 8],
];
const filters = [112, 112, ...KERNEL];
const SHAPES = { x, g, v: filters, w: filters, b: [112] };

type Inputs = Record<keyof typeof SHAPES, SymbolicTensor>;

/** Outputs and gradients of a network, traced in a dtype. */
function traced(network: (inputs: Inputs) => SymbolicTensor, dtype: FloatDType): NamedOutputs {
  const inputs = Object.fromEntries(
    Object.entries(SHAPES).map(([name, shape]) => [name, input(name, shape, dtype)]),
  ) as Inputs;
  const y = network(inputs);
  const weights = [inputs.x, inputs.v, inputs.w, inputs.b];
  const cotangent = y.rank === 4 ? inputs.g : sum(inputs.g, [2, 3]);
  const gradients = vjp([y], [sliceAxis(cotangent, 1, 0, y.shape[1])], weights);
  return { y, ...Object.fromEntries(gradients.map((gradient, k) => [`gradient${k}`, gradient])) };
}

const across = (bias: SymbolicTensor) => reshape(bias, [bias.size, 1, 1]);

/** Transpositions of whole images, of 32 × 112 × 8 × 8 numbers: those of outputs, and others, which a Flatten follows. */
function turnings(traced: NamedOutputs): number {
  const { nodes, outputs } = readModel(lowerToOnnx(traced));
  const images = outputs.filter((name) => traced[name].size === 32 * 112 * 8 * 8);
  const ofOutput = (names: readonly string[]) => names.some((name) => images.includes(name));
  return nodes.filter(
    ({ type, outputs: names }) => type === "Flatten" || (type === "Transpose" && ofOutput(names)),
  ).length;
}

describe("images between convolutions", () => {
  // No derivative jumps in them: where it does, rounding decides which side of the jump a number is on.
  const networks: [string, (inputs: Inputs) => SymbolicTensor][] = [
    [
      "biases and activations",
      ({ x, v, w, b }) => convolve(tanh(add(convolve(x, v, SAME), across(b))), w, SAME),
    ],
    [
      "normalization and a residual",
      ({ x, v, w, b }) => {
        const { standardized } = standardize(convolve(x, v, SAME), [0, 2, 3], 1e-5);
        const scaled = multiply(standardized, reshape(b, [1, 112, 1, 1]));
        return add(convolve(multiply(relu(scaled), scaled), w, SAME), x);
      },
    ],
    [
      "channels joined and cut",
      ({ x, v, w, b }) => {
        const y = convolve(x, v, SAME);
        const joined = concatenate([sliceAxis(y, 1, 32, 64), add(x, across(b))], 1);
        return convolve(sliceAxis(joined, 1, 8, 120), w, SAME);
      },
    ],
    [
      "something else in between",
      ({ x, v, w, b }) => {
        const window = { kernel: [2, 2], strides: [1, 1], padding: [0, 0, 1, 1] } as const;
        return convolve(averagePool(add(convolve(x, v, SAME), across(b)), window), w, SAME);
      },
    ],
    [
      "means of channels, a weight for every place, squares",
      ({ x, v, w, b }) => {
        const y = convolve(x, v, SAME);
        const places = multiply(y, cosine(sliceAxis(x, 0, 0, 1)));
        const z = add(convolve(multiply(places, squaredNorm(y)), w, SAME), across(b));
        return add(mean(z, [2, 3]), reshape(sum(z, [0, 2, 3]), [1, 112]));
      },
    ],
  ];
  for (const [name, network] of networks) {
    it(`${name}: the same as without`, async () => {
      await assertSame((dtype) => traced(network, dtype), feedsOf(SHAPES), 10 * ROUNDING);
    });
  }

  it("stay as convolutions leave them", () => {
    const [[, plain], [, residual]] = networks;
    const outputs = (network: (inputs: Inputs) => SymbolicTensor) => traced(network, "float32");
    assert.equal(turnings({ y: outputs(plain).y }), 2, "one at the input, one at the output");
    assert.equal(turnings({ y: outputs(residual).y }), 2, "the residual is the input once turned over");
    // Of the input, the output, the cotangent, and what the first convolution passes on.
    assert.equal(turnings(outputs(plain)), 4, "with gradients");
  });
});
