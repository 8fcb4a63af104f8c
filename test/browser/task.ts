/** What is trained in Node and in a page alike: a small network on a synthetic task, with fixed seeds. */
import * as natgrad from "../../src/browser.ts";

const optimizers = {
  sgd: natgrad.sgd({ learningRate: 0.1 }),
  adam: natgrad.adam({ learningRate: 0.01 }),
  tengrad: natgrad.tengrad({ learningRate: 0.2, damping: 0.1, refreshEvery: 2 }),
};

export type OptimizerName = keyof typeof optimizers;

export function configuration(
  optimizer: OptimizerName,
  device: natgrad.Device = "cpu",
): natgrad.TrainerConfig {
  return {
    model: natgrad.sequential([natgrad.dense(8), natgrad.tanh(), natgrad.dense(1)]),
    inputShape: [10],
    likelihood: natgrad.gaussian(),
    optimizer: optimizers[optimizer],
    batchSize: 64,
    device,
    seed: 1,
  };
}

/** Losses before each of `steps` updates. */
export async function trainSteps(trainer: natgrad.Trainer, steps: number): Promise<number[]> {
  const { training } = await natgrad.loadDataset("friedman1", { rows: 400, seed: 1 });
  const losses: number[] = [];
  for (let epoch = 0; losses.length < steps; epoch++) {
    const random = new natgrad.Random(2);
    for (const batch of natgrad.batches(training, { batchSize: 64, random, epoch })) {
      if (losses.length < steps) losses.push((await trainer.step(batch)).loss);
    }
  }
  return losses;
}

/** Microseconds that a step takes with a batch of 128 rows of 8 numbers, compilation and first steps left out. */
export async function stepTime(
  hidden: readonly number[],
  optimizer: OptimizerName,
  steps: number,
): Promise<number> {
  const layers = hidden.flatMap((units) => [natgrad.dense(units), natgrad.tanh()]);
  const model = natgrad.sequential([...layers, natgrad.dense(1)]);
  const trainer = await natgrad.createTrainer({ ...configuration(optimizer), model, inputShape: [8] });
  const random = new natgrad.Random(0);
  const draw = (columns: number) =>
    natgrad.tensor(
      Float32Array.from({ length: 128 * columns }, () => random.normal()),
      [128, columns],
    );
  const batch = { inputs: draw(8), targets: draw(1) };
  for (let step = 0; step < steps / 4; step++) await trainer.step(batch);
  const start = performance.now();
  for (let step = 0; step < steps; step++) await trainer.step(batch);
  const elapsed = performance.now() - start;
  trainer.dispose();
  return (1000 * elapsed) / steps;
}
