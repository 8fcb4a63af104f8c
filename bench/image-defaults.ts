/**
 * Where the command line's defaults for convolutional networks come from: methods on a grid of learning rates and dampings, momentum 0.9
 * where they have it, one epoch of the first 12,800 images of MNIST with `smallConvNet` (100 steps), by the loss on 2,000 images
 * that it was not trained on. Of nearly equal points the defaults are the one whose neighbours are good, too; Adam's is what did
 * well over five epochs.
 *
 * Usage: NATGRAD_DATA=… node --import tsx bench/image-defaults.ts [method …]
 */

import { selectRows } from "../src/data/dataset.ts";
import { loadDataset } from "../src/data/index.ts";
import { categorical, createTrainer, findMethod } from "../src/index.ts";
import { smallConvNet } from "../src/models/index.ts";

const TRAINED = 12_800;
const VALIDATED = 2_000;
const rates = [0.003, 0.01, 0.03, 0.1, 0.3];
const dampings = [0.03, 0.1, 0.3, 1];
const usual = ["sgd", "adam", "tengrad", "kfac", "ekfac", "kbfgs", "diagonalNgd", "quasiDiagonalNgd"];

const { training, validation } = await loadDataset("mnist", { rows: TRAINED });
const held = selectRows(
  validation,
  Int32Array.from({ length: VALIDATED }, (_, row) => row),
);
const names = process.argv.length > 2 ? process.argv.slice(2) : usual;
for (const name of names) {
  const { options, defaults, create } = findMethod(name);
  const damped = options.includes("damping");
  const momentum = options.includes("momentum") ? { momentum: 0.9 } : {};
  for (const damping of damped ? dampings : [undefined]) {
    for (const learningRate of rates) {
      const chosen = { ...defaults, ...momentum, learningRate, ...(damped && { damping }) };
      const trainer = await createTrainer({
        ...{ model: smallConvNet(), inputShape: [1, 28, 28], likelihood: categorical(), batchSize: 128 },
        optimizer: create(chosen),
      });
      const start = performance.now();
      let found = "";
      try {
        for await (const epoch of trainer.fit(training, {
          epochs: 1,
          validation: held,
          evaluatedRows: VALIDATED,
        })) {
          found = `${epoch.validationLoss?.toFixed(4)}  accuracy ${epoch.metric?.value.toFixed(4)}`;
        }
      } catch (error) {
        found = (error as Error).message;
      }
      const seconds = ((performance.now() - start) / 1000).toFixed(1);
      console.log(
        `${name}  damping ${damping ?? "-"}  learning rate ${learningRate}: ${found}  ${seconds} s`,
      );
      trainer.dispose();
    }
  }
}
process.exit(0);
