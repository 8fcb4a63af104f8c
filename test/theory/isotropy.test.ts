import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { dense, relu, sequential, tanh } from "../../src/index.ts";
import { openRuntime, type Runtime } from "../../src/runtime/runtime.ts";
import {
  diagonalKernel,
  empiricalKernels,
  finiteNetwork,
  initialValues,
  isotropy,
  type JacobianFactors,
  jacobianFactors,
  kernelMatrix,
  type LayerFactors,
  layerWiseKernel,
  operatorDynamics,
  unitWiseFactor,
  unitWiseKernel,
  type WideNetwork,
} from "../../src/theory/index.ts";
import { type KernelMatrix, product, transposed, weightedSum } from "../../src/theory/matrix.ts";
import {
  assertClose,
  blockDiagonal,
  identity,
  kronecker,
  pseudoInverse,
  randomKernels,
  randomMatrix,
  tridiagonal,
} from "./support.ts";

let runtime: Runtime;
before(async () => {
  runtime = await openRuntime();
});
after(() => runtime?.dispose());

/** J of some units of a layer, (C·N, units·F̄). */
function jacobian({ inputs, deltas }: LayerFactors, from = 0, to = deltas.shape[1]): KernelMatrix {
  const [samples, width] = inputs.shape;
  const [rows, units] = deltas.shape;
  const result = kernelMatrix(rows, (to - from) * width);
  for (let q = 0; q < rows; q++) {
    for (let o = from; o < to; o++) {
      for (let i = 0; i < width; i++) {
        const value = deltas.data[q * units + o] * inputs.data[(q % samples) * width + i];
        result.data[q * (to - from) * width + (o - from) * width + i] = value;
      }
    }
  }
  return result;
}

/** Matrices of equal height side by side. */
function beside(blocks: readonly KernelMatrix[]): KernelMatrix {
  const rows = blocks[0].shape[0];
  const data = Array.from({ length: rows }, (_, q) =>
    blocks.flatMap(({ shape, data }) => [...data.subarray(q * shape[1], (q + 1) * shape[1])]),
  ).flat();
  return kernelMatrix(rows, data.length / rows, Float64Array.from(data));
}

/** Σ over units of (1/N) J_o' M_o Jᵀ_o, with M_o some inverse of F_o = (1/N) J_oᵀJ_o. */
function overUnits(
  rows: JacobianFactors,
  train: JacobianFactors,
  inverse: (fisher: KernelMatrix, layer: LayerFactors) => KernelMatrix,
): KernelMatrix {
  const samples = train.outputs.shape[0];
  const parts = train.layers.flatMap((layer, l) => {
    return Array.from({ length: layer.deltas.shape[1] }, (_, o) => {
      const own = jacobian(layer, o, o + 1);
      const fisher = weightedSum([product(transposed(own), own)], [1 / samples]);
      const other = jacobian(rows.layers[l], o, o + 1);
      return product(product(other, inverse(fisher, layer)), transposed(own));
    });
  });
  return weightedSum(parts, new Float64Array(parts.length).fill(1 / samples));
}

/** Ollivier's quasi-diagonal inverse of one unit's block, element by element of [Ollivier15 §2.3]; bias last. */
function quasiInverse(fisher: KernelMatrix): KernelMatrix {
  const width = fisher.shape[0];
  const last = width - 1;
  const at = (i: number, j: number) => fisher.data[i * width + j];
  const result = kernelMatrix(width, width);
  if (at(last, last) === 0) return result;
  for (let column = 0; column < width; column++) {
    const g = (i: number) => (i === column ? 1 : 0);
    let bias = g(last) / at(last, last);
    for (let i = 0; i < last; i++) {
      const ratio = at(last, i) / at(last, last);
      const pivot = at(i, i) - (at(last, i) * at(last, i)) / at(last, last);
      const w = pivot > 1e-12 * at(i, i) ? (g(i) - ratio * g(last)) / pivot : 0;
      result.data[i * width + column] = w;
      bias -= ratio * w;
    }
    result.data[last * width + column] = bias;
  }
  return result;
}

function diagonalInverse(fisher: KernelMatrix): KernelMatrix {
  const result = kernelMatrix(fisher.shape[0], fisher.shape[0]);
  for (let i = 0; i < fisher.shape[0]; i++) {
    const own = i * (fisher.shape[0] + 1);
    result.data[own] = fisher.data[own] > 0 ? 1 / fisher.data[own] : 0;
  }
  return result;
}

/** Networks with and without biases, with one output and two, with units that are never active. */
async function specimens() {
  const models = [
    sequential([dense(6), tanh(), dense(5), tanh(), dense(1)]),
    sequential([
      dense(6, { bias: false }),
      relu(),
      dense(4, { bias: false }),
      relu(),
      dense(1, { bias: false }),
    ]),
    sequential([dense(5), relu(), dense(2)]),
  ];
  return Promise.all(
    models.map(async (model, k) => {
      const built = model.build([3]);
      const network = { model: built, parameters: initialValues(built, k + 1) };
      const [x, test] = [randomMatrix(6, 3, 1), randomMatrix(4, 3, 2)];
      const [train, others] = [
        await jacobianFactors(network, x, { runtime }),
        await jacobianFactors(network, test, { runtime }),
      ];
      return { name: model.describe(), network, x, test, train, others };
    }),
  );
}

describe("metrics of finite networks in function space", () => {
  it("unit-wise equals the pseudo-inverse of every unit's block", async () => {
    for (const { name, train, others } of await specimens()) {
      const kernel = await unitWiseKernel(train, others);
      assert.ok(kernel.failure === undefined, kernel.failure);
      assertClose(kernel.train.data, overUnits(train, train, pseudoInverse).data, 1e-6, name);
      assertClose(kernel.test!.data, overUnits(others, train, pseudoInverse).data, 1e-6, `${name}, test`);
    }
  });

  it("unit-wise: with an invertible kernel of the inputs it counts active units", async () => {
    for (const activation of ["relu", "erf"] as const) {
      const network: WideNetwork = { depth: 3, activation, sigmaW: 1.4 };
      const model = finiteNetwork(network, 12).build([8]);
      const own = { model, parameters: initialValues(model, 3) };
      const [train, others] = [
        await jacobianFactors(own, randomMatrix(4, 8, 1), { runtime }),
        await jacobianFactors(own, randomMatrix(3, 8, 2), { runtime }),
      ];
      const kernel = await unitWiseKernel(train, others);
      assert.ok(kernel.failure === undefined, kernel.failure);
      for (let q = 0; q < 4; q++) {
        const active = train.layers.reduce((count, { deltas: { shape, data } }) => {
          return (
            count + data.subarray(q * shape[1], (q + 1) * shape[1]).filter((value) => value !== 0).length
          );
        }, 0);
        assert.equal(kernel.train.data[q * 5], active);
        if (activation === "erf") assert.equal(active, unitWiseFactor(network, 12) + 1);
      }
      assertClose(kernel.train.data, overUnits(train, train, pseudoInverse).data, 1e-6, activation);
      assertClose(
        kernel.test!.data,
        overUnits(others, train, pseudoInverse).data,
        1e-6,
        `${activation}, test`,
      );
    }
  });

  it("diagonal and quasi-diagonal equal the dense formulas", async () => {
    for (const { name, train } of await specimens()) {
      const diagonal = await diagonalKernel("diagonal", train, { runtime });
      assertClose(diagonal.data, overUnits(train, train, diagonalInverse).data, 1e-10, `diagonal, ${name}`);
      const quasi = await diagonalKernel("quasi-diagonal", train, { runtime });
      const expected = overUnits(train, train, (fisher, { bias }) => {
        return bias ? quasiInverse(fisher) : diagonalInverse(fisher);
      });
      assertClose(quasi.data, expected.data, 1e-9, `quasi-diagonal, ${name}`);
    }
  });

  it("damping is added to the diagonal", async () => {
    const [{ train }] = await specimens();
    const damped = (fisher: KernelMatrix) => weightedSum([fisher, identity(fisher.shape[0])], [1, 0.01]);
    const diagonal = await diagonalKernel("diagonal", train, { damping: 0.01, runtime });
    const expected = overUnits(train, train, (fisher) => diagonalInverse(damped(fisher)));
    assertClose(diagonal.data, expected.data, 1e-10);
    const quasi = await diagonalKernel("quasi-diagonal", train, { damping: 0.01, runtime });
    assertClose(quasi.data, overUnits(train, train, (fisher) => quasiInverse(damped(fisher))).data, 1e-9);
    await assert.rejects(diagonalKernel("diagonal", train, { damping: -1, runtime }), /invalid damping: -1/);
  });

  it("layer-wise equals the dense (1/N) J' (F̃ + λI)⁺ Jᵀ, at test points too", async () => {
    for (const { name, network, x, test, train, others } of await specimens()) {
      const kernels = await empiricalKernels(network, x, test, { runtime });
      const blocks = train.layers.map((layer) => jacobian(layer));
      const along = blockDiagonal(blocks);
      const rows = blocks[0].shape[0];
      const count = blocks.length;
      const ones = kernelMatrix(count, count, new Float64Array(count * count).fill(1));
      for (const [coupling, sigma] of [
        ["identity", identity(count)],
        ["ones", ones],
        ["tridiagonal", tridiagonal(count)],
      ] as const) {
        for (const damping of coupling === "tridiagonal" ? [0.05] : [0, 0.05]) {
          const metric = product(product(transposed(along), kronecker(sigma, identity(rows))), along);
          const fisher = weightedSum([metric, identity(along.shape[1])], [1 / 6, damping]);
          const inverse = pseudoInverse(fisher);
          const between = (from: JacobianFactors) => {
            const left = beside(from.layers.map((layer) => jacobian(layer)));
            return product(product(left, inverse), transposed(beside(blocks))).data.map((value) => value / 6);
          };
          const bar = await layerWiseKernel(kernels.train.layers, 6, {
            ...{ coupling, damping },
            test: kernels.test!.layers,
          });
          assert.ok(bar.failure === undefined, bar.failure);
          const what = `${coupling}, λ = ${damping}, ${name}`;
          assertClose(bar.train.data, between(train), 1e-6, what);
          assertClose(bar.test!.data, between(others), 1e-6, `${what}, test`);
        }
      }
    }
  });

  it("predict the training that they describe", async () => {
    const [{ train, others }] = await specimens();
    const bar = await unitWiseKernel(train, others);
    assert.ok(bar.failure === undefined);
    const problem = { targets: randomMatrix(6, 1, 5), initial: train.outputs, initialTest: others.outputs };
    const dynamics = await operatorDynamics("unit-wise", bar.train, problem, bar.test);
    assert.ok(dynamics.failure === undefined);
    let [f, test] = [problem.initial, problem.initialTest];
    const rate = 0.8 * dynamics.optimalRate;
    for (let t = 0; t < 5; t++) {
      assertClose(dynamics.at(t, rate).train.data, f.data, 1e-9);
      assertClose(dynamics.at(t, rate).test!.data, test.data, 1e-6);
      const residual = weightedSum([f, problem.targets], [1, -1]);
      test = weightedSum([test, product(bar.test!, residual)], [1, -rate]);
      f = weightedSum([f, product(bar.train, residual)], [1, -rate]);
    }
  });
});

describe("isotropy", () => {
  it("is the ratio of the extreme eigenvalues", async () => {
    const result = await isotropy(kernelMatrix(2, 2, Float64Array.of(3, 1, 1, 3)));
    assert.ok(result.failure === undefined);
    assert.ok(Math.abs(result.condition - 2) < 1e-14 && Math.abs(result.alpha - 3) < 1e-14);
    const singular = await isotropy(randomKernels(4, 1, 2, 1).train);
    assert.ok(singular.failure === undefined && singular.condition === Infinity);
    assert.match((await isotropy(kernelMatrix(1, 1, Float64Array.of(Number.NaN)))).failure!, /not finite/);
  });

  it("block-diagonal is isotropic once layers are wider than the points are many; Θ is not", async () => {
    const network: WideNetwork = { depth: 3, activation: "relu", sigmaW: Math.SQRT2 };
    const x = randomMatrix(10, 12, 4);
    const conditions: Record<string, number[]> = { theta: [], block: [], unit: [] };
    for (const width of [6, 256]) {
      const model = finiteNetwork(network, width).build([12]);
      const own = { model, parameters: initialValues(model, 5) };
      const { train } = await empiricalKernels(own, x, undefined, { runtime });
      const block = await layerWiseKernel(train.layers, 10);
      const unit = await unitWiseKernel(await jacobianFactors(own, x, { runtime }));
      assert.ok(block.failure === undefined && unit.failure === undefined);
      for (const [name, kernel] of [
        ["theta", train.theta],
        ["block", block.train],
        ["unit", unit.train],
      ] as const) {
        const result = await isotropy(kernel);
        assert.ok(result.failure === undefined);
        conditions[name].push(result.condition);
      }
    }
    assert.ok(
      conditions.block[0] > 1.2 && Math.abs(conditions.block[1] - 1) < 1e-9,
      String(conditions.block),
    );
    assert.ok(conditions.unit[1] < conditions.unit[0] && conditions.unit[1] < 1.3, String(conditions.unit));
    assert.ok(conditions.theta[1] > 2, String(conditions.theta));
  });

  it("a coupling without damping needs invertible kernels, and says so", async () => {
    const whole = randomKernels(4, 1, 6, 2).train;
    const deficient = randomKernels(4, 1, 2, 3).train;
    const bar = await layerWiseKernel([whole, whole, whole], 4, { coupling: "tridiagonal" });
    assert.ok(bar.failure === undefined, bar.failure);
    assertClose(bar.train.data, identity(4).data, 1e-9);
    await assert.rejects(
      layerWiseKernel([whole, whole], 4, { coupling: "tridiagonal" }),
      /singular with 2 layers/,
    );
    const refused = await layerWiseKernel([whole, deficient, whole], 4, { coupling: "tridiagonal" });
    assert.match(refused.failure!, /kernel of layer 2: singular.*damping > 0/);
  });
});
