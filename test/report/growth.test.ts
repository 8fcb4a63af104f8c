import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Window } from "happy-dom";
import type { GrowthResult } from "../../src/experiments/growth.ts";
import type { GrowthCurve, GrowthPoint } from "../../src/experiments/growth-curve.ts";
import { fitPowerLaw } from "../../src/experiments/power-law.ts";
import { renderGrowthReport } from "../../src/report/growth.ts";
import { describeGrowth, growthMarkdown, growthTables } from "../../src/report/growth-tables.ts";

const MiB = 2 ** 20;

/** Time as widthᵖ microseconds, memory as width² MiB / 256. */
function curve(method: string, exponent: number, widths: readonly number[]): GrowthCurve {
  const points: GrowthPoint[] = widths.map((x) => ({
    ...{ x, parameters: x ** 2, steps: 5, flops: 1e3 * x ** 2, leastSeconds: 1 },
    ...{ secondsPerStep: 1e-6 * x ** exponent, peakBytes: (MiB * x ** 2) / 256, estimatedBytes: 0 },
  }));
  const fit = (cost: (point: GrowthPoint) => number) =>
    fitPowerLaw(points.map((point) => ({ x: point.x, y: cost(point) })));
  const leftOut = widths.length < 3 ? [{ x: 64, reason: "it would take about 90 s, the limit is 60 s" }] : [];
  return { method, points, leftOut, time: fit((p) => p.secondsPerStep), memory: fit((p) => p.peakBytes) };
}

const result: GrowthResult = {
  ...{
    format: "natgrad growth 1",
    command: "natgrad bench growth --seed 0",
    createdAt: "2026-03-01T14:05:00Z",
  },
  environment: ["Node 20", "ONNX Runtime 1.30"],
  plan: {
    ...{ methods: ["sgd", "exact-dense"], widths: [16, 32, 64], depths: [], batchSize: 128, seed: 0 },
    ...{ seconds: 1, timeLimit: 60, memoryLimit: 1024 * MiB },
  },
  sweeps: [
    {
      ...{ axis: "width", sizes: [16, 32, 64], fixed: "2 hidden layers" },
      curves: [curve("sgd", 2, [16, 32, 64]), curve("exact-dense", 3, [16, 32])],
    },
  ],
};

describe("the report of growth", () => {
  const html = renderGrowthReport(result);
  const page = new Window().document;
  page.write(html);

  it("draws time and memory with the exponent beside each name", () => {
    const charts = [...page.querySelectorAll("figure .wide svg")];
    assert.equal(charts.length, 2);
    for (const [k, svg] of charts.entries()) {
      const texts = [...svg.querySelectorAll("text")].map(({ textContent }) => textContent);
      assert.ok(texts.includes("sgd 2.00"), texts.join());
      assert.ok(texts.includes("exact-dense"), "without a fit the name alone");
      assert.equal(
        svg.querySelector("desc")!.textContent!.match(/sgd (\S+ ± \S+);/)![1],
        "2.00 ± 0.00",
        `${k}`,
      );
      assert.doesNotMatch(svg.outerHTML, /NaN|undefined|Infinity/);
    }
    assert.match(charts[0].outerHTML, /sgd 2\.00: 0\.004096 \(width 64\)/);
    assert.match(charts[1].outerHTML, /sgd 2\.00: 16\.00 \(width 64\)/);
  });

  it("says in tables what is in the charts, and what was left out", () => {
    assert.deepEqual(growthTables(result)[0], {
      title: "Time per step against width, 2 hidden layers",
      headings: ["method", "width 16", "width 32", "width 64", "exponent"],
      rows: [
        ["sgd", "0.26 ms", "1 ms", "4.1 ms", "2.00 ± 0.00"],
        ["exact-dense", "4.1 ms", "33 ms", "left out", "–"],
      ],
    });
    const text = page.body.textContent!;
    assert.match(text, /exact-dense, width 64: it would take about 90 s, the limit is 60 s/);
    assert.match(growthMarkdown(result), /\n\| exact-dense \| 1\.0 MiB \| 4\.0 MiB \| left out \| – \|\n/);
    assert.equal(
      describeGrowth(result),
      "Exponents by which the time of a step grows with the width: sgd 2.00.",
    );
  });

  it("is one file, the same bytes for the same result", () => {
    assert.equal(page.querySelectorAll("script, link, img, iframe, object, [src], [href]").length, 0);
    const ids = [...page.querySelectorAll("[id]")].map(({ id }) => id);
    assert.equal(new Set(ids).size, ids.length);
    assert.equal(renderGrowthReport(structuredClone(result)), html);
  });
});
