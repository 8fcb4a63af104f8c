import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { GrowingCurve, type GrowthPlan } from "../../src/experiments/growth-curve.ts";

const MiB = 2 ** 20;
const plan: GrowthPlan = {
  ...{ methods: ["exact-dense"], widths: [16, 32, 64, 128], depths: [], batchSize: 128, seed: 0 },
  ...{ seconds: 1, timeLimit: 60, memoryLimit: 1024 * MiB },
};

/** What a step of width x costs when time goes as x³ and memory as x². */
const cost = (x: number, seconds: number, bytes: number) => ({
  ...{ parameters: x, secondsPerStep: x ** 3 / 1e6, steps: 3, estimatedBytes: 0, flops: x ** 3 },
  ...{ leastSeconds: seconds * x ** 3, peakBytes: bytes * x ** 2 },
});

describe("a curve under its limits", () => {
  it("asks for the network of its axis", () => {
    const { width, depth } = new GrowingCurve("width", "sgd").request(64, plan);
    assert.deepEqual([width, depth], [64, 2]);
    const deep = new GrowingCurve("depth", "sgd").request(6, plan);
    assert.deepEqual([deep.width, deep.depth, deep.batchSize, deep.memoryLimit], [32, 6, 128, 1024 * MiB]);
  });

  it("refuses what would take too long, with the estimate and the limit", () => {
    const curve = new GrowingCurve("width", "exact-dense");
    for (const x of [16, 32]) {
      assert.equal(curve.refuse(x, plan), undefined);
      curve.add(x, cost(x, 80 / 64 ** 3, 0));
    }
    const refusal = curve.refuse(64, plan)!;
    const { reason } = curve.leave(64, refusal, plan);
    assert.equal(reason, "it would take about 80 s as the points before it grow, the limit is 60 s");
    assert.equal(curve.refuse(64, { ...plan, timeLimit: 81 }), undefined);
    assert.deepEqual(curve.fitted().leftOut, [{ x: 64, reason }]);
  });

  it("refuses what would need too much memory, with the estimate and the limit", () => {
    const curve = new GrowingCurve("width", "exact-dense");
    for (const x of [32, 64]) curve.add(x, cost(x, 0.001 / x ** 3, (2048 * MiB) / 128 ** 2));
    const { reason } = curve.leave(128, curve.refuse(128, plan)!, plan);
    assert.equal(reason, "it would need about 2.0 GiB as the points before it grow, the limit is 1.0 GiB");
  });

  it("does not extrapolate from memory that is noise", () => {
    const curve = new GrowingCurve("width", "sgd");
    curve.add(16, { ...cost(16, 1e-9, 0), peakBytes: 1 });
    curve.add(32, { ...cost(32, 1e-9, 0), peakBytes: 7 * MiB });
    assert.equal(curve.refuse(1024, plan), undefined);
  });

  it("fits time, memory above the noise, and operations", () => {
    const curve = new GrowingCurve("width", "kfac");
    for (const x of [16, 32, 64, 128]) curve.add(x, cost(x, 1e-9, MiB / 128));
    const { time, memory, operations } = curve.fitted();
    assert.ok(Math.abs(time!.exponent - 3) < 1e-12 && Math.abs(operations!.exponent - 3) < 1e-12);
    assert.deepEqual([time!.from, time!.points], [32, 3]);
    assert.equal(memory, undefined, "only widths 64 and 128 need more than 8 MiB");
  });
});
