import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { Window } from "happy-dom";
import {
  formatBytes,
  formatCount,
  formatNumber,
  formatSeconds,
  formatTick,
} from "../../src/report/format.ts";
import { renderComparisonFigure } from "../../src/report/index.ts";
import { schemes } from "../../src/report/palette.ts";
import { linearDomain, logDomain, logTicks, spreadLabels, stepTicks, thin } from "../../src/report/scales.ts";
import { run, three } from "./runs.ts";

const window = new Window();

describe("the figure of a comparison", () => {
  const size = { width: 960, height: 380 };

  it("stands alone: well-formed, its own colors, no variables", () => {
    for (const scheme of ["light", "dark"] as const) {
      const svg = renderComparisonFigure(three, { ...size, scheme });
      const root = new window.DOMParser().parseFromString(svg, "image/svg+xml").documentElement;
      assert.equal(root.tagName, "svg");
      assert.equal(root.getAttribute("viewBox"), "0 0 960 380");
      assert.equal(root.querySelectorAll("svg").length, 2);
      assert.doesNotMatch(svg, /var\(|<style|https?:(?!\/\/www\.w3\.org\/2000\/svg)|NaN/);
      for (const index of [0, 1, 2]) assert.ok(svg.includes(schemes[scheme].series[index]));
      assert.match(root.querySelector("desc")!.textContent!, /^tengrad ends with the lowest validation loss/);
    }
  });

  it("is the same bytes for the same runs", () => {
    const figure = () => renderComparisonFigure(structuredClone(three), { ...size, scheme: "light" });
    assert.equal(figure(), figure());
  });

  it("draws the metric of the validation part when that is asked for", () => {
    const measured = three.map((one, k) => ({
      ...one,
      epochs: one.epochs.map((record, t) => ({
        ...record,
        metric: { name: "accuracy", value: 0.5 + 0.01 * t + 0.1 * k },
      })),
    }));
    const svg = renderComparisonFigure(measured, { ...size, scheme: "light", quantity: "metric" });
    const root = new window.DOMParser().parseFromString(svg, "image/svg+xml").documentElement;
    assert.equal(root.querySelector("title")!.textContent, "Accuracy against epochs and against seconds");
    assert.equal(root.querySelectorAll("svg").length, 2);
    assert.match(svg, /On the validation split. Higher is better./);
    const without = three.map((one) => ({
      ...one,
      epochs: one.epochs.map((record) => ({ ...record, metric: undefined })),
    }));
    assert.throws(
      () => renderComparisonFigure(without, { ...size, scheme: "light", quantity: "metric" }),
      /invalid quantity: metric \(no run has one\)/,
    );
  });

  it("puts the charts below each other where it is narrow", () => {
    const svg = renderComparisonFigure(three, { width: 400, height: 700, scheme: "light" });
    const places = [...svg.matchAll(/<svg x="([\d.]+)" y="([\d.]+)"/g)].map(([, x, y]) => [
      Number(x),
      Number(y),
    ]);
    assert.equal(places.length, 2);
    assert.equal(places[0][0], places[1][0]);
    assert.ok(places[1][1] > 300);
  });

  it("draws twelve runs in colors and symbols of their own, and thins long ones", () => {
    const losses = Array.from({ length: 5000 }, (_, index) => 1 / (index + 1));
    const runs = Array.from({ length: 12 }, (_, index) =>
      run(
        `method ${index}`,
        losses.map((loss) => loss * (index + 1)),
      ),
    );
    const svg = renderComparisonFigure(runs, { ...size, scheme: "light" });
    assert.ok(svg.length < 400_000, `${svg.length} characters`);
    for (const { name } of runs) assert.ok(svg.includes(`>${name}<`), name);
  });
});

describe("axes", () => {
  it("cover their data, with two marks at least, in order", () => {
    const positive = fc.double({ min: 1e-12, max: 1e12, noNaN: true });
    const check = ([low, high]: [number, number], ticks: number[], values: number[]) => {
      assert.ok(low < high && values.every((value) => value >= low && value <= high));
      assert.ok(ticks.length >= 2 && ticks.length <= 24, `${ticks}`);
      for (const [index, tick] of ticks.entries()) assert.ok(index === 0 || tick > ticks[index - 1]);
    };
    fc.assert(
      fc.property(fc.array(positive, { minLength: 2, maxLength: 5 }), (values) => {
        const spread = Math.max(...values) / Math.min(...values);
        fc.pre(spread > 1.001 || spread === 1);
        const log = logDomain(values);
        check(log, logTicks(log), values);
        const linear = linearDomain(values, false);
        check(linear, stepTicks(linear, 6, false), values);
      }),
      { seed: 2 },
    );
  });

  it("mark decades, fewer steps or whole numbers as the range asks", () => {
    assert.deepEqual(logTicks([5e-4, 2]), [0.001, 0.01, 0.1, 1]);
    assert.deepEqual(logTicks([0.04, 0.6]), [0.05, 0.1, 0.2, 0.5]);
    assert.deepEqual(logTicks([0.31, 0.39]), [0.32, 0.34, 0.36, 0.38]);
    assert.deepEqual(stepTicks([1, 5], 8, true), [1, 2, 3, 4, 5]);
    assert.deepEqual(linearDomain([1, 5], true), [1, 5]);
    assert.deepEqual(linearDomain([3, 3], true), [2, 4]);
    assert.deepEqual(logDomain([]), logDomain([0.1, 1, -3, 0, Number.NaN]));
  });

  it("keep the first, the last and every spike of a long line", () => {
    const points = Array.from({ length: 10_000 }, (_, x) => ({ x, y: x === 7777 ? 100 : Math.sin(x) }));
    const kept = thin(points, 300);
    assert.ok(kept.length <= 302);
    assert.deepEqual([kept[0], kept.at(-1)], [points[0], points[9999]]);
    assert.ok(kept.includes(points[7777]));
    assert.ok(kept.every((point, index) => index === 0 || point.x > kept[index - 1].x));
  });

  it("keep labels apart, in order and inside", () => {
    const places = fc.array(fc.double({ min: 0, max: 300, noNaN: true }), { minLength: 1, maxLength: 12 });
    fc.assert(
      fc.property(places, (wanted) => {
        const placed = spreadLabels(wanted, 15, 0, 300);
        const order = wanted.map((_, index) => index).sort((a, b) => wanted[a] - wanted[b] || a - b);
        for (const [rank, index] of order.entries()) {
          assert.ok(placed[index] >= -1e-9 && placed[index] <= 300 + 1e-9);
          if (rank > 0) assert.ok(placed[index] - placed[order[rank - 1]] >= 15 - 1e-9);
        }
      }),
      { seed: 3 },
    );
    assert.deepEqual(spreadLabels([10, 100, 200], 15, 0, 300), [10, 100, 200]);
  });
});

describe("numbers", () => {
  it("have four digits", () => {
    const cases: [number, string][] = [
      ...([
        [0, "0"],
        [0.012345, "0.01235"],
        [1.5, "1.500"],
        [123.456, "123.5"],
        [96453, "96453"],
      ] as [number, string][]),
      ...([
        [1.2345e-5, "1.234×10⁻⁵"],
        [-3e7, "-3.000×10⁷"],
        [Number.NaN, "NaN"],
      ] as [number, string][]),
      [Number.POSITIVE_INFINITY, "∞"],
    ];
    for (const [value, text] of cases) assert.equal(formatNumber(value), text);
  });

  it("of time, memory, counts and axes read as people write them", () => {
    assert.deepEqual([0.0123, 0.34, 12.34, 205, 7500].map(formatSeconds), [
      "12 ms",
      "0.34 s",
      "12.3 s",
      "3 min 25 s",
      "2 h 5 min",
    ]);
    assert.deepEqual([512, 4096, 1.5 * 2 ** 20].map(formatBytes), ["512 B", "4.0 KiB", "1.5 MiB"]);
    assert.deepEqual([7, 1234, 1234567].map(formatCount), ["7", "1,234", "1,234,567"]);
    assert.deepEqual([0, 0.001, 20, 1e-4, 2e-5, 1e6].map(formatTick), [
      "0",
      "0.001",
      "20",
      "10⁻⁴",
      "2×10⁻⁵",
      "10⁶",
    ]);
  });
});
