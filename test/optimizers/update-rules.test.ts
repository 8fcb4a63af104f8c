/** Update rules and schedules against a few lines of plain arithmetic. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import {
  createOptimizer,
  dense,
  gaussian,
  type LearningRate,
  learningRateAt,
  sequential,
} from "../../src/index.ts";
import { openRuntime } from "../../src/runtime/runtime.ts";
import type { Runtime } from "../../src/runtime/session.ts";
import { assertSameBits, type Network, networkOf, randomBatch, trainerOf } from "../conformance/networks.ts";
import { assertNear, dot, flatten, layoutOf } from "../conformance/reference.ts";

let runtime: Runtime;
before(async () => {
  runtime = await openRuntime();
});
after(() => runtime?.dispose());

describe("learningRateAt", () => {
  const rates = (rate: LearningRate, steps: readonly number[]) =>
    steps.map((step) => learningRateAt(rate, step));

  it("exponential, smooth and in stairs", () => {
    const rate = { schedule: "exponential", initial: 8, decay: 0.5 } as const;
    assert.deepEqual(rates(rate, [0, 1, 2, 3]), [8, 4, 2, 1]);
    assert.deepEqual(rates({ ...rate, every: 2 }, [0, 1, 2, 3, 4]), [8, 8, 4, 4, 2]);
  });

  it("cosine, from the initial rate to the final one", () => {
    const rate = { schedule: "cosine", initial: 3, final: 1, steps: 10 } as const;
    assertNear(rates(rate, [0, 5, 10, 11, 99]), [3, 2, 1, 1, 1], 1e-15, "rates");
    assertNear([learningRateAt({ ...rate, final: undefined }, 10)], [0], 1e-15, "final 0");
  });

  it("piecewise", () => {
    const rate = { schedule: "piecewise", initial: 16, milestones: [2, 4], factor: 0.25 } as const;
    assert.deepEqual(rates(rate, [0, 1, 2, 3, 4, 5]), [16, 16, 4, 4, 1, 1]);
    assertNear(rates({ ...rate, factor: undefined }, [2, 4]), [1.6, 0.16], 1e-15, "factor 0.1");
  });

  it("warmup, then another schedule that starts where it ends", () => {
    const following: LearningRate = { schedule: "exponential", initial: 4, decay: 0.5 };
    const rate: LearningRate = { schedule: "warmup", steps: 4, after: following };
    assert.deepEqual(rates(rate, [0, 1, 2, 3, 4, 5, 6]), [1, 2, 3, 4, 4, 2, 1]);
  });
});

describe("update rules", () => {
  type Rule = (
    state: { theta: number; v: number; m: number; s: number },
    g: number,
    rate: number,
    t: number,
  ) => void;
  const decay = 0.01;
  const rules: [string, object, Rule][] = [
    [
      "sgd",
      { momentum: 0.9, weightDecay: decay },
      (p, g, rate) => {
        p.v = 0.9 * p.v + g + decay * p.theta;
        p.theta -= rate * p.v;
      },
    ],
    [
      "sgd",
      { momentum: 0.9, weightDecay: decay, nesterov: true },
      (p, g, rate) => {
        const decayed = g + decay * p.theta;
        p.v = 0.9 * p.v + decayed;
        p.theta -= rate * (decayed + 0.9 * p.v);
      },
    ],
    [
      "rmsprop",
      { decay: 0.9, epsilon: 1e-3, weightDecay: decay },
      (p, g, rate) => {
        const decayed = g + decay * p.theta;
        p.s = 0.9 * p.s + 0.1 * decayed ** 2;
        p.theta -= (rate * decayed) / (Math.sqrt(p.s) + 1e-3);
      },
    ],
    [
      "adam",
      { beta1: 0.8, beta2: 0.95, weightDecay: decay },
      (p, g, rate, t) => {
        const decayed = g + decay * p.theta;
        p.m = 0.8 * p.m + 0.2 * decayed;
        p.s = 0.95 * p.s + 0.05 * decayed ** 2;
        p.theta -= (rate * p.m) / (1 - 0.8 ** t) / (Math.sqrt(p.s / (1 - 0.95 ** t)) + 1e-8);
      },
    ],
    [
      "adamw",
      { beta1: 0.8, beta2: 0.95, weightDecay: decay },
      (p, g, rate, t) => {
        p.m = 0.8 * p.m + 0.2 * g;
        p.s = 0.95 * p.s + 0.05 * g ** 2;
        const decayed = p.theta * (1 - rate * decay);
        p.theta = decayed - (rate * p.m) / (1 - 0.8 ** t) / (Math.sqrt(p.s / (1 - 0.95 ** t)) + 1e-8);
      },
    ],
  ];
  const network = networkOf({
    ...{ features: 3, hidden: [4], outputs: 2, bias: true, activation: "tanh", samples: 6 },
    ...{ likelihood: "bernoulli", seed: 3 },
  });
  const schedules: LearningRate[] = [
    0.05,
    { schedule: "exponential", initial: 0.1, decay: 0.7 },
    { schedule: "warmup", steps: 3, after: 0.05 },
  ];

  for (const [name, options, rule] of rules) {
    for (const learningRate of schedules) {
      it(`${name} ${JSON.stringify({ ...options, learningRate })}`, async () => {
        const trainer = await trainerOf(
          runtime,
          network,
          createOptimizer(name, { ...options, learningRate }),
        );
        const layout = layoutOf(trainer.getParameters());
        const states = [...flatten(layout, trainer.getParameters())].map((theta) => ({
          theta,
          v: 0,
          m: 0,
          s: 0,
        }));
        for (let step = 0; step < 8; step++) {
          const batch = randomBatch(network, 6, step);
          const gradient = flatten(layout, await trainer.gradient(batch));
          const statistics = await trainer.step(batch);
          assert.equal(statistics.learningRate, learningRateAt(learningRate, step));
          const before = states.map(({ theta }) => theta);
          for (const [p, state] of states.entries())
            rule(state, gradient[p], statistics.learningRate, step + 1);
          const after = states.map(({ theta }) => theta);
          assertNear(flatten(layout, trainer.getParameters()), after, 1e-12, `step ${step}`);
          const norm = Math.hypot(...after.map((value, p) => value - before[p]));
          assertNear([statistics.stepNorm], [norm], 1e-9, "step norm");
        }
        trainer.dispose();
      });
    }
  }

  it("natural gradients put their direction in the gradient's place", async () => {
    const options = { damping: 0.1, momentum: 0.9, nesterov: true, weightDecay: decay };
    for (const learningRate of schedules) {
      const trainer = await trainerOf(
        runtime,
        network,
        createOptimizer("exactNgd", { ...options, learningRate }),
      );
      const layout = layoutOf(trainer.getParameters());
      const states = [...flatten(layout, trainer.getParameters())].map((theta) => ({
        theta,
        v: 0,
        m: 0,
        s: 0,
      }));
      for (let step = 0; step < 5; step++) {
        const batch = randomBatch(network, 6, step);
        const direction = flatten(layout, await trainer.direction(batch));
        const { learningRate: rate } = await trainer.step(batch);
        for (const [p, state] of states.entries()) rules[1][2](state, direction[p], rate, step + 1);
        const after = states.map(({ theta }) => theta);
        assertNear(flatten(layout, trainer.getParameters()), after, 1e-11, `step ${step}`);
      }
      trainer.dispose();
    }
  });

  for (const name of ["rmsprop", "adam", "adamw"]) {
    it(`${name} rejects a gradient whose square overflows, which would stop a parameter for good`, async () => {
      for (const outputs of [2, 150]) {
        const wide: Network = {
          ...{ model: sequential([dense(outputs)]), likelihood: gaussian(), inputShape: [150] },
          ...{ outputs, samples: 3, seed: 1 },
        };
        const trainer = await trainerOf(runtime, wide, createOptimizer(name), { dtype: "float32" });
        const { inputs, targets } = randomBatch(wide, 3, 1);
        const before = trainer.getParameters();
        const huge = { inputs: { ...inputs, data: inputs.data.map((value) => 1e14 * value) }, targets };
        const { accepted, status } = await trainer.step(huge);
        assert.deepEqual([accepted, status], [false, "rejected: the update is not finite"]);
        assertSameBits(trainer.getParameters(), before);
        assert.equal((await trainer.step({ inputs, targets })).status, "ok");
        trainer.dispose();
      }
    });
  }

  it("report the step's norm for large models too, where the program computes it", async () => {
    const wide: Network = {
      ...{ model: sequential([dense(150)]), likelihood: gaussian(), inputShape: [150] },
      ...{ outputs: 150, samples: 3, seed: 1 },
    };
    for (const dtype of ["float32", "float64"] as const) {
      const trainer = await trainerOf(runtime, wide, createOptimizer("sgd"), { dtype });
      const layout = layoutOf(trainer.getParameters());
      const before = flatten(layout, trainer.getParameters());
      const { stepNorm } = await trainer.step(randomBatch(wide, 3, 1));
      const moved = flatten(layout, trainer.getParameters()).map((value, p) => value - before[p]);
      assertNear([stepNorm], [Math.sqrt(dot(moved, moved))], 1e-4, dtype);
      trainer.dispose();
    }
  });
});
