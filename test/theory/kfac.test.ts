import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { createTrainer, gaussian, kfac } from "../../src/index.ts";
import {
  empiricalKernels,
  finiteNetwork,
  forsterTransform,
  initialValues,
  kfacDynamics,
  kfacKernel,
} from "../../src/theory/index.ts";
import {
  type KernelMatrix,
  kernelMatrix,
  product,
  transposed,
  weightedSum,
} from "../../src/theory/matrix.ts";
import { assertClose, kronecker, pseudoInverse, randomKernels, randomMatrix } from "./support.ts";

const N = 4;
const TEST = 3;

interface Rows {
  readonly inputs: KernelMatrix;
  readonly deltas: KernelMatrix;
}

/** δ_n ⊗ a_n, (rows, O·F). */
function jacobian({ inputs, deltas }: Rows): KernelMatrix {
  const [rows, width] = inputs.shape;
  const units = deltas.shape[1];
  const result = kernelMatrix(rows, units * width);
  for (let k = 0; k < result.data.length; k++) {
    const [n, rest] = [Math.floor(k / (units * width)), k % (units * width)];
    result.data[k] =
      deltas.data[n * units + Math.floor(rest / width)] * inputs.data[n * width + (rest % width)];
  }
  return result;
}

/** (1/N) J' ((1/N) δᵀδ ⊗ (1/N) aᵀa)⁺ Jᵀ, as training by K-FAC has it. */
function definition(rows: Rows, train: Rows): KernelMatrix {
  const covariance = (x: KernelMatrix) => weightedSum([product(transposed(x), x)], [1 / N]);
  const inverse = kronecker(pseudoInverse(covariance(train.deltas)), pseudoInverse(covariance(train.inputs)));
  const bar = product(product(jacobian(rows), inverse), transposed(jacobian(train)));
  return weightedSum([bar], [1 / N]);
}

/** A network's worth of random factors: widths as given, derivatives of the last layer 1. */
function randomLayers(widths: readonly number[], seed: number) {
  return widths.map((width, l) => {
    const last = l === widths.length - 1;
    const ones = (rows: number) => kernelMatrix(rows, 1, new Float64Array(rows).fill(1));
    const units = last ? 1 : widths[l + 1];
    const rows = (count: number, offset: number): Rows => ({
      inputs: randomMatrix(count, width, seed + 10 * l + offset),
      deltas: last ? ones(count) : randomMatrix(count, units, seed + 10 * l + offset + 1),
    });
    return { train: rows(N, 0), test: rows(TEST, 2) };
  });
}

function kernelsOf(layers: ReturnType<typeof randomLayers>) {
  const gram = (a: KernelMatrix, b: KernelMatrix) => product(a, transposed(b));
  const of = (which: "train" | "test") => ({
    A: layers.map((layer) => gram(layer[which].inputs, layer.train.inputs)),
    B: layers.map((layer) => gram(layer[which].deltas, layer.train.deltas)),
  });
  return { train: of("train"), test: of("test") };
}

describe("K-FAC in function space", () => {
  for (const [name, widths] of [
    ["wider than points", [6, 5, 7]],
    ["fewer inputs than points", [2, 6, 5]],
    ["one layer", [5]],
  ] as const) {
    it(`${name}: the formula is the definition`, async () => {
      const layers = randomLayers(widths, 1);
      const { train, test } = kernelsOf(layers);
      const kernel = await kfacKernel(train, test);
      assert.ok(kernel.failure === undefined, kernel.failure);
      const expected = {
        train: weightedSum(layers.map((layer) => definition(layer.train, layer.train))),
        test: weightedSum(layers.map((layer) => definition(layer.test, layer.train))),
      };
      const diagonal = kernelMatrix(N, N);
      kernel.rates.forEach((rate, n) => {
        diagonal.data[n * (N + 1)] = rate;
      });
      assertClose(diagonal.data, expected.train.data, 1e-9, "training");
      assertClose(kernel.test!.data, expected.test.data, 1e-9, "test");
    });
  }

  it("kfac() moves outputs by −ηΘ̄(f_0 − y), the last layer's part included", async () => {
    const model = finiteNetwork({ depth: 3, activation: "erf", sigmaW: 1.2 }, 10);
    const [x, y, test] = [randomMatrix(N, 7, 1), randomMatrix(N, 1, 2), randomMatrix(TEST, 7, 3)];
    const learningRate = 1e-6;
    const trainer = await createTrainer({
      ...{ model, inputShape: [7], likelihood: gaussian(), batchSize: N, dtype: "float64", seed: 4 },
      optimizer: kfac({ learningRate, damping: 1e-16, fisher: "exact" }),
    });
    const built = model.build([7]);
    const kernels = await empiricalKernels({ model: built, parameters: initialValues(built, 4) }, x, test);
    const bar = await kfacKernel(
      { A: kernels.train.Q, B: kernels.train.B },
      { A: kernels.test!.Q, B: kernels.test!.B },
    );
    assert.ok(bar.failure === undefined, bar.failure);
    try {
      assert.ok((await trainer.step({ inputs: x, targets: y })).accepted);
      const residual = weightedSum([kernels.train.outputs, y], [1, -1]);
      const change = (after: ArrayLike<number>, before: KernelMatrix) =>
        before.data.map((value, k) => (after[k] - value) / learningRate);
      const train = residual.data.map((value, n) => -bar.rates[n] * value);
      assert.ok(bar.rates.every((rate) => Math.abs(rate - (2 * N + 1)) < 1e-9));
      // Curvature of f over a step of 1e-6, and √λ = 1e-8 beside the smallest eigenvalues of the factors.
      assertClose(change((await trainer.predict(x)).data, kernels.train.outputs), train, 1e-3);
      const elsewhere = product(bar.test!, residual).data.map((value) => -value);
      assertClose(change((await trainer.predict(test)).data, kernels.test!.outputs), elsewhere, 1e-3);
    } finally {
      trainer.dispose();
    }
  });

  it("f_t follows the recursion, point by point where rates differ", async () => {
    const layers = randomLayers([2, 6, 5], 100);
    const { train, test } = kernelsOf(layers);
    const problem = {
      targets: randomMatrix(N, 1, 3),
      initial: randomMatrix(N, 1, 4),
      initialTest: randomMatrix(TEST, 1, 5),
    };
    const dynamics = await kfacDynamics(train, problem, test);
    assert.ok(dynamics.failure === undefined, dynamics.failure);
    assert.equal(dynamics.alpha, undefined);
    const bars = ["train", "test"].map((of) =>
      weightedSum(layers.map((layer) => definition(layer[of as "train"], layer.train))),
    );
    let [f, others] = [problem.initial, problem.initialTest];
    const rate = 0.6 * dynamics.optimalRate;
    for (let t = 0; t < 6; t++) {
      assertClose(dynamics.at(t, rate).train.data, f.data, 1e-8, `f_${t}, training`);
      assertClose(dynamics.at(t, rate).test!.data, others.data, 1e-8, `f_${t}, test`);
      const residual = weightedSum([f, problem.targets], [1, -1]);
      others = weightedSum([others, product(bars[1], residual)], [1, -rate]);
      f = weightedSum([f, product(bars[0], residual)], [1, -rate]);
    }
    assertClose(dynamics.limit().train.data, problem.targets.data, 1e-12);
  });

  it("α = N(L − 1) + 1 by definition, N·L with the paper's weight of the last layer", async () => {
    const { train } = kernelsOf(randomLayers([6, 5, 7], 200));
    const problem = { targets: randomMatrix(N, 1, 3), initial: randomMatrix(N, 1, 4) };
    const alphaOf = async (lastLayerWeight?: number) => {
      const dynamics = await kfacDynamics(train, problem, undefined, { lastLayerWeight });
      assert.ok(dynamics.failure === undefined);
      return dynamics.alpha!;
    };
    assert.ok(Math.abs((await alphaOf()) - (2 * N + 1)) < 1e-9);
    assert.ok(Math.abs((await alphaOf(N)) - 3 * N) < 1e-9);
  });

  it("with fewer inputs than points it is isotropic after Forster's transformation, α = N(L − 2) + M_0 + 1", async () => {
    const { points } = await forsterTransform(randomMatrix(7, 3, 6));
    const whole = [1, 2, 3, 4].map((seed) => randomKernels(7, 1, 9, seed).train);
    const train = { A: [product(points, transposed(points)), ...whole.slice(0, 2)], B: whole.slice(1) };
    const problem = { targets: randomMatrix(7, 1, 3), initial: randomMatrix(7, 1, 4) };
    const dynamics = await kfacDynamics(train, problem);
    assert.ok(dynamics.failure === undefined, dynamics.failure);
    assert.ok(Math.abs(dynamics.alpha! - (7 + 3 + 1)) < 1e-7, String(dynamics.alpha));
  });

  it("says why where training is not diagonal, and refuses several outputs", async () => {
    const singular = kernelsOf(randomLayers([5, 6, 2], 300)).train;
    const problem = { targets: randomMatrix(N, 1, 3), initial: randomMatrix(N, 1, 4) };
    assert.match(
      (await kfacDynamics(singular, problem)).failure!,
      /^K-FAC, layer 3: its kernels are singular/,
    );
    const two = { targets: randomMatrix(N, 2, 3), initial: randomMatrix(N, 2, 4) };
    await assert.rejects(kfacDynamics(singular, two), /invalid targets: 2 outputs \(must be 1 for K-FAC\)/);
  });
});
