/** The epoch loop: batches in a seeded order, evaluation after each epoch, a clean stop at any step. */
import { breathe } from "../breathe.ts";
import type { Augmentation } from "../data/augmentation.ts";
import { batchCount, batches } from "../data/batches.ts";
import type { Dataset } from "../data/dataset.ts";
import { everyKeyOf, RunError, requireOption, requireSpelling } from "../errors.ts";
import type { StepStatistics } from "../optimizers/optimizer.ts";
import { Random } from "../random.ts";
import { sizeOf, type Tensor } from "../tensor.ts";
import type { Progress } from "./checkpoint.ts";
import type { Examples } from "./evaluation.ts";
import type { EpochRecord } from "./run-folder.ts";
import type { Trainer } from "./trainer.ts";

export interface FitOptions {
  /** Epochs to train for. */
  readonly epochs: number;
  /** Stops after the step under way; the epoch can be continued later. */
  readonly signal?: AbortSignal;
  /** Evaluated after each epoch, not counted as training time. */
  readonly validation?: Examples;
  /** Rows, from the first on, that the training loss is measured on after each epoch; default all. */
  readonly evaluatedRows?: number;
  /** Crops and flips of the images trained on; none are evaluated. Default: none. */
  readonly augment?: Augmentation;
  /** Stop once this many seconds of training have passed. */
  readonly timeBudget?: number;
  /** Called after every step. */
  readonly onStep?: (statistics: StepStatistics, progress: Progress & { readonly batches: number }) => void;
}

const fitOptions = everyKeyOf<FitOptions>()([
  ...(["epochs", "signal", "validation", "evaluatedRows"] as const),
  ...(["augment", "timeBudget", "onStep"] as const),
]);

/** Steps rejected in a row before training is given up. */
const PATIENCE = 20;
/** How long the loop may hold the event loop, in milliseconds. */
const BREATH_INTERVAL = 20;

export async function* fit(
  trainer: Trainer,
  advance: (progress: Partial<Progress>) => void,
  examples: Examples,
  options: FitOptions,
): AsyncGenerator<EpochRecord, void, void> {
  requireSpelling(options, fitOptions, "fit");
  const { epochs, signal, validation, augment, timeBudget = Number.POSITIVE_INFINITY, onStep } = options;
  const { evaluatedRows = examples.inputs.shape[0] } = options;
  requireOption(Number.isInteger(epochs) && epochs >= 0, "epochs", epochs, "an integer >= 0");
  requireOption(timeBudget > 0, "timeBudget", timeBudget, "> 0 seconds");
  const countable = Number.isInteger(evaluatedRows) && evaluatedRows > 0;
  requireOption(countable, "evaluatedRows", evaluatedRows, "a positive integer");
  const { batchSize, seed } = trainer.config;
  const dataset = { name: "the dataset", ...examples } as Dataset;
  const random = new Random(seed).fork("batches");
  const perEpoch = batchCount(dataset.inputs.shape[0], { batchSize });
  const last = trainer.progress.epoch + epochs;
  let rejectedInARow = 0;
  if (perEpoch > 0) await trainer.prepare(batchSize);

  while (trainer.progress.epoch < last && !signal?.aborted) {
    const { epoch, batch: start } = trainer.progress;
    let rejected = 0;
    let latest: StepStatistics | undefined;
    const notices = new Set<string>();
    let clock = performance.now();
    let lastBreath = clock;
    const tick = () => {
      const now = performance.now();
      advance({ seconds: trainer.progress.seconds + (now - clock) / 1000 });
      clock = now;
      return now;
    };

    const order = batches(dataset, { batchSize, random, epoch, start, augment })[Symbol.iterator]();
    for (let next = order.next(); !next.done; ) {
      const stepping = trainer.step(next.value);
      next = order.next(); // put together while the step runs
      latest = await stepping;
      advance({ batch: trainer.progress.batch + 1 });
      const now = tick();
      rejectedInARow = latest.accepted ? 0 : rejectedInARow + 1;
      if (!latest.accepted) rejected++;
      if (latest.status !== "ok") notices.add(latest.status);
      onStep?.(latest, { ...trainer.progress, batches: perEpoch });
      if (rejectedInARow >= PATIENCE) {
        throw new RunError(`training stopped after ${PATIENCE} rejected steps in a row: ${latest.status}`);
      }
      if (signal?.aborted) return;
      if (trainer.progress.seconds >= timeBudget) break;
      if (now - lastBreath > BREATH_INTERVAL) {
        await breathe();
        lastBreath = performance.now();
        clock = lastBreath;
      }
    }

    const finished = trainer.progress.batch >= perEpoch;
    if (finished) advance({ epoch: epoch + 1, batch: 0 });
    const training = await trainer.evaluate(firstRows(examples, evaluatedRows));
    const held = validation && (await trainer.evaluate(validation));
    yield {
      epoch: trainer.progress.epoch + (finished ? 0 : trainer.progress.batch / perEpoch),
      step: trainer.progress.step,
      seconds: trainer.progress.seconds,
      trainLoss: training.loss,
      validationLoss: held?.loss,
      metric: (held ?? training).metric,
      learningRate: latest?.learningRate ?? 0,
      damping: latest?.damping,
      stepNorm: latest?.stepNorm,
      rejectedSteps: rejected,
      notices: [...notices].slice(0, 5),
    };
    if (trainer.progress.seconds >= timeBudget || signal?.aborted) return;
  }
}

/** The first rows of examples, not copied. */
export function firstRows(examples: Examples, count: number): Examples {
  const rows = Math.min(count, examples.inputs.shape[0]);
  const front = (source: Tensor): Tensor => {
    const [, ...rest] = source.shape;
    return { ...source, shape: [rows, ...rest], data: source.data.subarray(0, rows * sizeOf(rest)) };
  };
  return { ...examples, inputs: front(examples.inputs), targets: front(examples.targets) };
}
