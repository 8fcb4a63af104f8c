import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { decode } from "fast-png";
import { Window } from "happy-dom";
import type { Inspection, LayerInspection } from "../../src/inspect/inspection.ts";
import { renderInspection } from "../../src/report/index.ts";

const window = new Window();

const spectrum = (name: string, parameters: number, eigenvalues: number[]) => ({
  ...{
    name,
    parameters,
    eigenvalues,
    rank: eigenvalues.length,
    trace: 3.5,
    effectiveDimension: 2.25,
    condition: 31,
  },
});

const direction = (name: string, cosine: number, note?: string) => ({
  ...{
    name,
    cosine,
    metricCosine: Math.sqrt(cosine),
    lengthRatio: 2,
    decrease: -0.5,
    bestMultiple: 0.25,
    note,
  },
  bestDecrease: 0.08 * cosine,
});

const layer: LayerInspection = {
  ...{ name: "0", units: 2, width: 2, parameters: 4, window: 4, averaged: 1, same: ["tengrad", "<b>"] },
  exact: { size: 2, values: Float64Array.of(100, 1, 0.01, 0) },
  approximations: [
    { names: ["kfac", "ekfac"], error: 0.125, map: { size: 2, values: Float64Array.of(1, 0, 0, 1) } },
  ],
};

const inspection: Inspection = {
  ...{
    epoch: 3,
    step: 1234,
    samples: 64,
    rows: 128,
    fisher: "exact",
    damping: 0.1,
    loss: 1,
    gradientNorm: 2,
  },
  ...{ exactDecrease: 0.08, spectra: [spectrum("all", 4000, [3, 0.5]), spectrum("0", 4, [3, 0.5])] },
  directions: [
    direction("exactNgd", 1),
    direction("kfac", 0.75),
    direction("gradient", 0.25, "no curvature"),
  ],
  layers: [layer, { ...layer, name: "2", window: 128, parameters: 5000, averaged: 2, same: [] }],
  leftOut: ["kbfgs: it learns & learns"],
};

const context = {
  ...{ title: "house: curvature", command: "natgrad inspect runs/house --seed 0", dataset: "house" },
  ...{ model: "hidden layers 32", createdAt: "2026-03-01T14:05:00Z" },
};

describe("the page of an inspection", () => {
  const html = renderInspection(context, inspection);
  const page = new window.DOMParser().parseFromString(html, "text/html");
  const texts = (selector: string) =>
    [...page.querySelectorAll(selector)].map(({ textContent }) => textContent.replace(/\s+/g, " ").trim());

  it("says what it found", () => {
    assert.equal(
      texts(".headline")[0],
      "The Fisher matrix of 64 samples has rank 2 of 4,000 parameters; with damping 0.1 its effective dimension is 2.250 and its " +
        "condition number 31.00. The best step along kfac's direction has 75.0 % of the decrease that the quadratic model promises " +
        "along the exact direction, along the gradient 25.0 %.",
    );
    assert.match(
      texts(".facts")[0],
      /epoch 3, step 1,234 · exact Fisher matrix of 64 samples, 128 score rows · damping λ = 0\.1$/,
    );
  });

  it("lists spectra, directions and errors", () => {
    const rows = texts("tbody tr");
    assert.ok(rows.includes("layer 0423.5003.0000.50002.25031.00"));
    assert.ok(rows.includes("kfac0.86600.75002.000-0.50000.25000.0600075.0 %"));
    assert.ok(rows.includes("kfac0.12500.1250"));
    assert.ok(rows.includes("tengradrounding–"));
  });

  it("says which part of an inverse is shown, what is averaged, and what is left out", () => {
    const asides = texts("p.aside").join("\n");
    assert.match(asides, /All 4 parameters, unit by unit, 2 each\./);
    assert.match(
      asides,
      /The first 128 of 5,000 parameters only.*the errors are of this part.*mean of 2 × 2 entries\./,
    );
    assert.deepEqual(texts("section:nth-last-of-type(2) li"), ["kbfgs: it learns & learns"]);
  });

  it("draws every inverse as a picture on one logarithmic scale a layer", () => {
    assert.deepEqual(texts(".maps h4").slice(0, 2), ["exact block, inverted", "kfac, ekfac"]);
    assert.equal(texts(".maps figcaption")[0], "to rounding also tengrad, <b>");
    const pictures = [...page.querySelectorAll(".maps svg image")].map((image) => {
      const [, data] = image.getAttribute("href")!.split("base64,");
      return decode(Buffer.from(data, "base64"));
    });
    assert.equal(pictures.length, 4);
    const [exact, kfac] = pictures;
    assert.deepEqual([exact.width, exact.height], [2, 2]);
    assert.deepEqual([...exact.data], [63, 32, 0, 0]); // 100, 1, 0.01 of 0.01 to 100, and 0
    assert.deepEqual([...kfac.data], [32, 0, 0, 32]);
    const dark = exact.palette![0];
    const light = exact.palette![63];
    assert.ok(dark[0] + dark[1] + dark[2] < light[0] + light[1] + light[2]);
  });

  it("is one file that needs nothing else, with unique ids and the same bytes each time", () => {
    assert.equal(renderInspection(context, inspection), html);
    assert.doesNotMatch(html, /<script|https?:(?!\/\/www\.w3\.org)/);
    const ids = [...page.querySelectorAll("[id]")].map(({ id }) => id);
    assert.equal(new Set(ids).size, ids.length);
    for (const svg of page.querySelectorAll("svg")) {
      const named = svg.getAttribute("aria-labelledby")!.split(" ");
      assert.ok(named.every((id) => ids.includes(id)));
    }
  });

  it("stands without layers and for a network of one layer", () => {
    const bare = renderInspection(context, { ...inspection, layers: [], leftOut: [] });
    assert.doesNotMatch(bare, /<h2>(Inverses|Left out)/);
    assert.match(bare, /<h2>Directions/);
  });
});
