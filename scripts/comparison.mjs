// Pictures of a comparison that stand alone.
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { renderComparisonFigure } from "../dist/report/index.js";
import { readConfig, readMetrics } from "../dist/training/run-folder.js";

/** The runs of a folder that `natgrad compare` wrote. */
export async function readComparison(folder) {
  const { methods } = await readConfig(folder);
  const runs = [];
  for (const name of methods) {
    const { optimizer } = await readConfig(join(folder, name));
    const { records: epochs } = await readMetrics(join(folder, name));
    runs.push({
      name,
      optimizer: name,
      options: optimizer.options,
      epochs,
      curvature: [],
      status: "finished",
    });
  }
  return runs;
}

/** Writes <prefix>-light.svg and <prefix>-dark.svg. */
export function writeFigures(runs, prefix, quantity) {
  mkdirSync(dirname(prefix), { recursive: true });
  for (const scheme of ["light", "dark"]) {
    const path = `${prefix}-${scheme}.svg`;
    writeFileSync(path, renderComparisonFigure(runs, { width: 840, height: 360, scheme, quantity }));
    process.stdout.write(`${path}\n`);
  }
}
