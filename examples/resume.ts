// Stop, save, resume: the resumed run goes on with the very bits that an uninterrupted one has.
// Run: node --import tsx examples/resume.ts

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  createTrainer,
  dense,
  gaussian,
  loadDataset,
  resumeTrainer,
  sequential,
  type Trainer,
  type TrainerConfig,
  tanh,
  tengrad,
} from "natgrad";

const { training } = await loadDataset("friedman1");
const config: TrainerConfig = {
  model: sequential([dense(16), tanh(), dense(1)]),
  inputShape: [10],
  likelihood: gaussian(),
  optimizer: tengrad({ learningRate: 0.1, damping: 0.1, refreshEvery: 5 }),
  seed: 7,
};
const folder = await mkdtemp(join(tmpdir(), "natgrad-"));
const checkpoint = join(folder, "checkpoint.safetensors");

async function train(trainer: Trainer, epochs: number, signal?: AbortSignal) {
  for await (const { epoch, trainLoss } of trainer.fit(training, { epochs, signal })) {
    console.log(`epoch ${epoch}: training loss ${trainLoss.toFixed(6)}`);
  }
}

// Three epochs at one go.
const whole = await createTrainer(config);
await train(whole, 3);

// One epoch, saved; two more by another trainer that starts from the file.
const first = await createTrainer(config);
await train(first, 1);
await first.save(checkpoint);
first.dispose();
const second = await resumeTrainer(checkpoint, config);
await train(second, 2);

const expected = whole.getParameters();
const equal = [...second.getParameters()].every(([name, { data }]) => {
  return data.every((value, k) => Object.is(value, expected.get(name)!.data[k]));
});
console.log(
  `after ${second.progress.step} steps the parameters are ${equal ? "equal, bit by bit" : "different"}`,
);
whole.dispose();
second.dispose();
await rm(folder, { recursive: true });
