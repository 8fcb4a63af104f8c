/** What the gallery is made of, and what it is made into. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { ExperimentRecord } from "../../src/experiments/record.ts";
import { experiments } from "../../src/experiments/registry.ts";
import { experimentFigure } from "../../src/report/experiment-figures.ts";
import { galleryPage } from "./page.ts";

/** Results, in the order of the registry. */
export function readResults(root: string): ExperimentRecord[] {
  const folder = join(root, "docs/experiments");
  return experiments.flatMap(({ id }) => {
    const path = join(folder, `${id}.json`);
    return existsSync(path) ? [JSON.parse(readFileSync(path, "utf8")) as ExperimentRecord] : [];
  });
}

/** Ids of results that no experiment has. */
export function strayResults(root: string): string[] {
  const ids = new Set(experiments.map(({ id }) => id));
  return readdirSync(join(root, "docs/experiments")).filter(
    (name) => name.endsWith(".json") && !ids.has(name.slice(0, -".json".length)),
  );
}

/** Paths in the project and contents of all that is generated from the results. */
export function galleryFiles(records: readonly ExperimentRecord[]): Map<string, string> {
  const figures = records.map((record) => [record.id, experimentFigure(record)] as const);
  const drawn = new Map(figures.filter(([, svg]) => svg !== undefined));
  const shown = records.map((record) => ({ record, pictured: drawn.has(record.id) }));
  return new Map([
    ["docs/experiments.md", galleryPage(shown)],
    ...[...drawn].map(([id, svg]) => [`docs/images/experiments/${id}.svg`, svg!] as const),
  ]);
}
