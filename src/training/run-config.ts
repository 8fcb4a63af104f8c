/** `config.json`: all that it takes to do a run again, or to go on with it. */
import { createHash } from "node:crypto";
import type { Augmentation, DataSplit, Dataset, DatasetOptions } from "../data/index.ts";
import { loadDataset } from "../data/index.ts";
import { requireOption, UsageError } from "../errors.ts";
import { buildModel, type DataFacts, type ModelConfig } from "../models/config.ts";
import * as nn from "../nn/index.ts";
import { createOptimizer } from "../optimizers/index.ts";
import type { Device } from "../runtime/session.ts";
import type { FloatDType, TypedArray } from "../tensor.ts";
import { readConfig } from "./run-folder.ts";
import type { TrainerConfig } from "./trainer-config.ts";

export interface RunConfig {
  readonly format: typeof FORMAT;
  /** Version of natgrad that made it. */
  readonly natgrad: string;
  /** Commands, one after another, that lead here. */
  readonly commands: readonly string[];
  readonly dataset: {
    /** A name, or the whole path of a file. */
    readonly source: string;
    readonly options: Omit<DatasetOptions, "onProgress" | "signal">;
    /** Digest of the training rows as the network gets them. */
    readonly fingerprint: string;
  };
  readonly model: ModelConfig;
  readonly optimizer: { readonly name: string; readonly options: Readonly<Record<string, unknown>> };
  readonly training: TrainingConfig;
}

export interface TrainingConfig {
  /** Epochs in all. */
  readonly epochs: number;
  /** Seconds of training, if they are limited. */
  readonly timeBudget?: number;
  /** Epochs without a lower validation loss after which training stops and the best one is restored, if it may. */
  readonly patience?: number;
  /** What happens to the images trained on. */
  readonly augment?: Augmentation;
  /** Minutes between checkpoints within an epoch. */
  readonly checkpointMinutes?: number;
  readonly batchSize: number;
  /** Bytes that a step may take, if that was asked for. */
  readonly memoryLimit?: number;
  readonly dtype: FloatDType;
  readonly device: Device;
  readonly seed: number;
}

export const FORMAT = "natgrad run 1";
/** Of a comparison's folder, which has a run for each method in it. */
export const COMPARISON_FORMAT: string = "natgrad comparison 1";

/**
 * The config of a run folder.
 *
 * @throws UsageError when the folder holds no run of ours; RunError when `config.json` is damaged
 */
export async function readRunConfig(folder: string): Promise<RunConfig> {
  const config = (await readConfig(folder)) as unknown as RunConfig;
  const parts = [config.dataset, config.dataset?.options, config.model, config.optimizer, config.training];
  const whole = parts.every((part) => typeof part === "object" && part !== null);
  if (config.format !== FORMAT || !whole || !Array.isArray(config.commands)) {
    const why =
      config.format === COMPARISON_FORMAT
        ? "it is a comparison; name the folder of a method in it"
        : `its format is not "${FORMAT}"`;
    throw new UsageError(`${folder}/config.json does not describe a single run (${why})`);
  }
  return config;
}

/**
 * The data of a run.
 *
 * @throws UsageError when they are not the data that the run began with
 */
export async function loadRunData({ dataset }: RunConfig): Promise<DataSplit> {
  const split = await loadDataset(dataset.source, dataset.options);
  if (fingerprint(split.training) !== dataset.fingerprint) {
    throw new UsageError(`${dataset.source} has changed since the run began; train anew`);
  }
  return split;
}

/** Digest of a dataset's numbers. */
export function fingerprint({ inputs, targets }: Dataset): string {
  const bytes = ({ buffer, byteOffset, byteLength }: TypedArray) =>
    new Uint8Array(buffer, byteOffset, byteLength);
  const digest = createHash("sha256").update(bytes(inputs.data)).update(bytes(targets.data)).digest("hex");
  return digest.slice(0, 32);
}

/**
 * What the trainer takes: the output layer and the likelihood follow the task.
 *
 * @throws UsageError when an option is out of range
 */
export function trainerConfig(
  config: Omit<RunConfig, "commands" | "natgrad" | "format">,
  data: Dataset,
): TrainerConfig {
  const { batchSize } = config.training;
  const rows = data.inputs.shape[0];
  requireOption(
    batchSize <= rows,
    "--batch-size",
    batchSize,
    `at most ${rows}, the training rows of ${data.name}`,
  );
  return trainerConfigFor(config, data, data.inputs.shape.slice(1));
}

/** The same, for data of which no more is known than what the network must. */
export function trainerConfigFor(
  { model, optimizer, training }: Pick<RunConfig, "model" | "optimizer" | "training">,
  data: DataFacts,
  inputShape: readonly number[],
): TrainerConfig {
  const { batchSize, memoryLimit, dtype, device, seed } = training;
  return {
    model: buildModel(model, data),
    inputShape,
    likelihood: likelihoodOf(data),
    optimizer: createOptimizer(optimizer.name, optimizer.options),
    ...{ batchSize, memoryLimit, dtype, device, seed },
  };
}

/** The likelihood that follows from the task. */
export function likelihoodOf({ task }: Pick<Dataset, "task">): nn.Likelihood {
  switch (task.kind) {
    case "regression":
      return nn.gaussian();
    case "count":
      return nn.poisson();
    case "classification":
      return nn.categorical();
    case "binary":
      return nn.bernoulli();
  }
}
