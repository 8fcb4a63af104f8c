// Draws the README's picture: runs a comparison and writes docs/images/comparison-{light,dark}.svg.
//
//     npm run build && node scripts/readme-figure.mjs [arguments of natgrad compare]
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readComparison, writeFigures } from "./comparison.mjs";

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
  writeFigures(await readComparison(join(scratch, "figure")), "docs/images/comparison");
} finally {
  rmSync(scratch, { recursive: true });
}
