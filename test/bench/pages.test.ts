/** The methods' pages: that they are what the generator makes of sources, registry, notes and counts, and that their defaults are true. */
import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { type Costs, costsText, countMethod } from "../../bench/pages/costs.ts";
import { readHeader } from "../../bench/pages/header.ts";
import { methodPage } from "../../bench/pages/method-page.ts";
import { optionsTable, optionText } from "../../bench/pages/options.ts";
import { type MethodInfo, methods } from "../../src/optimizers/index.ts";
import { openRuntime } from "../../src/runtime/runtime.ts";
import type { Runtime } from "../../src/runtime/session.ts";
import { networkOf, randomBatch, trainerOf } from "../conformance/networks.ts";

const root = fileURLToPath(new URL("../../", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "natgrad-pages-"));
after(() => rmSync(folder, { recursive: true }));

const costs: Costs = JSON.parse(readFileSync(join(root, "bench/results/method-costs.json"), "utf8"));

describe("the pages of the methods", () => {
  it("are what `npm run docs:methods` writes", () => {
    for (const { name } of methods) {
      const page = readFileSync(join(root, "docs/methods", `${name}.md`), "utf8");
      assert.equal(page, methodPage(name, root, costs), `${name}: run npm run docs:methods`);
    }
    const pages = methods.map(({ name }) => `${name}.md`).sort();
    const written = (path: string) =>
      readdirSync(join(root, path))
        .filter((name) => name.endsWith(".md"))
        .sort();
    assert.deepEqual(written("docs/methods"), pages);
    assert.deepEqual(written("docs/methods/notes"), pages);
  });

  it("count what the programs compute today", async () => {
    assert.deepEqual(await countMethod("sgd"), costs.sgd, "run npm run docs:methods -- --count");
    const { refusal } = await countMethod("levenbergMarquardt");
    assert.match(
      costsText("levenbergMarquardt", { ...costs, levenbergMarquardt: { refusal } }),
      /: none, .*gaussian/,
    );
  });

  it("name the values that a method takes, by its own words", () => {
    const row = (method: string, option: string) =>
      optionsTable(method)
        .split("\n")
        .find((line) => line.startsWith(`| \`${option}\``));
    assert.match(row("kfac", "form")!, /\| `"inverse"` \| `"inverse"` \\\| `"eigen"` \|/);
    assert.match(row("muon", "scale")!, /\| `"spectral"`; `"rms"` on the command line \|/);
    assert.doesNotMatch(row("unitwiseNgd", "solver")!, /cg/, "refused, though the general check lists it");
    for (const [method, option] of [
      ["kfac", "statisticsEvery"],
      ["ekfac", "scaleEvery"],
    ]) {
      assert.match(row(method, option)!, /\| 1 \| a positive integer that divides `refreshEvery` \|/);
    }
    for (const method of ["kfac", "ekfac", "kbfgs", "levenbergMarquardt"]) {
      assert.match(row(method, "damping")!, /\| (a number )?> 0[;| ]/, "0 is refused by default");
    }
    assert.throws(() => optionText("kfac", "nothing"), /says nothing of nothing/);
  });

  it("take headers apart", () => {
    const path = join(folder, "method.ts");
    const lines = ["A_b * _c, `d_e`", "goes on.", "", "  x ← y_i", "    + z", "", "where", "| s | t |"];
    const differences = ["", "Differs from the papers: one", "thing; another_one; λ is 1; g and h."];
    writeFileSync(
      path,
      `/**\n${[...lines, ...differences].map((line) => ` * ${line}\n`).join("")} */\nimport x;`,
    );
    assert.deepEqual(readHeader(path), {
      body: "A_b \\* \\_c, `d_e` goes on.\n\n```text\nx ← y_i\n  + z\n```\n\nwhere\n\n| s | t |",
      differences: ["One thing", "Another_one", "λ is 1", "g and h"],
    });
    writeFileSync(path, "import x;\n");
    assert.throws(() => readHeader(path), /does not open with a documentation comment/);
  });
});

describe("the defaults on the pages", () => {
  let runtime: Runtime;
  before(async () => {
    runtime = await openRuntime();
  });
  after(() => runtime?.dispose());

  const network = networkOf({
    ...{ features: 3, hidden: [4, 4], outputs: 2, bias: true, activation: "tanh" },
    ...{ likelihood: "gaussian", samples: 6, seed: 3 },
  });
  const batch = randomBatch(network, network.samples, 5);

  async function parametersAfterSteps({ create }: MethodInfo, options: Record<string, unknown>) {
    const trainer = await trainerOf(runtime, network, create(options));
    for (let k = 0; k < 3; k++) await trainer.step(batch);
    const parameters = [...trainer.getParameters().values()].map(({ data }) => [...data]);
    trainer.dispose();
    return parameters;
  }

  it("are the functions' own", async () => {
    for (const method of methods) {
      const stated = method.options.map(
        (option) => [option, optionText(method.name, option).default] as const,
      );
      const values = stated.filter(([, value]) => value !== undefined && typeof value !== "object");
      const own = await parametersAfterSteps(method, {});
      assert.deepEqual(await parametersAfterSteps(method, Object.fromEntries(values)), own, method.name);
    }
  });
});
