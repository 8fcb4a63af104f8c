/** Writes docs/methods/*.md: npm run docs:methods -- --help */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Command } from "commander";
import { findMethod, methods } from "../../src/optimizers/index.ts";
import { type Costs, countMethod } from "./costs.ts";
import { methodPage } from "./method-page.ts";

const root = fileURLToPath(new URL("../../", import.meta.url));
const results = join(root, "bench/results/method-costs.json");

const options = new Command("npm run docs:methods --")
  .description(
    "Writes a page for every method from its notes, its source and bench/results/method-costs.json.",
  )
  .option("--count [names]", "count the operations of all methods, or of those named, anew first")
  .parse()
  .opts<{ count?: true | string }>();

if (options.count) {
  const names = options.count === true ? methods.map(({ name }) => name) : options.count.split(",");
  const costs: Record<string, unknown> = options.count === true ? {} : readCosts();
  for (const name of names) {
    console.error(`counting ${findMethod(name).name}`);
    costs[name] = await countMethod(name);
  }
  const ordered = methods.map(({ name }) => [name, costs[name]]);
  writeFileSync(results, `${JSON.stringify(Object.fromEntries(ordered), undefined, 2)}\n`);
}
const costs = readCosts();
for (const { name } of methods) {
  writeFileSync(join(root, "docs/methods", `${name}.md`), methodPage(name, root, costs));
}
console.error(`wrote ${methods.length} pages to docs/methods`);

function readCosts(): Costs {
  return JSON.parse(readFileSync(results, "utf8"));
}
