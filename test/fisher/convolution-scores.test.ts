/** The forms that a convolution's scores come in, against each other; what they cost, and which is taken. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import fc from "fast-check";
import {
  type ConvolutionScores,
  chooseForms,
  countForms,
  describeForm,
  formCosts,
  type GramForm,
  gramMatrix,
  type LayerVector,
  linearForm,
  scoreMatrix,
  scoreProduct,
  squaredScores,
  transposedProduct,
} from "../../src/fisher/index.ts";
import { type Convolution, input, outputSize } from "../../src/graph/index.ts";
import { Random } from "../../src/random.ts";
import { evaluate } from "../../src/runtime/program.ts";
import { openRuntime } from "../../src/runtime/runtime.ts";
import type { Runtime } from "../../src/runtime/session.ts";
import type { Tensor } from "../../src/tensor.ts";
import { normal } from "../conformance/networks.ts";

let runtime: Runtime;
before(async () => {
  runtime = await openRuntime();
});
after(() => runtime.dispose());

interface Plan {
  readonly samples: number;
  readonly draws: number;
  readonly groups: number;
  readonly perGroup: readonly [number, number];
  readonly size: readonly [number, number];
  readonly kernel: readonly [number, number];
  readonly stride: number;
  readonly padding: number;
  readonly dilation: number;
  readonly bias: boolean;
  readonly seed: number;
}

const upTo = (max: number, min = 1) => fc.integer({ min, max });
const plans: fc.Arbitrary<Plan> = fc.record({
  samples: upTo(4),
  draws: upTo(2),
  groups: upTo(3),
  perGroup: fc.tuple(upTo(3), upTo(2)),
  size: fc.tuple(upTo(7, 5), upTo(7, 5)),
  kernel: fc.tuple(upTo(3), upTo(3)),
  stride: upTo(2),
  padding: upTo(2, 0),
  dilation: upTo(2),
  bias: fc.boolean(),
  seed: upTo(1e6),
});

/** Tensors beyond what is made at a time. */
const inChunks: Plan = {
  ...{ samples: 5, draws: 1, groups: 1, perGroup: [1, 2], size: [32, 32], kernel: [1, 1] },
  ...{ stride: 1, padding: 0, dilation: 1, bias: true, seed: 7 },
};

function scoresOf(plan: Plan): { scores: ConvolutionScores; feeds: Record<string, Tensor> } {
  const { samples, draws, groups, perGroup, size, kernel, stride, padding, dilation, bias, seed } = plan;
  const convolution: Convolution = {
    ...{ strides: [stride, stride], dilations: [dilation, dilation], groups },
    padding: [padding, padding, padding, padding],
  };
  const output = ([0, 1] as const).map((axis) => outputSize(size[axis], kernel[axis], axis, convolution));
  const random = new Random(seed);
  const feeds = {
    a: normal(random, [samples, groups * perGroup[0], ...size]),
    d: normal(random, [draws * samples, groups * perGroup[1], ...output]),
  };
  const deltas = input("d", feeds.d.shape, "float64");
  const scores: ConvolutionScores = {
    ...{
      kind: "convolution",
      layer: "0",
      weight: "0.weight",
      bias: bias ? "0.bias" : undefined,
      biasInput: 1,
    },
    ...{ inputs: input("a", feeds.a.shape, "float64"), deltas, preactivations: deltas },
    ...{ rowsPerSample: draws, kernel, convolution },
  };
  return { scores, feeds };
}

describe("forms of a convolution", () => {
  it("have one Gram matrix and one set of products", async () => {
    await fc.assert(
      fc.asyncProperty(plans, async (plan) => {
        const { scores, feeds } = scoresOf(plan);
        const units = plan.groups * plan.perGroup[1];
        const features = plan.perGroup[0] * plan.kernel[0] * plan.kernel[1];
        const random = new Random(plan.seed).fork("vectors");
        const given = {
          ...feeds,
          weight: normal(random, [units, plan.perGroup[0], ...plan.kernel]),
          bias: normal(random, [units]),
          u: normal(random, [plan.draws * plan.samples]),
        };
        const results = (form: GramForm) => {
          const { linear, pack, unpack } = linearForm(scores, form);
          const vector: LayerVector = {
            weight: input("weight", given.weight.shape, "float64"),
            bias: plan.bias ? input("bias", given.bias.shape, "float64") : undefined,
          };
          const back = unpack(transposedProduct(linear, input("u", given.u.shape, "float64")));
          const squares = unpack(squaredScores(linear));
          return {
            gram: gramMatrix(linear),
            rows: scoreMatrix(linear),
            product: scoreProduct(linear, pack(vector)),
            weight: back.weight,
            squares: squares.weight,
            ...(plan.bias && { bias: back.bias!, biasSquares: squares.bias! }),
          };
        };
        const named = (form: GramForm) =>
          Object.fromEntries(Object.entries(results(form)).map(([k, v]) => [`${form}/${k}`, v]));
        const values = await evaluate(
          runtime,
          { ...named("samples"), ...named("rows"), ...named("tensors") },
          given,
        );
        assert.deepEqual(values["samples/rows"].shape, [
          plan.draws * plan.samples,
          units * (features + (plan.bias ? 1 : 0)),
        ]);
        for (const [name, { shape, data }] of Object.entries(values)) {
          const expected = values[name.replace(/^[^/]*/, "samples")];
          assert.deepEqual(shape, expected.shape, name);
          const largest = Math.max(...expected.data.map(Math.abs));
          for (const [k, value] of expected.data.entries()) {
            assert.ok(
              Math.abs(data[k] - value) <= 1e-10 * largest,
              `${name}[${k}]: ${data[k]}, not ${value}`,
            );
          }
        }
      }),
      { numRuns: 25, seed: 3, examples: [[inChunks]] },
    );
  });
});

describe("cost of the forms", () => {
  const layer = (
    channels: number,
    filters: number,
    size: number,
    samples = 128,
    name = "0",
  ): ConvolutionScores => {
    const { scores } = scoresOf({
      ...{ samples: 1, draws: 1, groups: 1, perGroup: [1, 1], size: [5, 5], kernel: [3, 3] },
      ...{ stride: 1, padding: 1, dilation: 1, bias: false, seed: 1 },
    });
    const images = (count: number) => input("x", [samples, count, size, size], "float32");
    return { ...scores, layer: name, inputs: images(channels), deltas: images(filters) };
  };

  it("counts operations and kept bytes", () => {
    const [n, t, p] = [128, 64, 256 * 256 * 9];
    const costs = formCosts(layer(256, 256, 8));
    assert.deepEqual(costs.samples, { flops: 2 * n * t * p + 2 * n ** 2 * p + 2 * n * p, bytes: 4 * n * p });
    assert.deepEqual(costs.rows.bytes, 4 * n * 2 * 256 * t);
    assert.equal(costs.rows.flops, 2 * n * t * p + 2 * n ** 2 * p + 2 * n * t * p);
    assert.equal(costs.tensors.flops, 2 * n ** 2 * t ** 2 * (256 * 9 + 256 + 1) + 2 * n * t * p);
  });

  it("takes covariance tensors where images are small and layers wide, and what keeps less where memory is short", () => {
    const layers = [
      layer(16, 16, 32, 128, "first"),
      layer(512, 512, 8, 128, "wide"),
      layer(512, 512, 2, 128, "last"),
    ];
    const free = chooseForms(layers, Infinity);
    assert.deepEqual([...free.values()], ["samples", "samples", "tensors"]);
    const short = chooseForms(layers, 128 * 2 ** 20);
    assert.deepEqual([...short.values()], ["samples", "rows", "tensors"]);
    assert.equal(countForms([...short.values()]).split(",").length, 3);
    assert.match(
      describeForm("tensors", layers[2]),
      /^covariance tensors, \d.* GFLOP; explicit per-sample gradients would take .* GFLOP$/,
    );
    assert.match(
      describeForm("samples", layers[0]),
      /^explicit per-sample gradients, .* MFLOP; covariance tensors would take .* TFLOP$/,
    );
  });
});
