/** A run folder, opened to predict: the model that was trained, and how its data were encoded. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { type Decoded, decodeOutputs } from "../data/decode.ts";
import { inputNamesOf, type TableEncoding } from "../data/encoding.ts";
import { type EncodedRows, encodeCsv } from "../data/index.ts";
import { UsageError } from "../errors.ts";
import type { Tensor } from "../tensor.ts";
import { resumeTrainer } from "./create-trainer.ts";
import type { Evaluation } from "./evaluation.ts";
import { loadRunData, type RunConfig, readRunConfig, trainerConfigFor } from "./run-config.ts";
import { readEncoding, runFiles } from "./run-folder.ts";
import type { Trainer } from "./trainer.ts";

export interface Prediction {
  /** Network outputs, (N, C): means of the scaled targets, or logits. */
  readonly outputs: Tensor;
  /** What they mean: numbers in the units of the file, or classes with their probabilities. */
  readonly decoded: Decoded;
  /** Loss and metric on the rows whose targets the file has; absent without any, and for tensors. */
  readonly evaluation?: Evaluation;
  /** What was done to the rows, one line each. */
  readonly notices: readonly string[];
}

/** What there is to know of a run before its model is loaded. */
export interface DescribedRun {
  readonly config: RunConfig;
  /** Path of its file. */
  readonly checkpoint: string;
  readonly encoding: TableEncoding;
}

/**
 * Opens the folder of a run, or of a method in a comparison, at its checkpoint. Nothing in the folder is changed, and a run
 * under way goes on.
 *
 * @throws UsageError when there is no such run, no checkpoint yet, or its inputs are images; RunError when a file is damaged
 */
export async function openRun(folder: string): Promise<TrainedRun> {
  return loadRun(await describeRun(folder));
}

/** @throws as {@link openRun} */
export async function describeRun(folder: string): Promise<DescribedRun> {
  const config = await readRunConfig(folder);
  const checkpoint = join(folder, runFiles.checkpoint);
  if (!existsSync(checkpoint)) {
    throw new UsageError(
      `${folder} has no ${runFiles.checkpoint} yet (train it, or go on with natgrad resume ${folder})`,
    );
  }
  const encoding = (await readEncoding(folder)) ?? (await loadRunData(config)).encoding;
  if (!encoding) {
    throw new UsageError(`${folder} was trained on images, and predictions are for tables (CSV files)`);
  }
  return { config, checkpoint, encoding };
}

/** @throws UsageError when the checkpoint is not the run's */
export async function loadRun({ config, checkpoint, encoding }: DescribedRun): Promise<TrainedRun> {
  const inputShape = [inputNamesOf(encoding).length];
  const trainer = await resumeTrainer(checkpoint, trainerConfigFor(config, encoding, inputShape));
  return new TrainedRun(trainer, encoding);
}

/** A trained model and how its data were encoded. */
export class TrainedRun {
  readonly trainer: Trainer;
  readonly encoding: TableEncoding;

  /** Use {@link openRun}. */
  constructor(trainer: Trainer, encoding: TableEncoding) {
    this.trainer = trainer;
    this.encoding = encoding;
  }

  /**
   * Predicts from a CSV file by its path, from what `encodeCsv` made of one, or from inputs encoded as those trained on, (N, F).
   *
   * @throws UsageError in one line with file, line and column
   */
  async predict(rows: string | EncodedRows | Tensor): Promise<Prediction> {
    if (typeof rows === "string") return this.predict(await encodeCsv(rows, this.encoding));
    const { inputs, known, notices } =
      "inputs" in rows ? rows : { inputs: rows, known: undefined, notices: [] };
    const outputs = await this.trainer.predict(inputs);
    const decoded = decodeOutputs(this.encoding.task, outputs);
    return { outputs, decoded, evaluation: known && (await this.trainer.evaluate(known)), notices };
  }

  /** Releases programs and memory. */
  dispose(): void {
    this.trainer.dispose();
  }
}
