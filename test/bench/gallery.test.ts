/** docs/experiments.md: that it is what the generator makes of the committed results, and those of the experiments that there are. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { galleryFiles, readResults, strayResults } from "../../bench/gallery/files.ts";
import { findExperiment } from "../../src/experiments/registry.ts";

const root = fileURLToPath(new URL("../../", import.meta.url));
const records = readResults(root);

describe("the gallery of experiments", () => {
  it("is what `npm run docs:experiments` writes", () => {
    const files = galleryFiles(records);
    for (const [path, contents] of files) {
      assert.ok(readFileSync(join(root, path), "utf8") === contents, `${path}: run npm run docs:experiments`);
    }
    const drawn = readdirSync(join(root, "docs/images/experiments")).map(
      (name) => `docs/images/experiments/${name}`,
    );
    assert.deepEqual(
      drawn.filter((path) => !files.has(path)),
      [],
      "figures of no experiment",
    );
    assert.deepEqual(strayResults(root), []);
  });

  it("has results of the claims as they stand, each with its finding", () => {
    assert.ok(records.length > 0);
    for (const record of records) {
      const { claims, title } = findExperiment(record.id);
      assert.equal(record.format, "natgrad experiment 1");
      assert.equal(record.title, title, `${record.id}: run it again`);
      const stated = claims.filter(({ id }) => record.claims.some((one) => one.id === id));
      assert.deepEqual(
        record.claims.map(({ id, claim }) => [id, claim]),
        stated.map(({ id, claim }) => [id, claim]),
        `${record.id}: run it again`,
      );
      if (!record.quick) assert.equal(stated.length, claims.length, record.id);
    }
  });
});
