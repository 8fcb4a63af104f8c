/** Damping policies, the reduction ratio and KL clipping against computations by hand. */
import assert from "node:assert/strict";
import { rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { type Batch, createOptimizer, type Trainer } from "../../src/index.ts";
import { dampingPolicy } from "../../src/optimizers/natural/damping.ts";
import { openRuntime } from "../../src/runtime/runtime.ts";
import type { Runtime } from "../../src/runtime/session.ts";
import {
  assertSameBits,
  classifier,
  linearRegression,
  randomBatch,
  trainerOf,
} from "../conformance/networks.ts";
import { assertNear, dot, flatten, layoutOf, product, project } from "../conformance/reference.ts";

let runtime: Runtime;
before(async () => {
  runtime = await openRuntime();
});
after(() => runtime?.dispose());

const network = classifier();
const linear = linearRegression();

describe("levenberg-marquardt", () => {
  it("multiplies by ω^k or ω^−k by the reduction ratio, within bounds", () => {
    const policy = dampingPolicy({
      ...{ policy: "levenberg-marquardt", initial: 1, every: 3, factor: 0.5 },
      ...{ minimum: 0.1, maximum: 10 },
    });
    assert.equal(policy.adapt(1, 0.76), 0.125);
    assert.equal(policy.adapt(1, 0.75), 1);
    assert.equal(policy.adapt(1, 0.25), 1);
    assert.equal(policy.adapt(1, 0.24), 8);
    assert.equal(policy.adapt(1, -3), 8);
    assert.equal(policy.adapt(1, Number.NaN), 1);
    assert.equal(policy.adapt(0.2, 1), 0.1);
    assert.equal(policy.adapt(5, 0), 10);
  });

  /** Runs steps and says for each what the damping must be afterwards, by hand. */
  async function byHand(trainer: Trainer, batch: Batch, fisher: "exact" | "empirical", steps: number) {
    const layout = layoutOf(trainer.getParameters());
    const seen = { fell: 0, rose: 0, kept: 0, rejected: 0 };
    let expected: number | undefined;
    for (let k = 0; k < steps; k++) {
      const before = flatten(layout, trainer.getParameters());
      const gradient = flatten(layout, await trainer.gradient(batch));
      const matrix = project(await trainer.fisher(batch, fisher), layout, "full");
      const { loss, damping, accepted, status } = await trainer.step(batch);
      if (expected !== undefined) assertNear([damping!], [expected], 1e-9, `damping of step ${k}`);
      if (!accepted) {
        assert.match(status, /^rejected: the loss would rise from \S+ to \S+; damping \S+ → \S+$/);
        expected = damping! / 0.9;
        seen.rejected++;
        continue;
      }
      const d = flatten(layout, trainer.getParameters()).map((value, p) => value - before[p]);
      const { loss: after } = await trainer.evaluate(batch);
      const ratio = (after - loss) / (dot(gradient, d) + 0.5 * dot(d, product(matrix, d)));
      expected = damping! * (ratio > 0.75 ? 0.9 : ratio < 0.25 ? 1 / 0.9 : 1);
      seen[ratio > 0.75 ? "fell" : ratio < 0.25 ? "rose" : "kept"]++;
    }
    return seen;
  }

  const damping = { policy: "levenberg-marquardt", initial: 0.05, every: 1, factor: 0.9 };

  for (const [name, fisher] of [
    ["exactNgd", "exact"],
    ["blockDiagonalNgd", "exact"],
    ["tengrad", "empirical"],
  ] as const) {
    it(`${name}: measures (L(θ + d) − L(θ)) / (gᵀd + ½ dᵀFd)`, async () => {
      const total = { fell: 0, rose: 0, kept: 0, rejected: 0 };
      for (const learningRate of [0.1, 1.2, 4]) {
        const options = { learningRate, damping, momentum: 0.3 };
        const trainer = await trainerOf(runtime, network, createOptimizer(name, options));
        const seen = await byHand(trainer, randomBatch(network, 6, 2), fisher, 12);
        for (const key of ["fell", "rose", "kept", "rejected"] as const) total[key] += seen[key];
        trainer.dispose();
      }
      assert.ok(total.fell > 0 && total.rejected > 0, JSON.stringify(total));
    });
  }

  it("lowers the damping all the way where the model is exact", async () => {
    const options = { learningRate: 0.5, damping };
    const trainer = await trainerOf(runtime, linear, createOptimizer("exactNgd", options));
    const batch = randomBatch(linear, 12, 4);
    for (let k = 0; k < 10; k++) {
      const { damping: used } = await trainer.step(batch);
      assertNear([used!], [0.05 * 0.9 ** k], 1e-12, `step ${k}`);
    }
    trainer.dispose();
  });

  for (const dtype of ["float32", "float64"] as const) {
    it(`does not give up at the minimum, where rounding decides (${dtype})`, async () => {
      const options = { learningRate: 1, damping: { ...damping, initial: 1e-3 } };
      const trainer = await trainerOf(runtime, linear, createOptimizer("exactNgd", options), { dtype });
      const batch = randomBatch(linear, 12, 4);
      let rejected = 0;
      for (let k = 0; k < 300; k++) rejected += (await trainer.step(batch)).accepted ? 0 : 1;
      assert.equal(rejected, 0);
      trainer.dispose();
    });
  }

  it("refreshes the curvature after a step that it took back", async () => {
    const options = { learningRate: 30, damping: { ...damping, factor: 0.5 }, refreshEvery: 50 };
    const trainer = await trainerOf(runtime, network, createOptimizer("exactNgd", options));
    const batch = randomBatch(network, 6, 2);
    let rejected = 0;
    for (let k = 0; k < 40; k++) {
      const before = trainer.getParameters();
      const { accepted } = await trainer.step(batch);
      if (accepted) continue;
      rejected++;
      assertSameBits(trainer.getParameters(), before);
    }
    assert.ok(rejected > 0 && trainer.progress.step > 20, `${rejected} rejected of 40`);
    trainer.dispose();
  });
});

describe("klClip", () => {
  for (const solver of ["gram", "dense", "cg"]) {
    it(`scales the direction by √(κ/(η²⟨δθ, g⟩)), fresh and stale, by ${solver}`, async () => {
      const [learningRate, klClip] = [0.5, 1e-3];
      const base = { learningRate, solver, refreshEvery: 2, damping: 0.1 };
      const clipped = await trainerOf(runtime, network, createOptimizer("exactNgd", { ...base, klClip }));
      const plain = await trainerOf(runtime, network, createOptimizer("exactNgd", base));
      const layout = layoutOf(clipped.getParameters());
      const path = join(tmpdir(), `natgrad-clip-${process.pid}.safetensors`);
      let scaled = 0;
      for (const [k, samples] of [6, 6, 4, 6, 4].entries()) {
        // The unclipped step from the same place with the same curvature.
        await clipped.save(path);
        await plain.load(path);
        const batch = randomBatch(network, samples, k);
        const gradient = flatten(layout, await clipped.gradient(batch));
        const before = flatten(layout, clipped.getParameters());
        await clipped.step(batch);
        await plain.step(batch);
        const moved = (trainer: Trainer) =>
          flatten(layout, trainer.getParameters()).map((value, p) => (before[p] - value) / learningRate);
        const direction = moved(plain);
        const nu = Math.min(1, Math.sqrt(klClip / (learningRate ** 2 * dot(direction, gradient))));
        if (nu < 1) scaled++;
        assertNear(
          moved(clipped),
          direction.map((value) => nu * value),
          1e-7,
          `step ${k}`,
        );
      }
      assert.ok(scaled > 2);
      clipped.dispose();
      plain.dispose();
      rmSync(path);
    });
  }

  it("leaves a short step alone", async () => {
    const options = { learningRate: 1e-3, damping: 0.1 };
    const results = [];
    for (const klClip of [undefined, 1e6]) {
      const trainer = await trainerOf(runtime, network, createOptimizer("tengrad", { ...options, klClip }));
      await trainer.step(randomBatch(network, 6, 1));
      results.push(trainer.getParameters());
      trainer.dispose();
    }
    assertSameBits(results[1], results[0]);
  });
});

describe("status", () => {
  it("reports conjugate gradients that ran out of iterations", async () => {
    const options = { solver: { type: "cg", iterations: 2 }, damping: 1e-4 };
    const trainer = await trainerOf(runtime, network, createOptimizer("exactNgd", options));
    const { accepted, status } = await trainer.step(randomBatch(network, 6, 1));
    assert.ok(accepted);
    assert.equal(status, "conjugate gradients stopped after 2 iterations");
    trainer.dispose();
  });

  it("reports the damping that a factorization needed, and the one that stale steps use", async () => {
    // Sixty-four equal samples: K has rank one, and 1e-19 is below its rounding.
    const batch = randomBatch(linear, 1, 1);
    const repeat = (data: ArrayLike<number>) =>
      Float64Array.from({ length: 64 * data.length }, (_, k) => 1e3 * data[k % data.length]);
    const many = {
      inputs: { shape: [64, 3], data: repeat(batch.inputs.data) },
      targets: { shape: [64, 2], data: repeat(batch.targets.data) },
    };
    const options = { solver: "gram", damping: 1e-19, refreshEvery: 3, learningRate: 1e-9 };
    const trainer = await trainerOf(runtime, linear, createOptimizer("tengrad", options));
    const first = await trainer.step(many);
    assert.match(first.status, /^damping raised from 1e-19 to \S+: a block was not positive definite$/);
    assert.ok(first.damping! > 1e-19);
    const second = await trainer.step(many);
    assert.equal(second.status, "ok");
    assert.equal(second.damping, first.damping);
    trainer.dispose();
  });
});
