import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { explain, type Measured, meanSeconds } from "../../bench/explain.ts";
import { PhaseClock } from "../../bench/phases.ts";
import { ProfilingRuntime } from "../../bench/profile.ts";
import { formatStructures } from "../../bench/structures.ts";
import { input, matmul, tanh } from "../../src/graph/index.ts";
import { compile } from "../../src/runtime/index.ts";

/** Milliseconds of a step and of its programs, without a refresh and with one; kernels are products by three quarters. */
function measured(stale: readonly [number, number], refresh = stale, flops = 1e9): Measured {
  const phase = ([all, programs]: readonly [number, number]) => {
    return { seconds: all / 1000, programSeconds: programs / 1000, flops };
  };
  const profile = { products: { seconds: 0.003, bytes: 8e6 }, passes: { seconds: 0.001, bytes: 36e6 } };
  return { phases: { stale: phase(stale), refresh: phase(refresh) }, profile };
}

const sgd = measured([10, 9.9]);

describe("the benchmark of structures", () => {
  it("names what a step takes beyond SGD's, the largest part first, as far as it matters", () => {
    const algebra = measured([20, 19.9], [20, 19.9], 2e9);
    assert.equal(
      explain(algebra, sgd),
      "10 ms more, 100 % of it named: 7.5 ms matrix products (2.00 times SGD's operations; 8 MB read and written, SGD 8 MB); " +
        "2.5 ms passes over memory (36 MB read and written, SGD 36 MB)",
    );
    const refresh = measured([10, 9.9], [410, 109.9]);
    assert.equal(
      explain(refresh, sgd),
      "4 ms more, 100 % of it named: 3 ms a refresh on the host (300 ms every 100 steps); 1 ms programs of a refresh (100 ms every 100 steps)",
    );
  });

  it("counts the products of methods that solve by them", () => {
    const stale = { ...measured([700, 690]).phases.stale, repeated: { runs: 11.5, flops: 2e9 } };
    const text = explain({ ...sgd, phases: { stale, refresh: stale } }, sgd);
    assert.match(text, /11\.5 products with the curvature matrix a step, 2\.0 GFLOP each/);
  });

  it("shows every row, those that were refused too", () => {
    const kfac = measured([11, 10], [90, 20], 1.7e9);
    const text = formatStructures([
      {
        ...{ method: "kfac", ...kfac, microseconds: 1e6 * meanSeconds(kfac.phases) },
        ...{ ratio: 1.2, staleRatio: 1.7, refreshRatio: 4 },
      },
      { method: "unitwiseNgd", refusal: "it needs 8.0 GiB, the limit is 4.0 GiB" },
    ]);
    assert.match(text, /│ kfac +│ +11,790 │ +1\.20 │ +1700 │ +1\.70 │ +1700 │ +4\.00 │ +90 ms │ +36 │/);
    assert.match(text, /\nunitwiseNgd: not timed, it needs 8\.0 GiB, the limit is 4\.0 GiB$/);
    assert.doesNotMatch(text, /kfac, /, "no reason is due under 1.3");
  });

  it("profiles kernels by phase, and times programs by phase", async () => {
    const runtime = new ProfilingRuntime(1);
    const clock = new PhaseClock();
    try {
      const x = input("x", [16, 16], "float32");
      const program = await compile(clock.watch(runtime), { y: tanh(matmul(x, x)) });
      const binding = program.bind({ x: new Float32Array(256) }, { y: new Float32Array(256) });
      const run = async () => binding.run();
      await clock.take("refresh", run);
      runtime.phase = "stale";
      for (let k = 0; k < 2; k++) await clock.take("stale", run);
      const { products, passes } = runtime.profile("stale", 2);
      assert.equal(products.bytes, 3 * 4 * 256);
      assert.equal(passes.bytes, 2 * 4 * 256);
      assert.ok(products.seconds > 0 && passes.seconds > 0);
      const { refresh, stale } = clock.read();
      assert.equal(stale.flops, program.flops);
      assert.equal(refresh.flops, program.flops);
      assert.ok(stale.seconds >= stale.programSeconds && stale.programSeconds > 0);
    } finally {
      runtime.dispose();
    }
  });
});
