/** One combination: the settings are tried, and the best of them trained. */

import { defaultBatchSize } from "../../src/cli/defaults.ts";
import type { Batch } from "../../src/data/batches.ts";
import { splitDataset } from "../../src/data/dataset.ts";
import { batchCount, batches, type Dataset, loadDataset } from "../../src/data/index.ts";
import { Random } from "../../src/random.ts";
import type { Runtime } from "../../src/runtime/session.ts";
import { createTrainer } from "../../src/training/create-trainer.ts";
import { trainerConfig } from "../../src/training/run-config.ts";
import type { Trainer } from "../../src/training/trainer.ts";
import { type Options, onCosine, type Plan, settingsOf } from "./plan.ts";
import type { Outcome, Training } from "./results.ts";

/** 60 % of the rows to train on, 20 % to choose settings by, 20 % that nothing is chosen by. */
export interface TaskData {
  readonly training: Dataset;
  readonly validation: Dataset;
  readonly heldOut: Dataset;
}

export async function loadTask(name: string): Promise<TaskData> {
  const { training: rest, validation: heldOut } = await loadDataset(name, { seed: 0 });
  const { training, validation } = splitDataset(rest, { validation: 0.25, seed: 0 });
  return { training, validation, heldOut };
}

export interface Combination {
  readonly task: string;
  readonly network: string;
  readonly method: string;
}

/** Steps rejected in a row after which a training counts as diverged. */
const PATIENCE = 20;

/** A setting is near the best one when its validation loss is at most so many times the least. */
const NEAR = 1.5;

/** Tunes and trains; an error of the method is its outcome. */
export async function runCombination(
  combination: Combination,
  data: TaskData,
  plan: Plan,
  runtime: Runtime,
): Promise<Outcome> {
  const rows = data.training.inputs.shape[0];
  const batchSize = defaultBatchSize(rows);
  const plannedSteps = Math.min(plan.steps, plan.epochs * batchCount(rows, { batchSize }));
  const outcome = { ...combination, kind: data.training.task.kind, plannedSteps };
  const start = (options: Options, steps: number, seed: number) => {
    const model = { hidden: combination.network.split("-").map(Number), activation: "tanh" } as const;
    const training = { batchSize, epochs: 0, dtype: "float32", device: "cpu", seed } as const;
    const optimizer = { name: combination.method, options: onCosine(options, steps) };
    const dataset = { source: combination.task, options: {}, fingerprint: "" };
    return createTrainer(trainerConfig({ dataset, model, optimizer, training }, data.training), { runtime });
  };
  try {
    const tuned = await tune(combination.method, data, plan, (options) =>
      start(options, Math.min(plan.trialSteps, plannedSteps), 0),
    );
    const { options } = tuned;
    if (options === undefined) {
      return { ...outcome, ...tuned, trainings: [], failure: "every trial diverged" };
    }
    const trainings: Training[] = [];
    const spent = () => trainings.reduce((sum, { seconds }) => sum + seconds, 0);
    for (let seed = 0; seed < plan.seeds && spent() < plan.trainingSeconds / 2; seed++) {
      const trainer = await start(options, plannedSteps, seed);
      trainings.push(await train(trainer, data, plan, plannedSteps).finally(() => trainer.dispose()));
    }
    return { ...outcome, ...tuned, trainings };
  } catch (error) {
    const failure = (error as Error).message.split("\n")[0];
    return { ...outcome, trials: 0, divergedTrials: 0, nearTrials: 0, trainings: [], failure };
  }
}

async function tune(
  method: string,
  { training, validation }: TaskData,
  plan: Plan,
  start: (options: Options) => Promise<Trainer>,
): Promise<Pick<Outcome, "options" | "trials" | "divergedTrials" | "nearTrials">> {
  const begin = performance.now();
  const losses: number[] = [];
  let best: { options: Options; loss: number } | undefined;
  for (const options of settingsOf(method, plan)) {
    if (losses.length > 0 && elapsed(begin) > plan.tuningSeconds) break;
    const trainer = await start(options);
    try {
      // One trial may take all the time there is, no more: a cut trial counts with what it has reached.
      const stepping = new Stepping(trainer, training, plan.tuningSeconds);
      await stepping.take(plan.trialSteps);
      const loss = stepping.diverged ? Number.NaN : (await trainer.evaluate(validation)).loss;
      losses.push(loss);
      if (Number.isFinite(loss) && !(best && best.loss <= loss)) best = { options, loss };
    } finally {
      trainer.dispose();
    }
  }
  return {
    options: best?.options,
    trials: losses.length,
    divergedTrials: losses.filter((loss) => !Number.isFinite(loss)).length,
    nearTrials: losses.filter((loss) => best && loss <= NEAR * best.loss).length,
  };
}

async function train(trainer: Trainer, data: TaskData, plan: Plan, steps: number): Promise<Training> {
  const every = Math.ceil(steps / plan.evaluations);
  const curve: [number, number | null][] = [];
  await trainer.prepare();
  const stepping = new Stepping(trainer, data.training, plan.trainingSeconds);
  while (stepping.steps < steps && !stepping.isOver) {
    await stepping.take(Math.min(every, steps - stepping.steps));
    curve.push([stepping.steps, (await trainer.evaluate(data.training)).loss]);
  }
  const { loss, metric } = await trainer.evaluate(data.heldOut);
  const trainLoss = curve.at(-1)![1];
  const diverged = stepping.diverged || !Number.isFinite(trainLoss) || !Number.isFinite(loss);
  return {
    ...{ seed: trainer.config.seed, steps: stepping.steps, seconds: stepping.seconds, curve },
    ...{ trainLoss: diverged ? null : trainLoss, heldOutLoss: diverged ? null : loss },
    ...{ metric: diverged ? null : metric, rejected: stepping.rejected },
  };
}

/** Steps in the order of batches that the trainer's seed gives, with a clock on them alone. */
class Stepping {
  steps = 0;
  seconds = 0;
  rejected = 0;
  diverged = false;
  readonly #trainer: Trainer;
  readonly #limit: number;
  readonly #batches: ReturnType<typeof endless>;
  #rejectedInARow = 0;

  constructor(trainer: Trainer, dataset: Dataset, limit: number) {
    this.#trainer = trainer;
    this.#limit = limit;
    this.#batches = endless(dataset, trainer.config);
  }

  /** Whether it diverged, or its time is up. */
  get isOver(): boolean {
    return this.diverged || this.seconds > this.#limit;
  }

  async take(count: number): Promise<void> {
    for (let taken = 0; taken < count && !this.isOver; taken++) {
      const { value: batch } = this.#batches.next();
      const start = performance.now();
      const { accepted } = await this.#trainer.step(batch);
      this.seconds += elapsed(start);
      this.steps++;
      if (!accepted) this.rejected++;
      this.#rejectedInARow = accepted ? 0 : this.#rejectedInARow + 1;
      this.diverged = this.#rejectedInARow >= PATIENCE;
    }
  }
}

function* endless(
  dataset: Dataset,
  { batchSize, seed }: { batchSize: number; seed: number },
): Generator<Batch, never> {
  const random = new Random(seed).fork("batches");
  for (let epoch = 0; ; epoch++) yield* batches(dataset, { batchSize, random, epoch });
}

/** Seconds since `start`. */
function elapsed(start: number): number {
  return (performance.now() - start) / 1000;
}
