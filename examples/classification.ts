// Classification on a CSV file of your own.
// Run: node --import tsx examples/classification.ts [file.csv] [target column]

import { fileURLToPath } from "node:url";
import { blockDiagonalNgd, categorical, createTrainer, dense, loadCsv, relu, sequential } from "natgrad";

const [path = fileURLToPath(new URL("fruit.csv", import.meta.url)), target] = process.argv.slice(2);
const { training, validation, notices } = await loadCsv(path, { target, task: "classification", seed: 0 });
for (const notice of notices) console.log(`note: ${notice}`);
console.log(`inputs: ${training.inputNames.join(", ")}`);

const { task } = training;
if (task.kind !== "classification") throw new Error("asked for a classification");
const trainer = await createTrainer({
  model: sequential([dense(16), relu(), dense(task.classNames.length)]),
  inputShape: [training.inputNames.length],
  likelihood: categorical(),
  optimizer: blockDiagonalNgd({ learningRate: 0.3, damping: 0.1 }),
  batchSize: Math.min(32, training.inputs.shape[0]),
});
for await (const { epoch, validationLoss, metric } of trainer.fit(training, { epochs: 10, validation })) {
  console.log(
    `epoch ${epoch}: validation loss ${validationLoss?.toFixed(4)}, accuracy ${metric?.value.toFixed(3)}`,
  );
}

// The outputs are logits, one for every class: the largest is the prediction.
const logits = await trainer.predict(validation.inputs);
const classes = task.classNames.length;
const first = [...logits.data.slice(0, classes)];
const predicted = task.classNames[first.indexOf(Math.max(...first))];
console.log(`first validation row: ${predicted} (it is ${task.classNames[validation.targets.data[0]]})`);
trainer.dispose();
