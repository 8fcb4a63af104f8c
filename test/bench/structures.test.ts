import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { explain, formatStructures } from "../../bench/structures.ts";

/** An SGD step takes 10 ms. */
const sgd = 10_000;
const costs = (staleMilliseconds: number, refreshMilliseconds: number) => ({
  stale: { flops: 2.1e9, seconds: staleMilliseconds / 1000 },
  refresh: { flops: 5e9, seconds: refreshMilliseconds / 1000 },
});

describe("the benchmark of structures", () => {
  it("names what a step costs beyond SGD's, from the counts", () => {
    const algebra = { ratio: 2.1, staleRatio: 2.1, costs: costs(21, 22) };
    assert.equal(explain(algebra, sgd), "algebra: 2.1 times SGD's operations per step");
    const refresh = { ratio: 1.4, staleRatio: 1.05, costs: costs(10.5, 410.5) };
    assert.equal(explain(refresh, sgd), "refresh: 400 ms per 100 steps, 0.4 of SGD's time per step");
    const both = { ratio: 4, staleRatio: 2, costs: costs(20, 1020) };
    assert.equal(
      explain(both, sgd),
      "algebra: 2.0 times SGD's operations per step; refresh: 1000 ms per 100 steps, 1.0 of SGD's time per step; " +
        "not in these counts: 1.0 of SGD's time per step",
    );
  });

  it("shows every row, those that were refused too", () => {
    const timed = {
      method: "kfac",
      microseconds: 12_345,
      ratio: 1.2,
      costs: costs(11, 90),
      staleRatio: 1.7,
      refreshRatio: 4,
    };
    const text = formatStructures([
      timed,
      { method: "unitwiseNgd", refusal: "it needs 8.0 GiB, the limit is 4.0 GiB" },
    ]);
    assert.match(text, /│ kfac +│ +12,345 │ +1\.20 │ +2100 │ +1\.70 │ +5000 │ +4\.00 │ +90 ms │/);
    assert.match(text, /\nunitwiseNgd: not timed, it needs 8\.0 GiB, the limit is 4\.0 GiB$/);
    assert.doesNotMatch(text, /kfac, /, "no reason is due under 1.3");
  });
});
