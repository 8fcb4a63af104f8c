import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import {
  couplingWeights,
  type DynamicsResult,
  exactDynamics,
  gradientDescentDynamics,
  isotropyFactor,
  kfacDynamics,
  layerWiseDynamics,
  operatorDynamics,
  progress,
  unitWiseDynamics,
} from "../../src/theory/index.ts";
import {
  type KernelMatrix,
  kernelMatrix,
  product,
  transposed,
  weightedSum,
} from "../../src/theory/matrix.ts";
import { assertClose, identity, kronecker, pseudoInverse, randomKernels, randomMatrix } from "./support.ts";

const N = 5;
const TEST = 3;

/** f_{t+1} = f_t − η Θ̄ (f_t − y), step by step, at training and test points. */
function simulate(
  bar: { train: KernelMatrix; test: KernelMatrix },
  { targets, initial, initialTest }: ReturnType<typeof problemOf>,
  rate: number,
  steps: number,
) {
  let [train, test] = [initial, initialTest];
  for (let t = 0; t < steps; t++) {
    const residual = weightedSum([train, targets], [1, -1]);
    test = weightedSum([test, product(bar.test, residual)], [1, -rate]);
    train = weightedSum([train, product(bar.train, residual)], [1, -rate]);
  }
  return { train, test };
}

function problemOf(outputs: number, seed = 50) {
  return {
    targets: randomMatrix(N, outputs, seed),
    initial: randomMatrix(N, outputs, seed + 1),
    initialTest: randomMatrix(TEST, outputs, seed + 2),
  };
}

function predictions(result: DynamicsResult) {
  assert.ok(result.failure === undefined, result.failure);
  return result;
}

/** Compares the closed form with the recursion at several steps and rates. */
function assertFollows(
  result: DynamicsResult,
  bar: { train: KernelMatrix; test: KernelMatrix },
  problem: ReturnType<typeof problemOf>,
) {
  const dynamics = predictions(result);
  for (const share of [0.1, 0.7, 1, 1.3]) {
    const rate = share * dynamics.optimalRate;
    for (const steps of [0, 1, 2, 5, 9]) {
      const expected = simulate(bar, problem, rate, steps);
      const { train, test } = dynamics.at(steps, rate);
      assertClose(train.data, expected.train.data, 1e-7, `f_${steps} at ${share}/α, training`);
      assertClose(test!.data, expected.test.data, 1e-7, `f_${steps} at ${share}/α, test`);
    }
  }
  const far = simulate(bar, problem, dynamics.optimalRate, 4000);
  assertClose(dynamics.limit().train.data, far.train.data, 1e-6, "f_∞, training");
  assertClose(dynamics.limit().test!.data, far.test.data, 1e-6, "f_∞, test");
}

const layersOf = (depth: number, seed = 1) =>
  Array.from({ length: depth }, (_, l) => randomKernels(N, TEST, 12, seed + l));
const bar = (weights: ArrayLike<number>, layers: ReturnType<typeof layersOf>) => {
  const inverses = layers.map(({ train }) => pseudoInverse(train));
  const times = (of: "train" | "test") =>
    weightedSum(
      layers.map((layer, l) => product(layer[of], inverses[l])),
      weights,
    );
  return { train: times("train"), test: times("test") };
};

/** u of θ_t = θ_0 + J_lᵀu_l. */
async function rowsOf(result: DynamicsResult, step: number, rate: number): Promise<KernelMatrix[]> {
  const moves = await predictions(result).moves!(step, rate);
  return moves.map((move) => {
    assert.ok("rows" in move);
    return move.rows;
  });
}

describe("predicted training", () => {
  it("gradient descent follows its recursion", async () => {
    const [{ train, test }] = layersOf(1);
    const scale = (matrix: KernelMatrix) => weightedSum([matrix], [1 / N]);
    for (const outputs of [1, 2]) {
      const problem = problemOf(outputs);
      const result = await gradientDescentDynamics(train, problem, test);
      assertFollows(result, { train: scale(train), test: scale(test) }, problem);
      assert.equal(predictions(result).alpha, undefined);
      const [u] = await rowsOf(result, 3, 0.1);
      const change = weightedSum([product(test, u), problem.initialTest]);
      assertClose(change.data, predictions(result).at(3, 0.1).test!.data, 1e-10, "Θ(x', x) u");
    }
  });

  it("exact natural gradient follows its recursion, α = 1", async () => {
    const layers = layersOf(1);
    for (const outputs of [1, 3]) {
      const problem = problemOf(outputs);
      const result = await exactDynamics(layers[0].train, problem, layers[0].test);
      assertFollows(result, bar([1], layers), problem);
      assert.equal(predictions(result).alpha, 1);
    }
  });

  it("kernels of order C·N are read output by output", async () => {
    const { train, test } = layersOf(1)[0];
    const problem = problemOf(2);
    const both = (kernel: KernelMatrix) => kronecker(identity(2), kernel);
    for (const build of [exactDynamics, gradientDescentDynamics]) {
      const whole = predictions(await build(both(train), problem, both(test))).at(2, 0.3);
      const each = predictions(await build(train, problem, test)).at(2, 0.3);
      assertClose(whole.train.data, each.train.data, 1e-10);
      assertClose(whole.test!.data, each.test!.data, 1e-9);
    }
  });

  for (const [coupling, depth, alpha] of [
    ["identity", 3, 3],
    ["tridiagonal", 3, 1],
    ["tridiagonal", 4, 2],
  ] as const) {
    it(`${coupling}, L = ${depth}: follows its recursion, α = ${alpha}`, async () => {
      const layers = layersOf(depth);
      const problem = problemOf(1);
      const kernels = layers.map(({ train }) => train);
      const others = layers.map(({ test }) => test);
      const result = await layerWiseDynamics(kernels, problem, coupling, others);
      const { weights } = couplingWeights(coupling, depth);
      assertFollows(result, bar(weights, layers), problem);
      assert.ok(Math.abs(predictions(result).alpha! - alpha) < 1e-12);
      // The same through u: f_t(x') = f_0(x') + Σ_l Θ_l(x', x) u_l.
      const u = await rowsOf(result, 2, 0.2);
      const change = weightedSum([problem.initialTest, ...others.map((kernel, l) => product(kernel, u[l]))]);
      assertClose(change.data, predictions(result).at(2, 0.2).test!.data, 1e-9);
    });
  }

  it("any Σ follows its recursion", async () => {
    const sigma = [
      [2, 0.3, -0.5],
      [0.3, 1, 0.2],
      [-0.5, 0.2, 1.5],
    ];
    const layers = layersOf(3, 20);
    const problem = problemOf(2);
    const result = await layerWiseDynamics(
      layers.map(({ train }) => train),
      problem,
      sigma,
      layers.map(({ test }) => test),
    );
    assertFollows(result, bar(couplingWeights(sigma, 3).weights, layers), problem);
  });

  it("Σ = 11ᵀ is the exact Fisher", async () => {
    const layers = layersOf(3, 30);
    const problem = problemOf(1);
    const [kernels, others] = [layers.map(({ train }) => train), layers.map(({ test }) => test)];
    const ones = predictions(await layerWiseDynamics(kernels, problem, "ones", others)).at(3, 0.2);
    const exact = await exactDynamics(weightedSum(kernels), problem, weightedSum(others));
    assertClose(ones.test!.data, predictions(exact).at(3, 0.2).test!.data, 1e-12);
  });

  it("any symmetric Θ̄ follows its recursion, singular ones too", async () => {
    const { train, test } = randomKernels(N, TEST, 3, 40);
    const problem = problemOf(2);
    const result = await operatorDynamics("some", train, problem, test);
    assertFollows(result, { train, test }, problem);
  });

  it("all isotropic metrics train alike: f_t = y + (1 − αη)ᵗ(f_0 − y), one step at η = 1/α", async () => {
    const layers = layersOf(4, 60);
    const problem = problemOf(1);
    const kernels = layers.map(({ train }) => train);
    const kron = { A: kernels, B: kernels };
    const network = { depth: 4, activation: "relu", sigmaW: 1 } as const;
    const all = [
      await exactDynamics(kernels[0], problem),
      await layerWiseDynamics(kernels, problem),
      await layerWiseDynamics(kernels, problem, "tridiagonal"),
      await kfacDynamics(kron, problem),
      unitWiseDynamics(network, 100, problem),
    ].map(predictions);
    assert.deepEqual(
      all.map(({ alpha }) => Math.round(alpha! * 1e9) / 1e9),
      [1, 4, 2, 3 * N + 1, 150],
    );
    for (const { at, alpha, optimalRate, metric } of all) {
      assert.ok(Math.abs(optimalRate * alpha! - 1) < 1e-12);
      for (const share of [0.25, 1, 1.5]) {
        for (const t of [0, 1, 4]) {
          const shrunk = weightedSum(
            [problem.targets, problem.initial],
            [1 - (1 - share) ** t, (1 - share) ** t],
          );
          assertClose(at(t, share * optimalRate).train.data, shrunk.data, 1e-10, `${metric}, t = ${t}`);
        }
      }
      assertClose(at(1, optimalRate).train.data, problem.targets.data, 1e-12, `${metric} in one step`);
    }
  });

  it("Lemma 4.3: block tri-diagonal Σ of L = 1 … 12 layers", () => {
    for (let layers = 1; layers <= 12; layers++) {
      const s = Math.floor(layers / 3);
      if (layers % 3 === 2) {
        assert.throws(() => couplingWeights("tridiagonal", layers), /singular with \d+ layers.*3s \+ 2/);
      } else {
        const { alpha } = couplingWeights("tridiagonal", layers);
        assert.ok(Math.abs(alpha - (layers % 3 === 0 ? s : s + 1)) < 1e-12, `L = ${layers}: α = ${alpha}`);
        assert.equal(isotropyFactor("tridiagonal", layers), alpha);
      }
      assert.equal(couplingWeights("identity", layers).alpha, layers);
      assert.equal(isotropyFactor("ones", layers), 1);
    }
    assert.throws(() => couplingWeights([[1, 1], [1, 1]], 2), /singular/); // biome-ignore format: a matrix
    assert.throws(() => couplingWeights([[1, 0], [0, -1]], 2), /add up to 0/); // biome-ignore format: a matrix
    assert.throws(() => couplingWeights([[1]], 2), /invalid sigma: 1 × 1/);
  });

  it("singular kernels are refused in words", async () => {
    const { train } = randomKernels(N, TEST, 2, 70);
    const whole = randomKernels(N, TEST, 9, 71).train;
    const { failure } = await exactDynamics(train, problemOf(1));
    assert.match(failure!, /^exact: not positive definite/);
    const layerWise = await layerWiseDynamics([whole, train], problemOf(1));
    assert.match(layerWise.failure!, /^block-diagonal, kernel of layer 2: /);
  });

  it("shapes that disagree are refused at the door", async () => {
    const { train, test } = layersOf(1)[0];
    const { targets, initial, initialTest } = problemOf(1);
    await assert.rejects(exactDynamics(train, { targets, initial }, test), /invalid initialTest: absent/);
    await assert.rejects(
      exactDynamics(train, { targets, initial: initialTest, initialTest }, test),
      /invalid initial: shape \(3, 1\)/,
    );
    await assert.rejects(
      exactDynamics(train, { targets, initial, initialTest }, transposed(test)),
      /invalid test kernel/,
    );
    await assert.rejects(
      exactDynamics(kernelMatrix(2, 2, Float64Array.of(1, 0, 0, 1)), { targets, initial }),
      /invalid kernel: order 2 \(must be 5/,
    );
  });
});

describe("progress", () => {
  it("is 1 − (1 − x)ᵗ, without cancellation at either end", () => {
    fc.assert(
      fc.property(
        fc.double({ min: 1e-3, max: 2.5, noNaN: true }),
        fc.integer({ min: 0, max: 30 }),
        (x, t) => {
          const plain = 1 - (1 - x) ** t;
          assert.ok(
            Math.abs(progress(x, t) - plain) <= 1e-13 * (1 + Math.abs(plain)) * (t + 1),
            `${x}, ${t}`,
          );
        },
      ),
    );
    assert.ok(Math.abs(progress(1e-18, 10) / 1e-17 - 1) < 1e-15);
    assert.ok(Math.abs(progress(2 - 2 ** -50, 2) / (2 * 2 ** -50) - 1) < 1e-9);
    assert.equal(progress(0.5, Infinity), 1);
    assert.ok(Math.abs(progress(0.3, 0.5) - (1 - Math.sqrt(0.7))) < 1e-15);
  });

  it("stays finite where a recursion explodes, and refuses half a step that overshoots", () => {
    assert.ok(Number.isFinite(progress(4, 1e5)) && Number.isFinite(progress(4, 1e5 + 1)));
    assert.throws(() => progress(1.5, 0.5), /must be whole/);
    assert.throws(() => progress(0.5, -1), /invalid step/);
  });
});
