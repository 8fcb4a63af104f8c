// Draws a comparison that has been run: the loss, or the metric, against epochs and against seconds.
//
//     npm run build && node scripts/run-figure.mjs <folder of natgrad compare> <prefix of the pictures> [loss | metric] [first epoch]
import { readComparison, writeFigures } from "./comparison.mjs";

const [folder, prefix, quantity = "loss", first = "0"] = process.argv.slice(2);
if (prefix === undefined) {
  process.stderr.write(
    "usage: node scripts/run-figure.mjs <folder> <prefix> [loss | metric] [first epoch]\n",
  );
  process.exit(2);
}
const runs = (await readComparison(folder)).map((run) => ({
  ...run,
  epochs: run.epochs.filter(({ epoch }) => epoch >= Number(first)),
}));
writeFigures(runs, prefix, quantity);
