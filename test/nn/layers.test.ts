/** Activations, initializers, the NTK parameterization and model building. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import {
  type DenseOptions,
  dense,
  elu,
  flatten as flattenLayer,
  gaussian,
  gelu,
  type Layer,
  leakyRelu,
  Random,
  relu,
  sequential,
  sgd,
  sigmoid,
  sin,
  softplus,
  tanh,
  tensor,
} from "../../src/index.ts";
import { openRuntime } from "../../src/runtime/runtime.ts";
import type { Runtime } from "../../src/runtime/session.ts";
import { type Network, normal, randomBatch, trainerOf } from "../conformance/networks.ts";
import { assertNear, dot, flatten, layoutOf, unflatten } from "../conformance/reference.ts";

let runtime: Runtime;
before(async () => {
  runtime = await openRuntime();
});
after(() => runtime?.dispose());

/** Φ(x) by the alternating series of erf; right to 1e-14 for |x| < 3. */
function normalDistribution(x: number): number {
  let term = x;
  let total = x;
  for (let k = 1; k < 80; k++) {
    term *= -(x * x) / (2 * k);
    total += term / (2 * k + 1);
  }
  return 0.5 + total / Math.sqrt(2 * Math.PI);
}

describe("activations", () => {
  const cases: [string, Layer, (x: number) => number][] = [
    ["relu", relu(), (x) => Math.max(x, 0)],
    ["leakyRelu(0.01)", leakyRelu(), (x) => (x > 0 ? x : 0.01 * x)],
    ["leakyRelu(0.3)", leakyRelu(0.3), (x) => (x > 0 ? x : 0.3 * x)],
    ["tanh", tanh(), Math.tanh],
    ["sigmoid", sigmoid(), (x) => 1 / (1 + Math.exp(-x))],
    ["gelu", gelu(), (x) => x * normalDistribution(x)],
    ["softplus", softplus(), (x) => Math.log1p(Math.exp(x))],
    ["elu(1)", elu(), (x) => (x > 0 ? x : Math.expm1(x))],
    ["elu(0.5)", elu(0.5), (x) => (x > 0 ? x : 0.5 * Math.expm1(x))],
    ["sin", sin(), Math.sin],
    ["sin(3)", sin(3), (x) => Math.sin(3 * x)],
  ];
  const points = [-2.9, -1.3, -0.4, -1e-3, 1e-3, 0.2, 0.9, 2.5];

  for (const [description, layer, expected] of cases) {
    it(`${description}: values, and gradients by finite differences`, async () => {
      assert.equal(layer.describe(), description);
      // A bias in front of the activation takes every value of `points` at input 0.
      const network: Network = {
        ...{ model: sequential([dense(points.length), layer]), likelihood: gaussian(), inputShape: [1] },
        ...{ outputs: points.length, samples: 1, seed: 0 },
      };
      const trainer = await trainerOf(runtime, network, sgd({ learningRate: 0.1 }));
      const biases = Float64Array.from(points);
      trainer.setParameters({ "0.bias": tensor(biases) });
      const inputs = tensor([0], [1, 1]);
      const { data } = await trainer.predict(inputs);
      assertNear(data, points.map(expected), 1e-13, "values");

      // With targets 0 the gradient is h(b) h'(b).
      const batch = { inputs, targets: tensor(new Float64Array(points.length), [1, points.length]) };
      const gradient = (await trainer.gradient(batch)).get("0.bias")!.data;
      const step = 1e-5;
      const slopes = points.map((x) => (expected(x + step) - expected(x - step)) / (2 * step));
      assertNear(
        gradient,
        points.map((x, k) => expected(x) * slopes[k]),
        1e-8,
        "gradient",
      );
      trainer.dispose();
    });

    for (const dtype of ["float32", "float64"] as const) {
      it(`${description} is finite far out (${dtype})`, async () => {
        const far = [-1e4, -300, -100, 100, 300, 1e4];
        const network: Network = {
          ...{ model: sequential([dense(far.length), layer]), likelihood: gaussian(), inputShape: [1] },
          ...{ outputs: far.length, samples: 1, seed: 0 },
        };
        const trainer = await trainerOf(runtime, network, sgd({ learningRate: 0.1 }), { dtype });
        trainer.setParameters({ "0.bias": tensor(Float64Array.from(far)) });
        const inputs = tensor([0], [1, 1]);
        const { data } = await trainer.predict(inputs);
        assert.ok(data.every(Number.isFinite), `${data}`);
        const targets = tensor(new Float64Array(far.length).fill(1), [1, far.length]);
        const gradient = await trainer.gradient({ inputs, targets });
        assert.ok(gradient.get("0.bias")!.data.every(Number.isFinite), `${gradient.get("0.bias")!.data}`);
        trainer.dispose();
      });
    }
  }

  it("refuse options that are no numbers", () => {
    const message = (name: string) => ({
      name: "UsageError",
      message: `invalid ${name}: NaN (must be a number)`,
    });
    assert.throws(() => leakyRelu(Number.NaN), message("leakyRelu slope"));
    assert.throws(() => elu(Number.NaN), message("elu alpha"));
    assert.throws(() => sin(Number.NaN), message("sin frequency"));
  });
});

describe("initializers", () => {
  const [features, units] = [200, 150];
  const draw = (options: DenseOptions) => {
    const { parameters } = dense(units, options).build([features]);
    return {
      weight: parameters.weight.initialize(new Random(3).fork("weight")),
      bias: parameters.bias.initialize(new Random(3).fork("bias")),
    };
  };
  /** Mean 0 and this variance, within 5σ of the sample's own fluctuation; kurtosis is E[x⁴]/E[x²]². */
  function assertMoments(values: Float64Array, variance: number, kurtosis: number): void {
    const moment = (power: number) => values.reduce((sum, value) => sum + value ** power, 0) / values.length;
    const standardError = Math.sqrt(variance / values.length);
    assert.ok(Math.abs(moment(1)) < 5 * standardError, `mean ${moment(1)}`);
    const spread = variance * Math.sqrt((kurtosis - 1) / values.length);
    assert.ok(Math.abs(moment(2) - variance) < 5 * spread, `variance ${moment(2)}, not ${variance}`);
  }
  function assertUniform(values: Float64Array, bound: number): void {
    assertMoments(values, bound ** 2 / 3, 9 / 5);
    for (const value of values) assert.ok(Math.abs(value) <= bound);
    const reach = Math.max(...values.map(Math.abs));
    assert.ok(reach > bound * (1 - 20 / values.length), `reaches ${reach} of ${bound}`);
  }

  it("pytorch, the default: weights and biases uniform within ±1/√fanIn", () => {
    for (const options of [{}, { initializer: "pytorch" } as const]) {
      const { weight, bias } = draw(options);
      assertUniform(weight, 1 / Math.sqrt(features));
      assertUniform(bias, 1 / Math.sqrt(features));
    }
  });

  it("he: normal of variance 2/fanIn, biases 0", () => {
    const { weight, bias } = draw({ initializer: "he" });
    assertMoments(weight, 2 / features, 3);
    assert.ok(Math.max(...weight) > 3 * Math.sqrt(2 / features));
    assert.ok(bias.every((value) => value === 0));
  });

  it("glorot: uniform within ±√(6/(fanIn + fanOut)), biases 0", () => {
    const { weight, bias } = draw({ initializer: "glorot" });
    assertUniform(weight, Math.sqrt(6 / (features + units)));
    assert.ok(bias.every((value) => value === 0));
  });

  it("normal, which ntk takes by default: standard normal weights and biases", () => {
    for (const options of [{ initializer: "normal" } as const, { ntk: { sigmaW: 2 } }]) {
      const { weight, bias } = draw(options);
      assertMoments(weight, 1, 3);
      assertMoments(bias, 1, 3);
    }
  });

  it("gives every parameter a stream of its own, so that a layer more changes no other", async () => {
    const short = {
      model: sequential([dense(3), tanh(), dense(2)]),
      likelihood: gaussian(),
      inputShape: [3],
    };
    const long = { ...short, model: sequential([dense(3), tanh(), dense(2), tanh(), dense(2)]) };
    const parameters = [];
    for (const network of [short, long]) {
      const trainer = await trainerOf(runtime, { ...network, seed: 5 }, sgd({ learningRate: 0.1 }));
      parameters.push(trainer.getParameters());
      trainer.dispose();
    }
    for (const [name, value] of parameters[0]) assert.deepEqual(parameters[1].get(name), value);
    assert.notDeepEqual(parameters[1].get("4.bias"), parameters[1].get("2.bias"));
  });
});

describe("NTK parameterization", () => {
  it("is s = (σ_w/√F) x Wᵀ + σ_b b, derivatives too", async () => {
    const [sigmaW, sigmaB] = [1.3, 0.4];
    for (const bias of [true, false]) {
      const network: Network = {
        ...{ model: sequential([dense(2, { bias, ntk: { sigmaW, sigmaB } })]), likelihood: gaussian() },
        ...{ inputShape: [3], outputs: 2, samples: 4, seed: 2 },
      };
      const trainer = await trainerOf(runtime, network, sgd({ learningRate: 0.1 }));
      const { inputs, targets } = randomBatch(network, 4, 1);
      const weight = trainer.getParameters().get("0.weight")!.data;
      const b = trainer.getParameters().get("0.bias")?.data ?? [0, 0];
      const scale = sigmaW / Math.sqrt(3);
      const x = (n: number, i: number) => inputs.data[3 * n + i];
      const f = Float64Array.from({ length: 8 }, (_, k) => {
        const [n, o] = [Math.floor(k / 2), k % 2];
        return scale * [0, 1, 2].reduce((sum, i) => sum + x(n, i) * weight[3 * o + i], 0) + sigmaB * b[o];
      });
      assertNear((await trainer.predict(inputs)).data, f, 1e-13, "outputs");
      const gradient = await trainer.gradient({ inputs, targets });
      const residual = (n: number, o: number) => (f[2 * n + o] - targets.data[2 * n + o]) / 4;
      const byHand = Float64Array.from({ length: 6 }, (_, k) => {
        const [o, i] = [Math.floor(k / 3), k % 3];
        return scale * [0, 1, 2, 3].reduce((sum, n) => sum + residual(n, o) * x(n, i), 0);
      });
      assertNear(gradient.get("0.weight")!.data, byHand, 1e-12, "gradient of the weight");
      if (bias) {
        const expected = [0, 1].map((o) => sigmaB * [0, 1, 2, 3].reduce((sum, n) => sum + residual(n, o), 0));
        assertNear(gradient.get("0.bias")!.data, expected, 1e-12, "gradient of the bias");
      }
      // F of a linear gaussian layer: I ⊗ (1/N) Σ āāᵀ with ā = [σ_w x/√F, σ_b].
      const { shape, data } = await trainer.fisher({ inputs, targets }, "exact");
      const width = bias ? 4 : 3;
      const extended = (n: number, i: number) => (i < 3 ? scale * x(n, i) : sigmaB);
      const expected = Float64Array.from({ length: shape[0] ** 2 }, (_, k) => {
        const [p, q] = [Math.floor(k / shape[0]), k % shape[0]];
        if (Math.floor(p / width) !== Math.floor(q / width)) return 0;
        return [0, 1, 2, 3].reduce((sum, n) => sum + extended(n, p % width) * extended(n, q % width), 0) / 4;
      });
      assertNear(data, expected, 1e-12, "Fisher matrix");
      trainer.dispose();
    }
  });

  it("has outputs of variance σ_w²·‖x‖²/F + σ_b² at initialization", async () => {
    const network = {
      ...{ model: sequential([dense(4000, { ntk: { sigmaW: 1.5, sigmaB: 0.5 } })]), likelihood: gaussian() },
      ...{ inputShape: [10], seed: 1 },
    };
    const trainer = await trainerOf(runtime, network, sgd({ learningRate: 0.1 }));
    const inputs = normal(new Random(1), [1, 10]);
    const { data } = await trainer.predict(inputs);
    const squared = dot(inputs.data, inputs.data);
    const expected = (1.5 ** 2 * squared) / 10 + 0.25;
    const variance = dot(data, data) / 4000;
    assert.ok(Math.abs(variance / expected - 1) < 5 * Math.sqrt(2 / 4000), `${variance}, not ${expected}`);
    trainer.dispose();
  });
});

describe("gradients of whole networks", () => {
  it("agree with finite differences of the loss", async () => {
    for (const [k, layers] of [
      [dense(4), gelu(), dense(3), softplus(), dense(2)],
      [flattenLayer(), dense(3, { bias: false }), sin(2), dense(2)],
      [dense(3, { ntk: { sigmaW: 1, sigmaB: 1 } }), elu(), dense(2, { initializer: "he" })],
    ].entries()) {
      const network: Network = {
        ...{ model: sequential(layers), likelihood: gaussian(), inputShape: k === 1 ? [2, 2] : [3] },
        ...{ outputs: 2, samples: 3, seed: k },
      };
      const batch = randomBatch(network, 3, k);
      const trainer = await trainerOf(runtime, network, sgd({ learningRate: 0.1 }));
      const layout = layoutOf(trainer.getParameters());
      const gradient = flatten(layout, await trainer.gradient(batch));
      const at = flatten(layout, trainer.getParameters());
      const lossAt = async (parameters: Float64Array) => {
        trainer.setParameters(unflatten(layout, parameters));
        return (await trainer.evaluate(batch)).loss;
      };
      const numeric = new Float64Array(layout.size);
      for (let p = 0; p < layout.size; p++) {
        const moved = (by: number) => at.map((value, q) => (q === p ? value + by : value));
        numeric[p] = ((await lossAt(moved(1e-5))) - (await lossAt(moved(-1e-5)))) / 2e-5;
      }
      assertNear(gradient, numeric, 1e-8, `network ${k}`);
      trainer.dispose();
    }
  });
});

describe("models", () => {
  it("describe themselves as they are written", () => {
    const model = sequential([
      flattenLayer(),
      dense(8, { bias: false }),
      relu(),
      dense(2, { ntk: { sigmaW: 1 } }),
    ]);
    assert.equal(model.describe(), "flatten → dense(8, no bias) → relu → dense(2, ntk)");
  });

  it("name their parameters as PyTorch's Sequential does", () => {
    const { parameters, outputShape } = sequential([dense(4), relu(), dense(2, { bias: false })]).build([3]);
    assert.deepEqual(
      [...parameters].map(([name, { shape }]) => [name, shape]),
      [
        ["0.weight", [4, 3]],
        ["0.bias", [4]],
        ["2.weight", [2, 4]],
      ],
    );
    assert.deepEqual(outputShape, [2]);
  });

  const wrong: [() => unknown, string][] = [
    [() => sequential([]), "invalid sequential: [] (must be a list of at least one layer)"],
    [() => dense(0), "invalid dense units: 0 (must be a positive integer)"],
    [() => dense(2.5), "invalid dense units: 2.5 (must be a positive integer)"],
    [
      () => dense(2, { initializer: "zeros" as never }),
      'invalid initializer: "zeros" (must be pytorch | he | glorot | normal)',
    ],
    [() => dense(2, { ntk: { sigmaW: 0 } }), "invalid ntk.sigmaW: 0 (must be > 0)"],
    [() => dense(2, { ntk: { sigmaW: 1, sigmaB: -1 } }), "invalid ntk.sigmaB: -1 (must be >= 0)"],
    [
      () => sequential([relu(), dense(2)]).build([3, 3]),
      "layer 1: invalid input of a dense layer: (3, 3) (must be one axis of features; put flatten() before it)",
    ],
  ];
  for (const [call, message] of wrong) {
    it(message, () =>
      assert.throws(call, (error: Error) => {
        assert.equal(error.name, "UsageError");
        // Strings are quoted in messages.
        assert.equal(error.message.replaceAll('"(3, 3)"', "(3, 3)").replaceAll('"[]"', "[]"), message);
        return true;
      }),
    );
  }
});
