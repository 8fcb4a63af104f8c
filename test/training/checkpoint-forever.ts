/** Trains and saves after every step until it is killed; run by trainer.test.ts. Says so once the first is there. */
import { createOptimizer, createTrainer, dense, gaussian, sequential, tanh } from "../../src/index.ts";
import { randomBatch } from "../conformance/networks.ts";

const path = process.argv[2];
const likelihood = gaussian();
const trainer = await createTrainer({
  ...{ model: sequential([dense(4), tanh(), dense(2)]), likelihood, inputShape: [3] },
  optimizer: createOptimizer("tengrad", { refreshEvery: 2, momentum: 0.5 }),
});
for (let k = 0; ; k++) {
  await trainer.step(randomBatch({ inputShape: [3], outputs: 2, likelihood }, 6, k));
  await trainer.save(path);
  if (k === 0) process.stdout.write("saved\n");
}
