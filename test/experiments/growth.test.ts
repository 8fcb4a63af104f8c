import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { measureGrowth } from "../../src/experiments/growth.ts";
import type { GrowthPlan } from "../../src/experiments/growth-curve.ts";
import { growthMethods, growthModel, growthOptimizer, INPUTS } from "../../src/experiments/growth-methods.ts";

const tiny: GrowthPlan = {
  ...{ methods: ["sgd", "exact-dense"], widths: [2, 4], depths: [] },
  ...{ batchSize: 8, seed: 0, seconds: 0.01, timeLimit: 60, memoryLimit: 2 ** 30 },
};

describe("the growth of cost", () => {
  it("measures every point of every curve, a network that both axes have once", async () => {
    const told: string[] = [];
    const sweeps = await measureGrowth(
      { ...tiny, widths: [32, 2, 32], depths: [2] },
      { onPoint: (axis, method, { x }) => told.push(`${axis} ${x} ${method}`) },
    );
    assert.deepEqual(told, [
      ...["width 2 sgd", "width 2 exact-dense", "width 32 sgd", "width 32 exact-dense"],
      ...["depth 2 sgd", "depth 2 exact-dense"],
    ]);
    const [width, depth] = sweeps;
    assert.deepEqual([width.axis, width.sizes, depth.axis, depth.sizes], ["width", [2, 32], "depth", [2]]);
    for (const [k, method] of tiny.methods.entries()) {
      const [wide, deep] = [width.curves[k], depth.curves[k]];
      assert.deepEqual([wide.method, deep.method], [method, method]);
      assert.deepEqual(wide.points[1], { ...deep.points[0], x: 32 });
      for (const { parameters, secondsPerStep, steps, flops, peakBytes } of wide.points) {
        assert.ok(secondsPerStep > 0 && steps >= 3 && peakBytes >= 0);
        assert.ok(flops > 2 * 8 * parameters, "more than the forward pass");
      }
    }
    const { parameters } = growthModel(32, 2).build([INPUTS]);
    const sizes = [...parameters.values()].map(({ shape }) => shape.reduce((a, b) => a * b, 1));
    assert.equal(
      width.curves[0].points[1].parameters,
      sizes.reduce((a, b) => a + b, 0),
    );
    assert.equal(width.curves[0].points[1].estimatedBytes, 0);
    assert.ok(width.curves[1].points[1].estimatedBytes > 4 * width.curves[1].points[1].parameters ** 2);
  });

  it("leaves out what by its estimate needs too much memory, and says so", async () => {
    const plan = { ...tiny, methods: ["exact-dense"], widths: [2, 64], memoryLimit: 2 ** 20 };
    const [{ curves }] = await measureGrowth(plan);
    const { points, leftOut } = curves[0];
    assert.deepEqual(
      points.map(({ x }) => x),
      [2],
    );
    assert.equal(leftOut.length, 1);
    assert.match(
      leftOut[0].reason,
      /^its curvature needs 53\d\.\d MiB by the report's estimate, the limit is 1\.0 MiB$/,
    );
  });

  it("stops a point at its time limit, and does not try larger ones", async () => {
    const [width] = await measureGrowth({
      ...tiny,
      methods: ["sgd"],
      seconds: 60,
      timeLimit: 0.05,
    });
    assert.deepEqual(width.curves[0].points, []);
    assert.deepEqual(width.curves[0].leftOut, [
      { x: 2, reason: "stopped at the limit of 0.05 s" },
      { x: 4, reason: "width 2 already took more than the limit of 0.05 s" },
    ]);
  });

  it("stops at once when the signal comes, with what was measured", async () => {
    const controller = new AbortController();
    const sweeps = await measureGrowth(
      { ...tiny, methods: ["sgd"] },
      { signal: controller.signal, onPoint: () => controller.abort() },
    );
    assert.deepEqual(
      sweeps.map(({ curves }) => curves[0].points.length),
      [1, 0],
    );
  });

  it("knows its methods", () => {
    for (const method of growthMethods) growthOptimizer(method);
    assert.throws(() => growthOptimizer("adam"), /^UsageError: invalid --methods: adam \(must be of sgd, /);
  });
});
