/** Steps in place: the rule's own arithmetic, and nothing lost when a step is rejected. */
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import {
  adam,
  batchNorm,
  categorical,
  dense,
  diagonalNgd,
  kfac,
  type LearningRate,
  type Optimizer,
  relu,
  resumeTrainer,
  type SgdOptions,
  sequential,
  sgd,
  tengrad,
} from "../../src/index.ts";
import { stepsInPlace } from "../../src/optimizers/first-order/in-place.ts";
import type { UpdateRule } from "../../src/optimizers/first-order/rule.ts";
import { momentumRule } from "../../src/optimizers/first-order/sgd.ts";
import type { Problem } from "../../src/optimizers/optimizer.ts";
import { learningRateAt } from "../../src/optimizers/schedule.ts";
import { openRuntime } from "../../src/runtime/runtime.ts";
import type { Runtime } from "../../src/runtime/session.ts";
import { assertSameBits, type Network, randomBatch, trainerOf } from "../conformance/networks.ts";
import { assertNear, dot, flatten, layoutOf } from "../conformance/reference.ts";

let runtime: Runtime;
before(async () => {
  runtime = await openRuntime();
});
after(() => runtime?.dispose());

/** 130,000 parameters; wide enough that its activations are turned over. */
const large: Network = {
  ...{ model: sequential([dense(300), relu(), dense(300), relu(), dense(10)]), likelihood: categorical() },
  ...{ inputShape: [120], outputs: 10, samples: 64, seed: 5 },
};

const momentum: SgdOptions = { learningRate: 0.1, momentum: 0.9 };

const scaled = (batch: ReturnType<typeof randomBatch>, factor: number) => ({
  inputs: { ...batch.inputs, data: batch.inputs.data.map((value) => factor * value) },
  targets: batch.targets,
});

/** Four steps are the same whether or not a checkpoint lies between the second and the third. */
async function assertResumes(optimizer: Optimizer): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "natgrad-in-place-"));
  const path = join(folder, "checkpoint.safetensors");
  const trainer = await trainerOf(runtime, large, optimizer, { dtype: "float32" });
  const steps = [1, 2, 3, 4].map((seed) => randomBatch(large, 64, seed));
  for (const batch of steps.slice(0, 2)) await trainer.step(batch);
  await trainer.save(path);
  const { model, likelihood, inputShape, seed } = large;
  const resumed = await resumeTrainer(path, { model, likelihood, inputShape, seed, optimizer }, { runtime });
  for (const batch of steps.slice(2)) {
    assert.equal((await trainer.step(batch)).loss, (await resumed.step(batch)).loss);
  }
  assertSameBits(resumed.getParameters(), trainer.getParameters());
  trainer.dispose();
  resumed.dispose();
  await rm(folder, { recursive: true });
}

describe("steps in place", () => {
  it("are those of large dense networks under plain momentum, where the runtime allows them", () => {
    const problemOf = (network: Network, changes: Partial<Problem> = {}) =>
      ({ runtime, model: network.model.build(network.inputShape), ...changes }) as Problem;
    const problem = problemOf(large);
    assert.equal(stepsInPlace(problem, momentumRule(momentum, 0.1)), true);
    assert.equal(stepsInPlace(problem, momentumRule({ ...momentum, nesterov: true }, 0.1)), false);
    assert.equal(stepsInPlace(problem, momentumRule({ ...momentum, weightDecay: 0.1 }, 0.1)), false);
    assert.equal(stepsInPlace(problem, momentumRule({}, 0.1)), false);
    const rule: UpdateRule = momentumRule(momentum, 0.1);
    assert.equal(stepsInPlace(problemOf(large, { runtime: { ...runtime, kind: "web" } }), rule), false);
    const normalized = sequential([dense(400), batchNorm(), dense(300)]);
    assert.equal(stepsInPlace(problemOf({ ...large, model: normalized }), rule), false);
    assert.equal(stepsInPlace(problemOf({ ...large, model: sequential([dense(9)]) }), rule), false);
  });

  const rates: Record<string, LearningRate> = {
    "a constant rate": 0.1,
    "a schedule": { schedule: "piecewise", initial: 0.1, milestones: [2], factor: 0.3 },
  };
  for (const [name, learningRate] of Object.entries(rates)) {
    it(`follow u ← μu + ηg, θ ← θ − u with ${name}`, async () => {
      const trainer = await trainerOf(runtime, large, sgd({ ...momentum, learningRate }), {
        dtype: "float64",
      });
      const layout = layoutOf(trainer.getParameters());
      const expected = flatten(layout, trainer.getParameters());
      const velocity = new Float64Array(expected.length);
      for (let step = 0; step < 4; step++) {
        const batch = randomBatch(large, step === 3 ? 40 : 64, step);
        const gradient = flatten(layout, await trainer.gradient(batch));
        const { status, stepNorm } = await trainer.step(batch);
        assert.equal(status, "ok");
        for (let p = 0; p < velocity.length; p++) {
          velocity[p] = 0.9 * velocity[p] + gradient[p];
          expected[p] -= learningRateAt(learningRate, step) * velocity[p];
        }
        assertNear(
          flatten(layout, trainer.getParameters()),
          expected,
          1e-11,
          `parameters after step ${step}`,
        );
        const norm = learningRateAt(learningRate, step) * Math.sqrt(dot(velocity, velocity));
        assertNear([stepNorm], [norm], 1e-10, "step norm");
      }
      trainer.dispose();
    });
  }

  it("measure their length until the next step", async () => {
    const trainer = await trainerOf(runtime, large, sgd(momentum), { dtype: "float32" });
    const batch = randomBatch(large, 64, 1);
    const [read, unread] = [await trainer.step(batch), await trainer.step(batch)];
    assert.ok(Number.isNaN(read.stepNorm));
    const { stepNorm } = unread;
    assert.ok(stepNorm > 0);
    await trainer.step(batch);
    assert.equal(unread.stepNorm, stepNorm);
    trainer.dispose();
  });

  it("leave every bit as it was when the loss or the update is not finite", async () => {
    const optimizer = sgd({ ...momentum, learningRate: 1e3 });
    const trainer = await trainerOf(runtime, large, optimizer, { dtype: "float32" });
    const batch = randomBatch(large, 64, 1);
    await trainer.step(batch);
    const before = trainer.getParameters();
    const lost = await trainer.step(scaled(batch, 1e38));
    assert.match(lost.status, /^rejected: the loss is NaN at the current parameters/);
    assertSameBits(trainer.getParameters(), before);

    // Activations near the largest number, and a last layer that does not let the loss see them.
    const blind = new Map(before);
    const last = before.get("4.weight")!;
    blind.set("4.weight", { ...last, data: last.data.map(() => 0) });
    trainer.setParameters(blind);
    const { accepted, status, stepNorm } = await trainer.step(scaled(batch, 1e34));
    assert.deepEqual([accepted, status, stepNorm], [false, "rejected: the update is not finite", 0]);
    assertSameBits(trainer.getParameters(), blind);
    trainer.setParameters(before);

    // The velocity is what it was, too: the next step is the one that a trainer takes which was never disturbed.
    const other = await trainerOf(runtime, large, optimizer, { dtype: "float32" });
    await other.step(batch);
    for (const each of [trainer, other]) assert.equal((await each.step(batch)).status, "ok");
    assertSameBits(trainer.getParameters(), other.getParameters());
    trainer.dispose();
    other.dispose();
  });

  it("look twice at a displacement of extraordinary size, and take it when it is finite", async () => {
    const trainer = await trainerOf(runtime, large, sgd({ ...momentum, learningRate: 1e-18 }), {
      dtype: "float32",
    });
    const before = trainer.getParameters();
    const batch = randomBatch(large, 64, 1);
    const { status, stepNorm } = await trainer.step(scaled(batch, 1e17));
    assert.equal(status, "ok");
    assert.ok(stepNorm > 0 && stepNorm < 1);
    assert.notDeepEqual(trainer.getParameters().get("0.weight"), before.get("0.weight"));
    trainer.dispose();
  });

  it("resume with the same bits", () => assertResumes(sgd(momentum)));
});

describe("steps of natural gradients in place", () => {
  const options = { learningRate: 0.05, damping: 0.1, momentum: 0.9, refreshEvery: 3 };
  const methods = { tengrad, kfac, diagonalNgd };

  for (const [name, create] of Object.entries(methods)) {
    it(`of ${name} are those beside the state, which clipping at infinity takes`, async () => {
      const trainers = [create(options), create({ ...options, klClip: 1e30 })].map((optimizer) =>
        trainerOf(runtime, large, optimizer, { dtype: "float64" }),
      );
      const [inPlace, beside] = await Promise.all(trainers);
      const layout = layoutOf(inPlace.getParameters());
      for (let step = 0; step < 5; step++) {
        const batch = randomBatch(large, step === 4 ? 40 : 64, step);
        const [actual, expected] = [await inPlace.step(batch), await beside.step(batch)];
        assert.deepEqual([actual.status, actual.accepted], [expected.status, expected.accepted]);
        assertNear([actual.stepNorm], [expected.stepNorm], 1e-9, "step norm");
        const [after, other] = [inPlace, beside].map((each) => flatten(layout, each.getParameters()));
        assertNear(after, other, 1e-10, `parameters after step ${step}`);
      }
      inPlace.dispose();
      beside.dispose();
    });
  }

  it("are taken back, the velocity too, when the update is not finite", async () => {
    const optimizer = () => tengrad({ ...options, learningRate: 1e3, damping: 1e-3 });
    const trainer = await trainerOf(runtime, large, optimizer(), { dtype: "float32" });
    const batch = randomBatch(large, 64, 1);
    await trainer.step(batch);
    const before = trainer.getParameters();
    const blind = new Map(before);
    const last = before.get("4.weight")!;
    blind.set("4.weight", { ...last, data: last.data.map(() => 0) });
    trainer.setParameters(blind);
    const { accepted, status, stepNorm } = await trainer.step(scaled(batch, 1e34));
    assert.deepEqual([accepted, stepNorm], [false, 0]);
    assert.match(status, /^rejected: /);
    assertSameBits(trainer.getParameters(), blind);
    trainer.dispose();
  });

  it("resume between refreshes with the same bits", () => assertResumes(tengrad(options)));
});

describe("steps beside the state", () => {
  it("are those of every other rule", async () => {
    const trainer = await trainerOf(runtime, large, adam(), { dtype: "float32" });
    const read = await trainer.step(randomBatch(large, 64, 1));
    await trainer.step(randomBatch(large, 64, 2));
    assert.ok(read.stepNorm > 0);
    trainer.dispose();
  });
});
