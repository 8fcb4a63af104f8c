// Draws the README's picture: runs a comparison and writes docs/images/comparison-{light,dark}.svg.
//
//     npm run build && node scripts/readme-figure.mjs [arguments of natgrad compare]
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { renderComparisonFigure } from "../dist/report/index.js";
import { readConfig, readMetrics } from "../dist/training/run-folder.js";

const methods = ["sgd", "adam", "exactNgd", "blockDiagonalNgd", "tengrad"];
const demonstration = [
  "teacher",
  "--optimizers",
  methods.join(),
  "--tune",
  "--schedule",
  "cosine",
  "--seed",
  "0",
];
const wanted = process.argv.length > 2 ? process.argv.slice(2) : demonstration;

const scratch = mkdtempSync(join(tmpdir(), "natgrad-figure-"));
try {
  const command = ["dist/cli/main.js", "compare", ...wanted, "--runs-dir", scratch, "--name", "figure"];
  execFileSync(process.execPath, command, { stdio: "inherit" });
  const folder = join(scratch, "figure");
  const { methods: names } = await readConfig(folder);
  const runs = [];
  for (const name of names) {
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
  mkdirSync("docs/images", { recursive: true });
  for (const scheme of ["light", "dark"]) {
    const path = `docs/images/comparison-${scheme}.svg`;
    writeFileSync(path, renderComparisonFigure(runs, { width: 840, height: 360, scheme }));
    process.stdout.write(`${path}\n`);
  }
} finally {
  rmSync(scratch, { recursive: true });
}
