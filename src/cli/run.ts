/** One run in its folder: trains, logs every epoch, keeps the checkpoint fresh, and can be stopped at any step. */
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { batchCount, type DataSplit, type Dataset } from "../data/index.ts";
import { RunError } from "../errors.ts";
import type { StepStatistics } from "../optimizers/index.ts";
import { keepFileAs } from "../training/atomic-file.ts";
import { bestRecord, isExhausted } from "../training/early-stopping.ts";
import { type FitOptions, firstRows } from "../training/fit.ts";
import type { RunConfig } from "../training/run-config.ts";
import {
  type EpochRecord,
  finalRecord,
  openMetrics,
  type RunRecord,
  runFiles,
} from "../training/run-folder.ts";
import type { Trainer } from "../training/trainer.ts";
import { Pace, type TimeLeft } from "./pace.ts";

export interface RunRequest {
  readonly name: string;
  readonly folder: string;
  readonly config: RunConfig;
  readonly split: DataSplit;
  /** New, or resumed from the folder's checkpoint. */
  readonly trainer: Trainer;
  /** Records of the epochs that the checkpoint already has. */
  readonly records?: readonly EpochRecord[];
  readonly signal: AbortSignal;
  readonly onStep: (progress: StepProgress) => void;
  /** @param left until the end of the run; `undefined` when nothing is known of it yet */
  readonly onEpoch: (record: EpochRecord, left: TimeLeft | undefined) => void;
}

export interface StepProgress {
  /** What is done of the whole run, 0 to 1. */
  readonly fraction: number;
  /** Epochs done. */
  readonly epoch: number;
  /** Batches done of the epoch under way, and all of them. */
  readonly batch: number;
  readonly batches: number;
  readonly statistics: StepStatistics;
  readonly left: TimeLeft;
}

export interface RunOutcome {
  readonly record: RunRecord;
  /** Why training could not go on, or that it ended without finite losses. */
  readonly failure?: RunError;
}

/** Minutes between checkpoints within an epoch. */
export const CHECKPOINT_MINUTES = 10;

/** Images that the training loss is measured on after each epoch: all of them would take a good part of the epoch again. */
const EVALUATED_IMAGES = 5_000;

/** How many training rows, the first ones, the training loss of a run is measured on: all of a table. */
function evaluatedRows({ inputs: { shape } }: Dataset): number {
  return shape.length === 4 ? Math.min(shape[0], EVALUATED_IMAGES) : shape[0];
}

/** What a reader of the training loss must know. */
export function evaluationNotices(training: Dataset): string[] {
  const rows = training.inputs.shape[0];
  const measured = evaluatedRows(training);
  return measured < rows ? [`training loss: measured on the first ${measured} of ${rows} rows`] : [];
}

/**
 * Trains until the epochs, the seconds or the patience of the config are used up, the signal comes or the method diverges.
 * However it ends, `metrics.jsonl` holds every finished epoch, `checkpoint.safetensors` the last state that was good and
 * `best.safetensors` the one of the least validation loss; with patience, and unless it was interrupted, the best is the
 * checkpoint.
 *
 * @throws RunError when the folder cannot be written any more
 */
export async function performRun(request: RunRequest): Promise<RunOutcome> {
  const { folder, config, split, trainer, signal } = request;
  const { augment, timeBudget, checkpointMinutes = CHECKPOINT_MINUTES } = config.training;
  const epochs = [...(request.records ?? [])];
  const checkpoint = join(folder, runFiles.checkpoint);
  const saver = new CheckpointSaver(trainer, checkpoint);
  const { patience = Number.POSITIVE_INFINITY } = config.training;
  const best = join(folder, runFiles.best);
  const saveBest = async () => {
    if (bestRecord(epochs) === epochs.at(-1)) await writing(best, () => keepFileAs(checkpoint, best));
  };
  const pace = new Pace();
  const timeLeft = ({ epoch, batch, seconds }: Trainer["progress"], batches: number) => {
    const budget = timeBudget === undefined ? undefined : timeBudget - seconds;
    return pace.left({ epoch, batch, batches, epochs: config.training.epochs, budget });
  };
  const perEpoch = batchCount(split.training.inputs.shape[0], config.training);
  const metrics = await writing(join(folder, runFiles.metrics), () => openMetrics(folder));
  const keep = async (measured: EpochRecord) => {
    const record = { ...measured, epoch: +measured.epoch.toFixed(2) }; // a part of an epoch, as people read it
    epochs.push(record);
    await writing(join(folder, runFiles.metrics), () => metrics.append(record));
    // The record goes first: a checkpoint without its record could not be told from one with it.
    await saver.save();
    await saveBest();
    pace.evaluated();
    request.onEpoch(record, timeLeft(trainer.progress, perEpoch));
    return !isExhausted(epochs, patience);
  };
  const onStep: FitOptions["onStep"] = (statistics, progress) => {
    if (performance.now() - saver.lastSave > 60_000 * checkpointMinutes) saver.saveInBackground();
    pace.step();
    const { epoch, batch, batches, seconds } = progress;
    const done = (epoch + batch / batches) / config.training.epochs;
    const fraction = Math.min(1, Math.max(done, seconds / (timeBudget ?? Number.POSITIVE_INFINITY)));
    request.onStep({ fraction, epoch, batch, batches, statistics, left: timeLeft(progress, batches)! });
  };

  let failure: RunError | undefined;
  let restoredEpoch: number | undefined;
  try {
    if (epochs.length === 0) await keep(await measure(trainer, split));
    else if (trainer.progress.batch === 0) await saveBest(); // the process may have been killed before it could
    const remaining = config.training.epochs - trainer.progress.epoch;
    const spent = trainer.progress.seconds >= (timeBudget ?? Number.POSITIVE_INFINITY);
    if (!signal.aborted && !spent) {
      const fitting = trainer.fit(split.training, {
        ...{ epochs: remaining, signal, onStep, validation: split.validation, timeBudget, augment },
        evaluatedRows: evaluatedRows(split.training),
      });
      failure = await consume(fitting, keep);
    }
    if (failure === undefined) {
      const isOver = config.training.patience !== undefined && !signal.aborted;
      if (isOver) restoredEpoch = await restore(trainer, best, epochs);
      await saver.save();
      if (isOver) await rm(best, { force: true });
    }
  } finally {
    await metrics.close();
  }
  if (failure !== undefined) epochs.push(failedRecord(epochs.at(-1)!, trainer, failure));
  else if (!signal.aborted) failure = endingFailure(finalRecord({ epochs, restoredEpoch }));
  const ending = signal.aborted ? `stopped at step ${trainer.progress.step}` : "finished";
  const early = `finished with epoch ${restoredEpoch}, the best of ${epochs.at(-1)!.epoch}`;
  const status =
    failure !== undefined ? `diverged: ${failure.message}` : restoredEpoch === undefined ? ending : early;
  return { record: { ...describeRun(request, epochs), status, restoredEpoch }, failure };
}

/** Goes back to the best epoch unless it is the last; returns which it is. */
async function restore(
  trainer: Trainer,
  path: string,
  epochs: readonly EpochRecord[],
): Promise<number | undefined> {
  const best = bestRecord(epochs);
  if (best === undefined || best === epochs.at(-1)) return undefined;
  await trainer.load(path);
  return best.epoch;
}

/**
 * Stores every record until there are no more, or `keep` says that it is enough; returns what training failed by, and throws
 * what storing failed by.
 */
async function consume(
  fitting: AsyncGenerator<EpochRecord, void, void>,
  keep: (record: EpochRecord) => Promise<boolean>,
): Promise<RunError | undefined> {
  for (;;) {
    let next: IteratorResult<EpochRecord, void>;
    try {
      next = await fitting.next();
    } catch (error) {
      if (error instanceof RunError) return error;
      throw error;
    }
    if (next.done) return undefined;
    if (await keep(next.value)) continue;
    await fitting.return();
    return undefined;
  }
}

/** What is wrong with the losses that a run ended with, if anything is. */
function endingFailure(last: EpochRecord | undefined): RunError | undefined {
  const losses = { "training loss": last?.trainLoss, "validation loss": last?.validationLoss };
  for (const [name, loss] of Object.entries(losses)) {
    if (loss === undefined || Number.isFinite(loss)) continue;
    const remedy = "a smaller learning rate or more damping may help";
    return new RunError(`training ended with a ${name} of ${loss} (${remedy})`);
  }
  return undefined;
}

/** A run's record without its end. */
function describeRun(
  { name, config, trainer }: RunRequest,
  epochs: EpochRecord[],
): Omit<RunRecord, "status"> {
  const { name: optimizer, options } = config.optimizer;
  const { parameterCount } = trainer;
  return {
    ...{ name, optimizer, options, epochs, parameterCount },
    peakBytes: trainer.peakBytes,
    curvature: trainer.curvature(),
  };
}

/** Ends the record of a run that failed, so that no loss from before counts as its result; it is not logged. */
function failedRecord(last: EpochRecord, { progress }: Trainer, { message }: RunError): EpochRecord {
  const { step, seconds } = progress;
  const losses = { trainLoss: Number.NaN, validationLoss: Number.NaN, metric: undefined };
  return { ...last, ...losses, step, seconds, rejectedSteps: 0, notices: [message] };
}

/** The model before training, as epoch 0. */
async function measure(trainer: Trainer, { training, validation }: DataSplit): Promise<EpochRecord> {
  const before = await trainer.evaluate(firstRows(training, evaluatedRows(training)));
  const held = await trainer.evaluate(validation);
  return {
    ...{ epoch: 0, step: 0, seconds: 0, trainLoss: before.loss, validationLoss: held.loss },
    ...{ metric: held.metric, learningRate: 0, rejectedSteps: 0, notices: [] },
  };
}

/** Saves one checkpoint at a time. */
class CheckpointSaver {
  /** When the last save began, in milliseconds. */
  lastSave = performance.now();
  readonly #trainer: Trainer;
  readonly #path: string;
  #pending: Promise<void> = Promise.resolve();
  #busy = false;

  constructor(trainer: Trainer, path: string) {
    this.#trainer = trainer;
    this.#path = path;
  }

  /** Saves the state as it is now; training may go on at once, the state has been copied. */
  saveInBackground(): void {
    if (this.#busy) return;
    this.#busy = true;
    this.lastSave = performance.now();
    const saving = writing(this.#path, () => this.#trainer.save(this.#path));
    this.#pending = saving.finally(() => {
      this.#busy = false;
    });
    this.#pending.catch(() => {}); // the next save() throws it
  }

  async save(): Promise<void> {
    await this.#pending;
    this.saveInBackground();
    await this.#pending;
  }
}

/** Says which file could not be written. */
async function writing<T>(path: string, write: () => Promise<T>): Promise<T> {
  try {
    return await write();
  } catch (error) {
    if (error instanceof RunError) throw error; // says so itself
    throw new RunError(`cannot write ${path}: ${(error as Error).message}`, { cause: error });
  }
}
