import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { conv2d, dense, flatten, sequential, tanh } from "../../src/index.ts";
import { openRuntime, type Runtime } from "../../src/runtime/runtime.ts";
import {
  analyticKernels,
  empiricalKernels,
  finiteNetwork,
  initialValues,
  jacobianFactors,
  type WideNetwork,
} from "../../src/theory/index.ts";
import { type KernelMatrix, kernelMatrix, product, transposed } from "../../src/theory/matrix.ts";
import { assertClose, randomMatrix } from "./support.ts";

let runtime: Runtime;
before(async () => {
  runtime = await openRuntime();
});
after(() => runtime?.dispose());

/** J_l from its factors, (C·N, O·F̄). */
function jacobian({ inputs, deltas }: { inputs: KernelMatrix; deltas: KernelMatrix }): KernelMatrix {
  const [samples, width] = inputs.shape;
  const [rows, units] = deltas.shape;
  const result = kernelMatrix(rows, units * width);
  for (let q = 0; q < rows; q++) {
    for (let k = 0; k < units * width; k++) {
      result.data[q * units * width + k] =
        deltas.data[q * units + Math.floor(k / width)] * inputs.data[(q % samples) * width + (k % width)];
    }
  }
  return result;
}

describe("empirical kernels", () => {
  it("are J_l' J_lᵀ, for several outputs too, and the factors are those of finite differences", async () => {
    const model = sequential([dense(5), tanh(), dense(3), tanh(), dense(2)]).build([4]);
    const network = { model, parameters: initialValues(model, 1) };
    const [x, test] = [randomMatrix(3, 4, 2), randomMatrix(2, 4, 3)];
    const kernels = await empiricalKernels(network, x, test, { runtime });
    const factors = await jacobianFactors(network, x, { runtime });
    const others = await jacobianFactors(network, test, { runtime });
    assert.deepEqual(kernels.names, ["0", "2", "4"]);
    factors.layers.forEach((layer, l) => {
      const columns = transposed(jacobian(layer));
      assertClose(kernels.train.layers[l].data, product(jacobian(layer), columns).data, 1e-12, `Θ_${l + 1}`);
      const rows = jacobian(others.layers[l]);
      assertClose(kernels.test!.layers[l].data, product(rows, columns).data, 1e-12, `Θ_${l + 1}(x', x)`);
    });
    assertClose(kernels.train.outputs.data, factors.outputs.data, 1e-14);
    assertClose(kernels.test!.outputs.data, others.outputs.data, 1e-14);

    // ∂f/∂θ of one weight of the second layer and one bias of the first, by central differences.
    for (const [name, layer, column] of [
      ["2.weight", 1, 1 * 6 + 3],
      ["0.bias", 0, 2 * 5 + 4],
    ] as const) {
      const moved = async (step: number) => {
        const parameters = new Map(network.parameters);
        const data = Float64Array.from(parameters.get(name)!.data);
        data[name === "0.bias" ? 2 : 1 * 5 + 3] += step;
        parameters.set(name, { shape: parameters.get(name)!.shape, data });
        return (await jacobianFactors({ model, parameters }, x, { runtime })).outputs.data;
      };
      const [up, down] = [await moved(1e-5), await moved(-1e-5)];
      const j = jacobian(factors.layers[layer]);
      for (let q = 0; q < 6; q++) {
        const [c, n] = [Math.floor(q / 3), q % 3];
        const difference = (up[n * 2 + c] - down[n * 2 + c]) / 2e-5;
        assert.ok(Math.abs(j.data[q * j.shape[1] + column] - difference) < 1e-8, `${name}, row ${q}`);
      }
    }
  });

  for (const activation of ["relu", "erf"] as const) {
    it(`${activation}: approach the analytic ones as the width grows, error as 1/√M`, async () => {
      const network: WideNetwork = { depth: 3, activation, sigmaW: 1.4, sigmaB: 0.3 };
      const [x, test] = [randomMatrix(4, 5, 4), randomMatrix(3, 5, 5)];
      const limits = { train: analyticKernels(network, x), test: analyticKernels(network, x, test) };
      const errors: number[] = [];
      for (const width of [32, 2048]) {
        const model = finiteNetwork(network, width).build([5]);
        const own = await empiricalKernels({ model, parameters: initialValues(model, 6) }, x, test, {
          runtime,
        });
        let worst = 0;
        for (const of of ["train", "test"] as const) {
          for (const kind of ["Q", "B", "layers"] as const) {
            own[of]![kind].forEach(({ data }, l) => {
              const limit = limits[of][kind][l].data;
              const scale = limit.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
              data.forEach((value, k) => {
                worst = Math.max(worst, Math.abs(value - limit[k]) / scale);
              });
            });
          }
        }
        errors.push(worst);
      }
      // √(2048/32) = 8; a single draw of either width scatters around its mean error.
      assert.ok(errors[1] < 0.15 && errors[1] < errors[0] / 3, errors.join(", "));
    });
  }

  it("in the wide limit outputs are independent: Θ → Θ ⊗ I_C", async () => {
    const network: WideNetwork = { depth: 2, activation: "relu", sigmaW: 1.4 };
    const x = randomMatrix(2, 3, 7);
    const model = finiteNetwork(network, 8192, 2).build([3]);
    const { train } = await empiricalKernels({ model, parameters: initialValues(model, 8) }, x, undefined, {
      runtime,
    });
    const { theta } = analyticKernels(network, x);
    const expected = kernelMatrix(4, 4);
    for (let c = 0; c < 2; c++) {
      for (let k = 0; k < 4; k++) {
        expected.data[(2 * c + Math.floor(k / 2)) * 4 + 2 * c + (k % 2)] = theta.data[k];
      }
    }
    assertClose(train.theta.data, expected.data, 0.06);
  });

  it("refuse with the number what would not fit, and layers that are not dense", async () => {
    const model = sequential([dense(2)]).build([3]);
    const own = { model, parameters: initialValues(model, 1) };
    await assert.rejects(
      empiricalKernels(own, randomMatrix(100, 3, 1), undefined, { runtime, memoryLimit: 1000 }),
      /kernels of 100 points needs 1\.4 MiB, the limit is 1000 B/,
    );
    const images = sequential([conv2d(2, { kernel: 1 }), flatten(), dense(1)]).build([1, 2, 2]);
    const network = { model: images, parameters: initialValues(images, 1) };
    const points = { shape: [2, 1, 2, 2], data: new Float64Array(8) };
    await assert.rejects(
      empiricalKernels(network, points, undefined, { runtime }),
      /takes dense layers only/,
    );
  });

  it("float32 computes the same to its precision", async () => {
    const network: WideNetwork = { depth: 2, activation: "erf", sigmaW: 1 };
    const model = finiteNetwork(network, 16).build([3]);
    const own = { model, parameters: initialValues(model, 9) };
    const x = randomMatrix(3, 3, 10);
    const [double, single] = [
      await empiricalKernels(own, x, undefined, { runtime }),
      await empiricalKernels(own, x, undefined, { runtime, dtype: "float32" }),
    ];
    assertClose(single.train.theta.data, double.train.theta.data, 1e-5);
  });
});
