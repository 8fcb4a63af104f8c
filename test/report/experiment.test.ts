import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Window } from "happy-dom";
import type { ExperimentRecord } from "../../src/experiments/record.ts";
import { experimentFigure, experimentFiles } from "../../src/report/experiment-figures.ts";
import { renderExperiment } from "../../src/report/index.ts";
import { pagePalette } from "../../src/report/palette.ts";
import { drawPlane } from "../../src/report/plane.ts";

const plane = drawPlane({
  ...{ id: "paper-fig1-balls", title: "Balls", description: "A ball.", width: 300, palette: pagePalette },
  x: { label: "θ1", domain: [-1, 1] },
  y: { label: "θ2", domain: [-2, 2] },
  contours: {
    ...{ columns: 8, rows: 8, levels: [0.5, 2] },
    values: Float64Array.from(
      { length: 64 },
      (_, k) => ((k % 8) - 3.5) ** 2 / 8 + (Math.floor(k / 8) - 3.5) ** 2 / 8,
    ),
  },
  curves: [
    {
      points: [
        [0, 0],
        [0.5, 0.5],
        [0, 0],
      ],
      index: 0,
    },
  ],
  arrows: [{ from: [0, 0], to: [0.5, 0.5], index: 1 }],
  dots: [[0, 0]],
  legend: [{ label: "ball & step", index: 0 }],
});

const record: ExperimentRecord = {
  ...{ format: "natgrad experiment 1", id: "paper-fig1", title: "Loss < time", source: "A paper, figure 1" },
  ...{
    summary: "Does it.",
    command: "natgrad reproduce paper-fig1 --seed 0",
    createdAt: "2026-03-01T14:05:00Z",
  },
  ...{ environment: ["Node 20"], quick: false, synthetic: false, seed: 0, seconds: 3, data: "mnist" },
  values: { loss: 0.1 },
  charts: [
    {
      ...{ id: "loss", title: "Loss", note: "Lines: theory." },
      x: { label: "step", scale: "linear", integer: true },
      y: { label: "loss", scale: "log" },
      series: [
        {
          label: "exact",
          line: [0, 1, 2, 3].map((x) => ({ x, y: 10 ** -x })),
          points: [0, 1, 2].map((x) => ({ x, y: 1.1 * 10 ** -x })),
        },
        { label: "measured only", points: [0, 3].map((x) => ({ x, y: 0.5 })) },
      ],
    },
  ],
  tables: [
    {
      title: "Numbers",
      headings: ["method", "loss", "why"],
      rows: [
        ["exact", "−1.5e-3", "so"],
        ["sgd", "–", "<none>"],
      ],
    },
  ],
  pictures: [{ id: "balls", title: "Balls", note: "Gray: the loss.", svg: plane }],
  claims: [
    { id: "a", claim: "It is so.", measured: "It is 2.", agrees: true },
    { id: "b", claim: "And so is that.", measured: "It is 3.", agrees: false },
  ],
};

describe("the report of an experiment", () => {
  const html = renderExperiment(record);
  const page = new Window().document;
  page.write(html);

  it("says where it agrees and where it does not", () => {
    assert.match(
      page.querySelector(".headline")!.textContent!,
      /Agrees with 1 of 2 claims .* “And so is that”: It is 3\./,
    );
    const verdicts = [...page.querySelectorAll("section")][0].querySelectorAll("td:last-child");
    assert.deepEqual(
      [...verdicts].map(({ textContent }) => textContent),
      ["agrees", "disagrees"],
    );
    assert.ok(page.body.textContent!.includes("natgrad reproduce paper-fig1 --seed 0"));
    assert.ok(!html.includes("<none>"));
  });

  it("draws measurements as symbols without lines, theory as lines without symbols", () => {
    const [svg] = page.querySelectorAll("figure .wide svg");
    assert.equal(svg.querySelectorAll('[aria-label="dot"] title').length, 5);
    assert.equal(svg.querySelectorAll('[aria-label="line"] path').length, 1);
    const texts = [...svg.querySelectorAll("text")].map(({ textContent }) => textContent);
    assert.ok(texts.includes("exact") && texts.includes("measured only"), texts.join());
    assert.doesNotMatch(html, /NaN|undefined/);
  });

  it("shows pictures once, and numbers on the right", () => {
    assert.equal(page.querySelectorAll('[id="paper-fig1-balls-title"]').length, 1);
    const headings = [...page.querySelectorAll("section")][1].querySelectorAll("thead th");
    assert.deepEqual(
      [...headings].map(({ className }) => className),
      ["", "number", ""],
    );
  });

  it("makes files of one panel and of all, well-formed, in light and dark", () => {
    const files = experimentFiles(record);
    assert.deepEqual(
      files.map(({ id }) => id),
      ["balls", "loss"],
    );
    const whole = experimentFigure(record)!;
    for (const svg of [...files.map((file) => file.svg), whole]) {
      const parsed = new new Window().DOMParser().parseFromString(svg, "image/svg+xml");
      assert.equal(parsed.documentElement.nodeName, "svg");
      assert.match(svg, /prefers-color-scheme: dark/);
      assert.doesNotMatch(svg, /NaN|undefined/);
    }
    assert.match(whole, /^<svg [^>]*width="720" height="\d+"/);
    assert.equal(experimentFigure({ ...record, charts: [], pictures: [] }), undefined);
    const sizeless = [{ ...record.pictures[0], svg: "<svg></svg>" }];
    assert.throws(
      () => experimentFigure({ ...record, pictures: sizeless }),
      /is no <svg> with width and height/,
    );
  });
});
