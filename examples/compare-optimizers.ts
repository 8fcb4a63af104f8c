// Several optimizers on the same network, the same batches and the same initial weights.
// Run: node --import tsx examples/compare-optimizers.ts

import {
  adam,
  blockDiagonalNgd,
  createTrainer,
  dense,
  exactNgd,
  gaussian,
  loadDataset,
  sequential,
  sgd,
  tanh,
  tengrad,
} from "natgrad";

const { training, validation } = await loadDataset("teacher");
const optimizers = [
  sgd({ learningRate: 0.1, momentum: 0.9 }),
  adam({ learningRate: 0.01 }),
  exactNgd({ learningRate: 0.3, damping: { policy: "levenberg-marquardt", initial: 0.1 } }),
  blockDiagonalNgd({ learningRate: 0.3, damping: 0.01 }),
  tengrad({ learningRate: 0.1, damping: 0.1, momentum: 0.9, refreshEvery: 2 }),
];

for (const optimizer of optimizers) {
  const trainer = await createTrainer({
    model: sequential([dense(16), tanh(), dense(1)]),
    inputShape: [training.inputs.shape[1]],
    likelihood: gaussian(),
    optimizer,
    batchSize: 100,
    seed: 0,
  });
  let rejected = 0;
  for await (const epoch of trainer.fit(training, { epochs: 10 })) rejected += epoch.rejectedSteps;
  const { loss, metric } = await trainer.evaluate(validation);
  const milliseconds = (1000 * trainer.progress.seconds) / trainer.progress.step;
  console.log(
    `${optimizer.name.padEnd(17)} validation loss ${loss.toFixed(4)}  ${metric.name} ${metric.value.toFixed(4)}` +
      `  ${milliseconds.toFixed(2)} ms a step  ${rejected} steps taken back`,
  );
  for (const { parameters, structure, solver, dimension } of trainer.curvature()) {
    console.log(`  ${parameters.join(", ")}: ${structure}, ${solver} of order ${dimension}`);
  }
  trainer.dispose();
}
