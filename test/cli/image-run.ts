/**
 * A run on small images, with everything that keeps state. Started as a program it trains in the folder given, until it kills
 * itself in the middle of an epoch.
 */
import { statSync } from "node:fs";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { CHECKPOINT_MINUTES, performRun, type RunRequest } from "../../src/cli/run.ts";
import { loadDataset } from "../../src/data/index.ts";
import {
  avgPool,
  batchNorm,
  categorical,
  conv2d,
  createOptimizer,
  dense,
  dropout,
  flatten,
  relu,
  sequential,
} from "../../src/index.ts";
import { createTrainer } from "../../src/training/create-trainer.ts";
import type { RunConfig } from "../../src/training/run-config.ts";
import type { Trainer } from "../../src/training/trainer.ts";
import type { TrainerConfig } from "../../src/training/trainer-config.ts";

const optimizer = { name: "tengrad", options: { learningRate: 0.05, damping: 0.1, refreshEvery: 4 } };
const training = { epochs: 2, batchSize: 16, dtype: "float32", device: "cpu", seed: 0 } as const;

export const settings: TrainerConfig = {
  model: sequential([
    ...[conv2d(4, { padding: 1, bias: false }), batchNorm(), relu(), avgPool(2), flatten(), dropout(0.2)],
    dense(10),
  ]),
  ...{ inputShape: [1, 8, 8], likelihood: categorical(), batchSize: training.batchSize },
  optimizer: createOptimizer(optimizer.name, optimizer.options),
};

export async function requestRun(
  folder: string,
  trainer: Trainer,
  checkpointMinutes = CHECKPOINT_MINUTES,
): Promise<RunRequest> {
  const split = await loadDataset("glyphs", { rows: 500 });
  const config: RunConfig = {
    ...{ format: "natgrad run 1", natgrad: "0.0.0", commands: [], optimizer },
    dataset: { source: "glyphs", options: {}, fingerprint: "" },
    model: { hidden: [], activation: "relu" },
    training: { ...training, checkpointMinutes, augment: { crop: 1, flip: true } },
  };
  const { signal } = new AbortController();
  return { name: "tengrad", folder, config, split, trainer, signal, onStep() {}, onEpoch() {} };
}

const [, program, folder] = process.argv;
if (program === import.meta.filename) {
  const trainer = await createTrainer(settings);
  killAfter(7, trainer, join(folder, "checkpoint.safetensors"));
  // A checkpoint after every step, as soon as the one before it is on the disk.
  await performRun(await requestRun(folder, trainer, Number.MIN_VALUE));
}

/** Ends the process without a word after some steps, once a checkpoint made between them is on the disk. */
function killAfter(steps: number, trainer: Trainer, checkpoint: string): void {
  const step = trainer.step.bind(trainer);
  let before: number;
  trainer.step = async (batch) => {
    const { ino } = statSync(checkpoint); // a save replaces the file
    before ??= ino;
    if (trainer.progress.step === steps) {
      while (statSync(checkpoint).ino === before) await setTimeout(1);
      process.kill(process.pid, "SIGKILL");
    }
    return step(batch);
  };
}
