import assert from "node:assert/strict";
import { isBuiltin } from "node:module";
import { before, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { type BuildResult, build } from "esbuild";
import * as browser from "../../src/browser.ts";
import * as whole from "../../src/index.ts";

describe("the entry for browsers", () => {
  let built: BuildResult<{ metafile: true; write: false }>;
  before(async () => {
    built = await build({
      entryPoints: [fileURLToPath(new URL("../../src/browser.ts", import.meta.url))],
      outdir: "/",
      bundle: true,
      splitting: true,
      platform: "browser",
      format: "esm",
      write: false,
      metafile: true,
      logLevel: "silent",
    });
  });

  it("imports nothing of Node and nothing native", () => {
    const imports = Object.values(built.metafile.inputs).flatMap(({ imports }) => imports);
    assert.ok(imports.length > 100, `${imports.length} imports were looked at`);
    const wrong = imports.filter(
      ({ path }) => isBuiltin(path) || /node_modules\/(koffi|onnxruntime-node|env-paths)\//.test(path),
    );
    assert.deepEqual(wrong, []);
  });

  it("leaves no import for the page to resolve", () => {
    const left = Object.values(built.metafile.outputs).flatMap(({ imports }) =>
      imports.filter(({ external }) => external),
    );
    assert.deepEqual(left, []);
    for (const { text } of built.outputFiles) assert.doesNotMatch(text, /from\s*"node:|import\("node:/);
  });

  it("offers what the entry for Node does, but for files", () => {
    const absent = Object.keys(whole).filter((name) => !(name in browser));
    assert.deepEqual(absent.sort(), ["encodeCsv", "fetchDataset", "listDatasets", "loadCsv", "openRun"]);
    const values = new Map(Object.entries(whole));
    const other = Object.entries(browser).filter(([name, value]) => values.get(name) !== value);
    assert.deepEqual(
      other.map(([name]) => name),
      ["loadDataset"],
    );
  });
});

describe("loadDataset for browsers", () => {
  it("draws the numbers that the registry draws", async () => {
    for (const name of ["friedman1", "spirals", "teacher", "glyphs"]) {
      const options = { rows: 50, seed: 3 };
      assert.deepEqual(await browser.loadDataset(name, options), await whole.loadDataset(name, options));
    }
  });

  it("names what there is", async () => {
    await assert.rejects(browser.loadDataset("weather"), {
      name: "UsageError",
      message: 'unknown dataset "weather" (without files there are friedman1, spirals, teacher, glyphs)',
    });
  });
});

describe("setWasmFolder", () => {
  it("takes a folder before the first trainer only", async () => {
    const { setWasmFolder, useWasmFolder } = await import("../../src/runtime/wasm-folder.ts");
    setWasmFolder("https://example.org/ort");
    assert.equal(useWasmFolder(), "https://example.org/ort/");
    assert.throws(() => setWasmFolder("https://example.org/"), {
      name: "UsageError",
      message: "setWasmFolder must come before the first trainer",
    });
  });
});
