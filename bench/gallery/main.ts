/** Writes docs/experiments.md and its figures: npm run docs:experiments -- --help */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { Command } from "commander";
import { UsageError } from "../../src/errors.ts";
import { type ExperimentRecord, encodeRecord } from "../../src/experiments/record.ts";
import { findExperiment } from "../../src/experiments/registry.ts";
import { galleryFiles, readResults } from "./files.ts";

const root = fileURLToPath(new URL("../../", import.meta.url));

const { args } = new Command("npm run docs:experiments --")
  .description(
    "Writes docs/experiments.md and docs/images/experiments/ from docs/experiments/*.json, after taking over the results of runs.",
  )
  .argument("[folders...]", "of runs whose result.json is to be shown from now on: runs/johnson-fig1")
  .parse();

try {
  for (const folder of args) takeOver(folder);
  const files = galleryFiles(readResults(root));
  for (const [path, contents] of files) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), contents);
  }
  console.error(`wrote ${files.size} files`);
} catch (error) {
  if (!(error instanceof UsageError)) throw error;
  console.error(error.message);
  process.exitCode = 2;
}

/** @throws UsageError when the folder holds no result of an experiment that there is */
function takeOver(folder: string): void {
  const path = join(folder, "result.json");
  let record: ExperimentRecord;
  try {
    record = JSON.parse(readFileSync(path, "utf8"));
  } catch (error) {
    throw new UsageError(`cannot read ${path}: ${(error as Error).message}`);
  }
  if (record.format !== "natgrad experiment 1") throw new UsageError(`${path} is no experiment's result`);
  const { id } = findExperiment(record.id);
  writeFileSync(join(root, "docs/experiments", `${id}.json`), encodeRecord(record));
}
