/**
 * Trainings side by side: from the same seed every method starts from the same weights and takes the same batches in the same
 * order, and its loss over all training rows is looked at along the way.
 */
import { breathe } from "../breathe.ts";
import { batches, type Dataset } from "../data/index.ts";
import {
  bernoulli,
  categorical,
  dense,
  gaussian,
  type Likelihood,
  type Model,
  sequential,
  tanh,
} from "../nn/index.ts";
import { createOptimizer, type MethodOptions } from "../optimizers/registry.ts";
import { Random } from "../random.ts";
import type { Runtime } from "../runtime/session.ts";
import { createTrainer } from "../training/create-trainer.ts";
import type { Evaluation } from "../training/evaluation.ts";
import type { Trainer } from "../training/trainer.ts";

/** The same for all methods that are compared. */
export interface Setting {
  readonly runtime: Runtime;
  readonly data: Dataset;
  readonly model: Model;
  readonly batchSize: number;
  readonly steps: number;
  /** Looks at the loss, evenly over the steps; one is the end. */
  readonly looks: number;
  /** Rows that nothing is trained on, to be looked at in the end. */
  readonly heldOut?: Dataset;
  readonly signal: AbortSignal;
}

/** Loss over all training rows after so many steps. */
export interface Look {
  readonly step: number;
  readonly epoch: number;
  readonly loss: number;
}

export interface Training {
  readonly options: MethodOptions;
  readonly seed: number;
  /** Before the first step and along the way, finite ones alone. */
  readonly looks: readonly Look[];
  /** At the end; NaN when it broke down. */
  readonly loss: number;
  readonly rejected: number;
  /** On the rows held out, if there are any and it did not break down. */
  readonly heldOut?: Evaluation;
}

/** Steps rejected in a row after which a training has broken down. */
const PATIENCE = 10;
/** How long steps may hold the event loop, in milliseconds. */
const BREATH_INTERVAL = 20;

/** Trains by one method of the registry. */
export async function trainBeside(
  setting: Setting,
  method: string,
  options: MethodOptions,
  seed: number,
): Promise<Training> {
  const { runtime, data, model, batchSize } = setting;
  const trainer = await createTrainer(
    {
      ...{ model, inputShape: data.inputs.shape.slice(1), likelihood: likelihoodOf(data), batchSize, seed },
      optimizer: createOptimizer(method, options),
    },
    { runtime },
  );
  try {
    const followed = await follow(trainer, setting);
    const ended = setting.heldOut && Number.isFinite(followed.loss);
    return {
      options,
      seed,
      ...followed,
      ...(ended && { heldOut: await trainer.evaluate(setting.heldOut!) }),
    };
  } finally {
    trainer.dispose();
  }
}

async function follow(trainer: Trainer, { data, steps, looks: count, signal }: Setting) {
  const { batchSize, seed } = trainer.config;
  const rows = data.inputs.shape[0];
  const looks: Look[] = [];
  const look = async (step: number) => {
    const { loss } = await trainer.evaluate(data);
    if (Number.isFinite(loss)) looks.push({ step, epoch: (step * batchSize) / rows, loss });
    return loss;
  };
  let loss = await look(0);
  let step = 0;
  let rejected = 0;
  let inARow = 0;
  let lastBreath = performance.now();
  for (const batch of endless(data, batchSize, new Random(seed).fork("batches"))) {
    const { accepted } = await trainer.step(batch);
    if (!accepted) rejected++;
    inARow = accepted ? 0 : inARow + 1;
    if (inARow === PATIENCE) return { looks, loss: Number.NaN, rejected };
    step++;
    if (Math.floor((step * count) / steps) > Math.floor(((step - 1) * count) / steps))
      loss = await look(step);
    if (performance.now() - lastBreath > BREATH_INTERVAL) {
      await breathe();
      signal.throwIfAborted();
      lastBreath = performance.now();
    }
    if (step === steps) break;
  }
  return { looks, loss: Number.isFinite(loss) ? loss : Number.NaN, rejected };
}

function* endless(data: Dataset, batchSize: number, random: Random) {
  for (let epoch = 0; ; epoch++) yield* batches(data, { batchSize, random, epoch });
}

/** Dense layers with tanh between them, and the outputs that the task has. */
export function denseNetwork(data: Dataset, hidden: readonly number[]): Model {
  return sequential([...hidden.flatMap((units) => [dense(units), tanh()]), dense(outputsOf(data))]);
}

/** Of the network: classes, or columns to predict. */
export function outputsOf({ task }: Dataset): number {
  if (task.kind === "classification") return task.classNames.length;
  return task.kind === "binary" ? 1 : task.targetNames.length;
}

export function likelihoodOf({ task }: Dataset): Likelihood {
  if (task.kind === "classification") return categorical();
  return task.kind === "binary" ? bernoulli() : gaussian();
}
