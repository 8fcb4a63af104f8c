/** Levenberg-Marquardt: its steps beside dense matrices and finite differences, its convergence, its rollback. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { exp, multiply } from "../../src/graph/index.ts";
import {
  bernoulli,
  createTrainer,
  dense,
  gaussian,
  type LevenbergMarquardtOptions,
  levenbergMarquardt,
  sequential,
  type Trainer,
  tanh,
} from "../../src/index.ts";
import { cholesky, choleskySolve } from "../../src/linalg/index.ts";
import type { Layer } from "../../src/nn/index.ts";
import { dampingRules } from "../../src/optimizers/full-batch/marquardt-damping.ts";
import { Random } from "../../src/random.ts";
import { openRuntime } from "../../src/runtime/runtime.ts";
import type { Runtime } from "../../src/runtime/session.ts";
import { type FloatDType, tensor } from "../../src/tensor.ts";
import { assertSameBits, networkOf, randomBatch, trainerOf } from "../conformance/networks.ts";
import { assertNear, flatten, layoutOf, unflatten } from "../conformance/reference.ts";

let runtime: Runtime;
before(async () => {
  runtime = await openRuntime();
});
after(() => runtime.dispose());

const network = networkOf({
  ...{ features: 3, hidden: [4], outputs: 2, bias: true, activation: "tanh", samples: 9 },
  ...{ likelihood: "gaussian", seed: 6 },
});
const options = { damping: 1, acceleration: 0 } as const;
const norm = (x: ArrayLike<number>) => Math.hypot(...Array.from(x));

describe("a step", () => {
  /** (F + λD)⁻¹ b by the dense Fisher matrix, which for least squares is JᵀJ/N. */
  async function denseSolve(trainer: Trainer, samples: number, b: Float64Array, scaling: string) {
    const batch = randomBatch(network, samples, 3);
    const matrix = Float64Array.from((await trainer.fisher(batch, "exact")).data);
    const n = b.length;
    for (let i = 0; i < n; i++) {
      matrix[i * n + i] += options.damping * (scaling === "identity" ? 1 : matrix[i * n + i]);
    }
    assert.equal(cholesky(matrix, n), 0);
    const x = b.slice();
    assert.ok(choleskySolve(matrix, n, x));
    return x;
  }

  for (const scaling of ["identity", "diagonal"] as const) {
    for (const samples of [5, 9, 30]) {
      for (const solver of ["gram", "dense", "auto"] as const) {
        it(`is the dense one: ${scaling}, ${samples} samples, ${solver}`, async () => {
          const batch = randomBatch(network, samples, 3);
          const trainer = await trainerOf(
            runtime,
            network,
            levenbergMarquardt({ ...options, scaling, solver }),
          );
          const layout = layoutOf(trainer.getParameters());
          const gradient = flatten(layout, await trainer.gradient(batch));
          const expected = await denseSolve(trainer, samples, gradient, scaling);
          assertNear(flatten(layout, await trainer.direction(batch)), expected, 1e-8, "direction");
          const before = flatten(layout, trainer.getParameters());
          const { accepted, damping, stepNorm } = await trainer.step(batch);
          assert.deepEqual({ accepted, damping }, { accepted: true, damping: options.damping });
          const moved = flatten(layout, trainer.getParameters()).map((value, k) => before[k] - value);
          assertNear(moved, expected, 1e-8, "step");
          assert.ok(Math.abs(stepNorm - norm(expected)) < 1e-8);
          const [row] = trainer.curvature(samples);
          const inSamples = solver === "gram" || (solver === "auto" && samples * 2 <= 26);
          assert.equal(row.dimension, inSamples ? samples * 2 : 26);
          trainer.dispose();
        });
      }
    }

    for (const solver of ["gram", "dense"] as const) {
      it(`has the acceleration of finite differences: ${scaling}, ${solver}`, async () => {
        const samples = 9;
        const { inputs } = randomBatch(network, samples, 3);
        const learningRate = 0.7;
        const given = { ...options, scaling, solver, learningRate, acceleration: 100 };
        const trainer = await trainerOf(runtime, network, levenbergMarquardt(given));
        const layout = layoutOf(trainer.getParameters());
        const start = trainer.getParameters();
        const targets = randomBatch(network, samples, 3).targets;
        const gradient = flatten(layout, await trainer.gradient({ inputs, targets }));
        const velocity = (await denseSolve(trainer, samples, gradient, scaling)).map((value) => -value);

        const h = 1e-4;
        const outputs: Float64Array[] = [];
        for (const t of [-h, 0, h]) {
          const moved = flatten(layout, start).map((value, k) => value + t * velocity[k]);
          trainer.setParameters(unflatten(layout, moved));
          outputs.push(Float64Array.from((await trainer.predict(inputs)).data));
        }
        trainer.setParameters(start);
        const second = outputs[1].map((value, k) => (outputs[0][k] + outputs[2][k] - 2 * value) / h ** 2);
        // With targets f − r'' the gradient is Jᵀr''/N.
        const pulled = tensor(
          outputs[1].map((value, k) => value - second[k]),
          targets.shape,
        );
        const rightSide = flatten(layout, await trainer.gradient({ inputs, targets: pulled }));
        const acceleration = (await denseSolve(trainer, samples, rightSide, scaling)).map((value) => -value);
        assert.ok(norm(acceleration) > 1e-3);

        assert.equal((await trainer.step({ inputs, targets })).accepted, true);
        const expected = flatten(layout, start).map((value, k) => {
          return value + learningRate * velocity[k] + (learningRate ** 2 / 2) * acceleration[k];
        });
        assertNear(flatten(layout, trainer.getParameters()), expected, 1e-6, "step");
        trainer.dispose();
      });
    }
  }

  it("is nearly the same in float32", async () => {
    const batch = randomBatch(network, 9, 3);
    const results: Float64Array[] = [];
    for (const solver of ["gram", "dense"] as const) {
      for (const dtype of ["float64", "float32"] as const) {
        const given = { solver, scaling: "diagonal", damping: 0.1 } as const;
        const trainer = await trainerOf(runtime, network, levenbergMarquardt(given), { dtype });
        for (let k = 0; k < 3; k++) assert.equal((await trainer.step(batch)).status, "ok");
        results.push(flatten(layoutOf(trainer.getParameters()), trainer.getParameters()));
        trainer.dispose();
      }
    }
    assertNear(results[2], results[0], 1e-8, "sample and parameter space, float64");
    assertNear(results[1], results[0], 1e-3, "sample space, float32");
    assertNear(results[3], results[0], 1e-3, "parameter space, float32");
  });
});

describe("convergence", () => {
  it("is quadratic at the end of a fit without residuals", async () => {
    const config = {
      model: sequential([dense(1), tanh(), dense(1)]),
      inputShape: [1],
      likelihood: gaussian(),
    };
    const x = Float64Array.from({ length: 40 }, (_, k) => k / 10 - 2);
    const create = (given: LevenbergMarquardtOptions, seed: number) =>
      createTrainer({ ...config, optimizer: levenbergMarquardt(given), dtype: "float64", seed }, { runtime });
    const teacher = await create({}, 3);
    const inputs = tensor(x, [40, 1]);
    const targets = await teacher.predict(inputs);
    for (const acceleration of [0, 0.75]) {
      const student = await create({ damping: 1e-10, acceleration }, 3);
      const random = new Random(5);
      const near = [...teacher.getParameters()].map(([name, { shape, data }]) => {
        const values = Float64Array.from(data, (value) => value + 0.3 * random.normal());
        return [name, tensor(values, shape)] as const;
      });
      student.setParameters(new Map(near));
      const losses: number[] = [];
      const statuses: string[] = [];
      while (losses.length < 15 && !statuses.at(-1)?.startsWith("converged: ")) {
        const { loss, status } = await student.step({ inputs, targets });
        losses.push(loss);
        statuses.push(status);
      }
      assert.match(statuses.at(-1)!, /^converged: /);
      assert.ok(losses.at(-1)! < 1e-28, losses.join(" "));
      const last = losses.findIndex((loss) => loss < 1e-20); // later losses are rounding
      assert.ok(Math.log(losses[last]) < 1.9 * Math.log(losses[last - 1]), losses.join(" "));
      student.dispose();
    }
    teacher.dispose();
  });

  for (const scaling of ["identity", "diagonal"] as const) {
    it(`takes fewer steps with geodesic acceleration along a canyon, ${scaling}`, async () => {
      // y(t) = e^(−θ₁t) + e^(−θ₂t) [Transtrum & Sethna 2012, §2]: the rates nearly exchange.
      const decay: Layer = {
        type: "decay",
        describe: () => "decay",
        build: (inputShape) => ({ outputShape: inputShape, parameters: {} }),
        apply: (input) => exp(multiply(input, -1)),
      };
      const model = sequential([dense(3, { bias: false }), decay, dense(1, { bias: false })]);
      const t = Float64Array.from({ length: 30 }, (_, k) => 0.1 + k * 0.1);
      const inputs = tensor(t, [30, 1]);
      const truth = [1, 2, 4];
      const targets = tensor(
        t.map((time) => truth.reduce((total, rate) => total + Math.exp(-rate * time), 0)),
        [30, 1],
      );
      const steps: number[] = [];
      for (const acceleration of [0, 0.75]) {
        const optimizer = levenbergMarquardt({ acceleration, scaling, damping: 0.1, retries: 30 });
        const config = {
          model,
          inputShape: [1],
          likelihood: gaussian(),
          optimizer,
          dtype: "float64" as const,
        };
        const trainer = await createTrainer(config, { runtime });
        trainer.setParameters({
          "0.weight": tensor([0.3, 3, 9], [3, 1]),
          "2.weight": tensor([2, 0.5, 0.2], [1, 3]),
        });
        let taken = 0;
        for (let loss = Infinity; loss > 1e-16 && taken < 2000; taken++) {
          loss = (await trainer.step({ inputs, targets })).loss;
        }
        steps.push(taken);
        trainer.dispose();
      }
      assert.ok(steps[1] < 0.75 * steps[0], `${steps[1]} steps with acceleration, ${steps[0]} without`);
    });
  }
});

describe("damping", () => {
  it("follows Nielsen's rule", () => {
    const rule = dampingRules["gain-ratio"];
    const state = { damping: 1, growth: 2 };
    assert.deepEqual(rule.accepted(state, 1), { damping: 1 / 3, growth: 2 });
    assert.deepEqual(rule.accepted(state, 0.5), { damping: 1, growth: 2 });
    assert.equal(rule.accepted(state, 0.25).damping, 1 + 0.5 ** 3);
    assert.deepEqual(rule.accepted(state, Number.NaN), state);
    assert.deepEqual(rule.refused(state), { damping: 2, growth: 4 });
    assert.deepEqual(rule.refused(rule.refused(state)), { damping: 8, growth: 8 });
  });

  it("follows delayed gratification", () => {
    const rule = dampingRules["delayed-gratification"];
    assert.deepEqual(rule.accepted({ damping: 3, growth: 2 }, 0), { damping: 1, growth: 2 });
    assert.deepEqual(rule.refused({ damping: 3, growth: 2 }), { damping: 6, growth: 2 });
  });

  for (const adaptation of ["gain-ratio", "delayed-gratification"] as const) {
    for (const dtype of ["float64", "float32"] as const) {
      it(`never lets the loss of a batch rise, ${adaptation}, ${dtype}`, async () => {
        const batch = randomBatch(network, 20, 3);
        const given = { adaptation, damping: 1e-9, retries: 40 };
        const trainer = await trainerOf(runtime, network, levenbergMarquardt(given), { dtype });
        let previous = Infinity;
        for (let k = 0; k < 40; k++) {
          const { loss, accepted, status } = await trainer.step(batch);
          assert.ok(accepted, status);
          assert.ok(loss < previous || status.startsWith("converged") || loss === previous);
          previous = loss;
        }
        trainer.dispose();
      });
    }
  }

  it("gives up after some tries, in words, leaves the parameters and keeps the damping it reached", async () => {
    const batch = randomBatch(network, 20, 3);
    const given = { damping: 1e-9, retries: 1, learningRate: 50 };
    const trainer = await trainerOf(runtime, network, levenbergMarquardt(given));
    const before = trainer.getParameters();
    const { accepted, status, stepNorm } = await trainer.step(batch);
    assert.deepEqual({ accepted, stepNorm }, { accepted: false, stepNorm: 0 });
    assert.equal(status, "rejected: no lower loss in 2 tries; damping 1e-9 → 8e-9");
    assertSameBits(trainer.getParameters(), before);
    assert.match((await trainer.step(batch)).status, /damping 8e-9 → /);
    trainer.dispose();
  });
});

describe("levenbergMarquardt", () => {
  it("refuses other likelihoods and says what to use", async () => {
    const config = { model: sequential([dense(2)]), inputShape: [3], optimizer: levenbergMarquardt() };
    await assert.rejects(createTrainer({ ...config, likelihood: bernoulli() }, { runtime }), {
      name: "UsageError",
      message:
        "levenbergMarquardt fits least squares, the gaussian likelihood, not the bernoulli one (use exactNgd or lbfgs)",
    });
  });

  it("refuses a system beyond the memory limit, with the estimate", async () => {
    for (const scaling of ["identity", "diagonal"] as const) {
      const optimizer = levenbergMarquardt({ scaling });
      const trainer = await trainerOf(runtime, network, optimizer, { memoryLimit: 5000 });
      await assert.rejects(trainer.step(randomBatch(network, 20, 1)), {
        name: "UsageError",
        message:
          /^the system of 26 parameters needs \d+\.\d KiB, the limit is 4.9 KiB \(use a smaller batch, or hessianFree\); a batch of \d+ fits in place of 20$/,
      });
      trainer.dispose();
    }
  });

  for (const dtype of ["float32", "float64"] as FloatDType[]) {
    for (const scaling of ["identity", "diagonal"] as const) {
      it(`says when batches are too small, ${scaling}, ${dtype}`, async () => {
        const trainer = await trainerOf(runtime, network, levenbergMarquardt({ scaling }), { dtype });
        const statuses: string[] = [];
        for (let k = 0; k < 8; k++) statuses.push((await trainer.step(randomBatch(network, 3, k))).status);
        assert.ok(
          statuses.some((status) => status.startsWith("small batches: ")),
          statuses.join("\n"),
        );
        trainer.dispose();
      });
    }
  }
});
