import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { openRuntime, type Runtime } from "../../src/runtime/runtime.ts";
import {
  type ActivationName,
  analyticKernels,
  empiricalKernels,
  finiteNetwork,
  initialValues,
  type WideNetwork,
} from "../../src/theory/index.ts";
import { assertClose, quadratures, randomMatrix } from "./support.ts";

const three: WideNetwork = { depth: 3, activation: "relu", sigmaW: Math.SQRT2 };

/** Θ of two points by quadrature of every expectation. */
function quadratureKernel(network: WideNetwork, x: ArrayLike<number>, y: ArrayLike<number>) {
  const { depth, activation, sigmaW, sigmaB = 0 } = network;
  const dual = quadratures[activation];
  const dot = (a: ArrayLike<number>, b: ArrayLike<number>) =>
    Array.from(a).reduce((sum, value, k) => sum + value * b[k], 0) / a.length;
  const next = (value: number) => sigmaW ** 2 * value + sigmaB ** 2;
  let [own, other, both] = [dot(x, x), dot(y, y), dot(x, y)].map(next);
  const Q = [both];
  const derivatives: number[] = [];
  for (let l = 1; l < depth; l++) {
    const c = Math.max(-1, Math.min(1, both / Math.sqrt(own * other)));
    derivatives.push(dual.derivative(own, other, c));
    [own, other, both] = [
      next(dual.covariance(own, own, 1)),
      next(dual.covariance(other, other, 1)),
      next(dual.covariance(own, other, c)),
    ];
    Q.push(both);
  }
  let B = 1;
  let theta = Q[depth - 1];
  for (let l = depth - 2; l >= 0; l--) {
    B *= sigmaW ** 2 * derivatives[l];
    theta += B * Q[l];
  }
  return theta;
}

describe("analytic kernels", () => {
  for (const activation of ["relu", "erf"] as ActivationName[]) {
    it(`${activation}: equal nested quadratures within 1e-10`, () => {
      const network = { depth: 3, activation, sigmaW: 1.3, sigmaB: 0.4 };
      const [x, others] = [randomMatrix(2, 5, 1), randomMatrix(2, 5, 2)];
      const { theta } = analyticKernels(network, x, others);
      for (let i = 0; i < 2; i++) {
        for (let j = 0; j < 2; j++) {
          const [a, b] = [others.data.subarray(i * 5, (i + 1) * 5), x.data.subarray(j * 5, (j + 1) * 5)];
          const error = theta.data[i * 2 + j] - quadratureKernel(network, a, b);
          assert.ok(Math.abs(error) < 1e-10, `(${i}, ${j}): off by ${error}`);
        }
      }
    });
  }

  it("σ_w² = 2, no bias, ‖x‖² = M_0: every ReLU layer keeps variances, and Θ(x, x) = 2L", () => {
    const x = randomMatrix(4, 6, 3);
    for (let n = 0; n < 4; n++) {
      const row = x.data.subarray(n * 6, (n + 1) * 6);
      const norm = Math.hypot(...row) / Math.sqrt(6);
      for (let k = 0; k < 6; k++) row[k] /= norm;
    }
    const kernels = analyticKernels({ ...three, depth: 5 }, x);
    for (let n = 0; n < 4; n++) {
      for (const { data } of kernels.A) assert.ok(Math.abs(data[n * 5] - 1) < 1e-12);
      for (const { data } of kernels.layers) assert.ok(Math.abs(data[n * 5] - 2) < 1e-12);
      assert.ok(Math.abs(kernels.theta.data[n * 5] - 10) < 1e-11);
    }
  });

  it("the first layer divides by M_0: one linear layer has Θ = σ_w² x·x'/M_0 + σ_b²", () => {
    const x = randomMatrix(3, 4, 4);
    const { theta, A, Q, B } = analyticKernels({ depth: 1, activation: "erf", sigmaW: 2, sigmaB: 0.5 }, x);
    const dot = (i: number, j: number) =>
      [0, 1, 2, 3].reduce((s, k) => s + x.data[i * 4 + k] * x.data[j * 4 + k], 0);
    const expected = Float64Array.from({ length: 9 }, (_, k) => dot(Math.floor(k / 3), k % 3) + 0.25);
    assertClose(theta.data, expected, 1e-14);
    assert.deepEqual([A.length, Q.length, B.length], [1, 1, 1]);
  });

  it("between points and themselves (N', N) repeats (N, N)", () => {
    const x = randomMatrix(5, 3, 5);
    const own = analyticKernels(three, x);
    const both = analyticKernels(three, x, x);
    assert.deepEqual(own.theta.data, both.theta.data);
    for (let i = 0; i < 5; i++) {
      for (let j = 0; j < 5; j++) assert.equal(own.theta.data[i * 5 + j], own.theta.data[j * 5 + i]);
    }
  });

  it("refuses what is not a network or a matrix of points", () => {
    const x = randomMatrix(2, 2, 6);
    assert.throws(() => analyticKernels({ ...three, depth: 0 }, x), /invalid depth: 0/);
    assert.throws(() => analyticKernels({ ...three, sigmaW: 0 }, x), /invalid sigmaW: 0/);
    assert.throws(() => analyticKernels({ ...three, sigmaB: -1 }, x), /invalid sigmaB: -1/);
    assert.throws(() => analyticKernels(three, x, randomMatrix(2, 3, 6)), /invalid others: shape \(2, 3\)/);
    x.data[1] = Number.NaN;
    assert.throws(() => analyticKernels(three, x), /invalid inputs: NaN/);
  });
});

describe("analytic kernels against 64 networks", () => {
  let runtime: Runtime;
  before(async () => {
    runtime = await openRuntime();
  });
  after(() => runtime?.dispose());

  /** The bias of a finite width falls as 1/M, the standard error of 64 networks as 1/(8√M): at 512 units the former is a third of the latter. */
  for (const activation of ["relu", "erf"] as const) {
    it(`${activation}: A, B and Θ of every layer within three standard errors`, async () => {
      const network: WideNetwork = { depth: 3, activation, sigmaW: 1.4 };
      const x = randomMatrix(3, 4, 7);
      const model = finiteNetwork(network, 512).build([4]);
      const sums = new Map<string, { first: number; second: number }>();
      for (let seed = 0; seed < 64; seed++) {
        const { train } = await empiricalKernels(
          { model, parameters: initialValues(model, seed) },
          x,
          undefined,
          {
            runtime,
          },
        );
        for (const kind of ["Q", "B", "layers"] as const) {
          train[kind].forEach(({ data }, l) => {
            data.forEach((value, k) => {
              const key = `${kind} ${l} ${k}`;
              const { first, second } = sums.get(key) ?? { first: 0, second: 0 };
              sums.set(key, { first: first + value / 64, second: second + value ** 2 / 64 });
            });
          });
        }
      }
      const analytic = analyticKernels(network, x);
      for (const [key, { first, second }] of sums) {
        const [kind, l, k] = key.split(" ");
        const expected = analytic[kind as "Q" | "B" | "layers"][Number(l)].data[Number(k)];
        const error = Math.sqrt(Math.max(0, second - first ** 2) / 63) + 1e-12;
        assert.ok(Math.abs(first - expected) < 3 * error, `${key}: ${first} ± ${error}, not ${expected}`);
      }
    });
  }
});
