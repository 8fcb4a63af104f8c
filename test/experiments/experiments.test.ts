/** `--quick` of every registered experiment: that it runs, is well-formed, and that the claims that its file asserts hold. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { before, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { listDatasets } from "../../src/data/index.ts";
import type { Experiment } from "../../src/experiments/experiment.ts";
import { type ExperimentRecord, encodeRecord, runExperiment } from "../../src/experiments/record.ts";
import { experiments, findExperiment } from "../../src/experiments/registry.ts";
import { renderExperiment } from "../../src/report/experiment.ts";
import { experimentFigure, experimentFiles } from "../../src/report/experiment-figures.ts";

const shared = resolve(fileURLToPath(new URL("../../", import.meta.url)), "../shared/data");
if (!process.env.NATGRAD_DATA && existsSync(shared)) process.env.NATGRAD_DATA = shared;

function hasData({ data }: Experiment): boolean {
  const available = new Set(listDatasets().flatMap((one) => (one.available ? [one.name] : [])));
  return (data?.datasets ?? []).every((name) => available.has(name));
}

for (const experiment of experiments) {
  describe(`${experiment.id} --quick`, () => {
    const synthetic = !hasData(experiment);
    const fractions: number[] = [];
    let record: ExperimentRecord;
    before(async () => {
      record = await runExperiment(experiment, {
        ...{ quick: true, synthetic, environment: ["a test"] },
        onProgress: (fraction) => void fractions.push(fraction),
      });
    });

    for (const { id, claim, quick } of experiment.claims) {
      const skip =
        quick === true || (quick === "with data" && !synthetic)
          ? false
          : quick === "with data"
            ? "its datasets are not here"
            : "the quick version does not assert it";
      it(`${id}: ${claim}`, { skip }, () => {
        const finding = record.claims.find((one) => one.id === id);
        assert.ok(finding, "measured");
        assert.ok(finding.agrees, finding.measured);
      });
    }

    it("brings back what can be kept and shown", () => {
      assert.ok(Object.keys(record.values).length > 0, "values");
      const kept = JSON.parse(encodeRecord(record));
      assert.deepEqual(kept.charts, JSON.parse(JSON.stringify(record.charts)), "charts of finite numbers");
      for (const { measured } of record.claims) {
        assert.match(measured, /\d/, "a finding has numbers");
        assert.doesNotMatch(measured, /NaN|undefined/);
      }
      const page = renderExperiment(kept);
      for (const { svg } of experimentFiles(kept)) {
        assert.doesNotMatch(svg.replace(/"data:[^"]*"/g, '""'), /NaN|undefined/); // any letters come in images
      }
      assert.equal(
        experimentFigure(kept) === undefined,
        record.charts.length + record.pictures.length === 0,
        "a figure where there is something to see",
      );
      for (const { measured } of record.claims) assert.ok(page.includes("Claims") && measured.length > 0);
      const names = [...record.charts, ...record.pictures].map(({ id }) => id);
      assert.equal(new Set(names).size, names.length, "files of different names");
      for (const name of names) assert.match(name, /^[a-z\d-]+$/);
    });

    it("says how far it is", () => {
      assert.ok(fractions.length > 0);
      assert.ok(fractions.every((fraction) => fraction >= 0 && fraction <= 1));
      assert.deepEqual(
        fractions,
        fractions.toSorted((a, b) => a - b),
        "never backwards",
      );
    });
  });
}

describe("the registry of experiments", () => {
  it("describes each of them in words", () => {
    const ids = experiments.map(({ id }) => id);
    assert.equal(new Set(ids).size, ids.length);
    const known = new Set(listDatasets().map(({ name }) => name));
    for (const { id, title, source, summary, claims, data, duration } of experiments) {
      assert.match(id, /^[a-z\d]+-[a-z\d-]+$/);
      assert.match(summary, /^[A-Z][^\n]+\.$/, `${id}: a sentence`);
      assert.ok(title.length < 80 && source.length > 10 && claims.length > 0, id);
      for (const { claim } of claims) assert.match(claim, /^[^\n]+\.$/, `${id}: a sentence`);
      assert.equal(new Set(claims.map((claim) => claim.id)).size, claims.length, id);
      for (const name of data?.datasets ?? []) assert.ok(known.has(name), `${id}: ${name}`);
      assert.match(`${duration.full} ${duration.quick}`, /^\d+ (s|min|h) \d+ s$/, id);
    }
  });

  it("names the nearest id, or all", () => {
    assert.equal(findExperiment("johnson-fig1").id, "johnson-fig1");
    assert.throws(
      () => findExperiment("johnson-fig2"),
      /unknown experiment "johnson-fig2"; did you mean "johnson-fig1"\?/,
    );
    assert.throws(
      () => findExperiment("x"),
      /unknown experiment "x"; known ones: johnson-fig1, |, johnson-fig1, /,
    );
  });
});
