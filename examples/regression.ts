// Regression by natural gradient, from data to predictions.
// Run: node --import tsx examples/regression.ts

import { createTrainer, dense, exactNgd, gaussian, loadDataset, sequential, tanh } from "natgrad";

const { training, validation } = await loadDataset("friedman1");
const trainer = await createTrainer({
  model: sequential([dense(32), tanh(), dense(1)]),
  inputShape: [10],
  likelihood: gaussian(),
  optimizer: exactNgd({ learningRate: 0.3, damping: 1e-2 }),
  batchSize: 128,
  seed: 0,
});

for await (const { epoch, trainLoss, metric } of trainer.fit(training, { epochs: 10, validation })) {
  console.log(
    `epoch ${epoch}: training loss ${trainLoss.toFixed(4)}, ${metric?.name} ${metric?.value.toFixed(3)}`,
  );
}

const outputs = await trainer.predict(validation.inputs); // (N, 1), standardized as the targets are
console.log(
  `first prediction ${outputs.data[0].toFixed(3)}, target ${validation.targets.data[0].toFixed(3)}`,
);
trainer.dispose();
