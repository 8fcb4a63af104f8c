// Draws a comparison that has been run: the loss, or the metric, against epochs and against seconds.
//
//     npm run build && node scripts/run-figure.mjs <folder of natgrad compare> <prefix of the pictures> [loss | metric]
import { readComparison, writeFigures } from "./comparison.mjs";

const [folder, prefix, quantity = "loss"] = process.argv.slice(2);
if (prefix === undefined) {
  process.stderr.write("usage: node scripts/run-figure.mjs <folder> <prefix> [loss | metric]\n");
  process.exit(2);
}
writeFigures(await readComparison(folder), prefix, quantity);
