/** The options that `train` and `compare` share, and what they amount to on given data. */
import { resolve } from "node:path";
import { type Command, Option } from "commander";
import { augmentedShape } from "../data/augmentation.ts";
import { taskKinds } from "../data/dataset.ts";
import {
  type Augmentation,
  batchCount,
  type DataSplit,
  type Dataset,
  type DatasetOptions,
  listDatasets,
  loadDataset,
} from "../data/index.ts";
import { requireOption } from "../errors.ts";
import type { FisherOption } from "../fisher/index.ts";
import { activationNames } from "../models/config.ts";
import { createOptimizer, findMethod, type LearningRate } from "../optimizers/index.ts";
import type { Device } from "../runtime/session.ts";
import type { FloatDType } from "../tensor.ts";
import { FORMAT, fingerprint, type RunConfig, type TrainingConfig } from "../training/run-config.ts";
import {
  type Assignment,
  assignment,
  augmentation,
  column,
  commaSeparated,
  countOrAll,
  hiddenLayers,
  integer,
  number,
  oneOf,
  positiveInteger,
  positiveNumber,
} from "./arguments.ts";
import { defaultActivation, defaultBatchSize, defaultEpochs, defaultHidden } from "./defaults.ts";
import {
  describeModelOptions,
  isImageModel,
  type ModelOptions,
  modelConfig,
  modelName,
  modelNames,
} from "./models.ts";
import { CHECKPOINT_MINUTES } from "./run.ts";
import { natgradVersion } from "./version.ts";

export interface TrainingOptions extends ModelOptions {
  readonly epochs?: number;
  readonly batchSize?: number | "all";
  /** GiB. */
  readonly memoryLimit?: number;
  readonly timeBudget?: number;
  readonly patience?: number;
  readonly augment?: Augmentation;
  readonly checkpointMinutes: number;
  readonly learningRate?: number;
  readonly schedule: "constant" | "cosine";
  readonly damping?: number;
  readonly fisher?: FisherOption;
  readonly option?: readonly Assignment[];
  readonly target?: readonly (string | number)[];
  readonly task?: DatasetOptions["task"];
  readonly logTarget?: boolean;
  readonly drop?: readonly string[];
  readonly delimiter?: string;
  readonly header?: boolean;
  readonly rows?: number;
  readonly validation?: number;
  readonly dtype: FloatDType;
  readonly device: Device;
  readonly name?: string;
  readonly runsDir: string;
  readonly seed: number;
  readonly json?: boolean;
}

const choice = <T extends string>(flags: string, description: string, choices: readonly T[]) => {
  const flag = /--[\w-]+/.exec(flags)![0];
  return new Option(flags, `${description}: ${choices.join(", ")}`).argParser(oneOf(flag, choices));
};

/** Adds the options to a command. */
export function addTrainingOptions(command: Command): Command {
  return command
    .optionsGroup("Model:")
    .addOption(
      new Option("--model <name>", `the network: ${modelNames.join(", ")}`)
        .argParser(modelName)
        .default("dense"),
    )
    .option(
      "--hidden <sizes>",
      `units of a dense network's hidden layers, or none (default: ${defaultHidden.join(",")})`,
      hiddenLayers,
    )
    .addOption(
      choice(
        "--activation <name>",
        `after every hidden layer (default: ${defaultActivation})`,
        activationNames,
      ),
    )
    .option(
      "--model-option <key=value>",
      `of a network for images (${describeModelOptions()}); repeatable`,
      assignment("--model-option"),
    )
    .optionsGroup("Training:")
    .option(
      "--epochs <n>",
      "passes over the training rows (default: 10 to 60, about 3,000 steps)",
      positiveInteger("--epochs"),
    )
    .option(
      "--time-budget <seconds>",
      "stop after so many seconds of training",
      positiveNumber("--time-budget"),
    )
    .option(
      "--patience <epochs>",
      "stop after so many epochs without a lower validation loss, and restore the best one (default: off)",
      positiveInteger("--patience"),
    )
    .option(
      "--batch-size <n>",
      "rows a step, or all (default: 128, at most a quarter)",
      countOrAll("--batch-size"),
    )
    .option(
      "--memory-limit <GiB>",
      "what a step may take; one that would take more is refused (default: two thirds of what is free)",
      positiveNumber("--memory-limit"),
    )
    .option(
      "--augment <kinds>",
      "of the images trained on: crop (4 pixels of zeros around, or crop=<pixels>), flip, or crop,flip (default: none)",
      augmentation,
    )
    .option("--learning-rate <x>", "step size (default: the method's own)", number("--learning-rate"))
    .addOption(
      choice(
        "--schedule <name>",
        "what becomes of the learning rate (warm-up, exponential, piecewise: --option learningRate={…})",
        ["constant", "cosine"],
      ).default("constant"),
    )
    .option("--damping <x>", "added to the curvature (default: the method's own)", number("--damping"))
    .addOption(
      choice("--fisher <type>", "whose targets the curvature uses", [
        "empirical",
        "improved-empirical",
        "exact",
        "monte-carlo",
      ]),
    )
    .option(
      "--option <key=value>",
      "any other option of the method, see natgrad methods; repeatable",
      assignment("--option"),
    )
    .optionsGroup("Data:")
    .option(
      "--target <column>",
      "column to predict, by name or index (default: the last); repeatable",
      column,
    )
    .addOption(choice("--task <kind>", "what to predict (default: told from the target)", taskKinds))
    .option("--log-target", "predict the logarithm of the target")
    .option("--drop <columns>", "columns to leave out, separated by commas; repeatable", commaSeparated)
    .option(
      "--delimiter <text>",
      'between the cells, also "tab" or "whitespace" (default: told from the file)',
    )
    .option("--header", "the first line names the columns (default: told from the file)")
    .option("--no-header", "the first line is data")
    .option(
      "--rows <n>",
      "rows to draw, for built-in tasks; images to train on, the first ones",
      positiveInteger("--rows"),
    )
    .option(
      "--validation <fraction>",
      "share of the rows kept for validation (default: 0.2)",
      number("--validation"),
    )
    .optionsGroup("Run:")
    .addOption(choice("--dtype <type>", "number format", ["float32", "float64"] as const).default("float32"))
    .addOption(
      choice("--device <name>", "where to compute", ["cpu", "wasm", "webgpu", "auto"] as const).default(
        "cpu",
      ),
    )
    .option("--name <name>", "name of the run's folder (default: the dataset's name)")
    .option("--runs-dir <folder>", "where run folders are made", "runs")
    .option(
      "--checkpoint-minutes <n>",
      "longest time between two checkpoints of a long epoch",
      positiveNumber("--checkpoint-minutes"),
      CHECKPOINT_MINUTES,
    )
    .option("--seed <n>", "seed of everything random", integer("--seed"), 0)
    .option("--json", "one JSON object a line on stdout")
    .optionsGroup("Options:");
}

/** Data with the options that made them. */
export interface LoadedData {
  readonly split: DataSplit;
  readonly dataset: RunConfig["dataset"];
}

export async function loadData(
  source: string,
  options: TrainingOptions,
  signal?: AbortSignal,
): Promise<LoadedData> {
  const { target, task, logTarget, drop, delimiter, header, rows, validation, dtype, seed } = options;
  const wanted = { target, task, logTarget, drop, delimiter, header, rows, validation, dtype, seed };
  const given = Object.fromEntries(Object.entries(wanted).filter(([, value]) => value !== undefined));
  const split = await loadDataset(source, { ...given, signal });
  const known = listDatasets().some(({ name }) => name === source);
  const dataset = {
    ...{ source: known ? source : resolve(source), options: given as RunConfig["dataset"]["options"] },
    fingerprint: fingerprint(split.training),
  };
  return { split, dataset };
}

/** How to train on these data: what was asked for, defaults where nothing was. */
export function trainingConfig(options: TrainingOptions, training: Dataset): TrainingConfig {
  const { timeBudget, patience, augment, checkpointMinutes, dtype, device, seed } = options;
  if (augment) augmentedShape(training, augment); // or it is refused
  const rows = training.inputs.shape[0];
  const { batchSize: wanted = defaultBatchSize(rows) } = options;
  const batchSize = wanted === "all" ? rows : wanted;
  const unlimited = timeBudget === undefined ? defaultEpochs(rows, batchSize) : MANY_EPOCHS;
  return {
    ...{ epochs: options.epochs ?? unlimited, timeBudget, patience, augment, checkpointMinutes, batchSize },
    ...{ dtype, device, seed },
    memoryLimit: options.memoryLimit && options.memoryLimit * 2 ** 30,
  };
}

/** Where only the seconds are limited. */
export const MANY_EPOCHS = 1_000_000;

/**
 * The options of one method: its defaults for the kind of network, `--learning-rate`, `--damping`, `--fisher` and `--option`. It needs no data.
 *
 * @param lenient leave out what the method does not take, unless it names the method
 * @throws UsageError for an unknown method, an option that it does not take, a value out of range or two schedules
 */
export function methodOptions(
  name: string,
  { model, learningRate, schedule, damping, fisher, option = [] }: TrainingOptions,
  lenient: boolean,
): Record<string, unknown> {
  const method = findMethod(name);
  const general = option.filter((one) => one.method === undefined);
  const own = option.filter((one) => one.method?.toLowerCase() === method.name.toLowerCase());
  const entries: [string, unknown][] = [
    ["learningRate", learningRate],
    ["damping", damping],
    ["fisher", fisher],
    ...general.map(({ key, value }): [string, unknown] => [key, value]),
  ];
  const taken = entries.filter(([key, value]) => {
    return value !== undefined && (!lenient || method.options.includes(key));
  });
  const specific = own.map(({ key, value }) => [key, value]);
  const defaults = { ...method.defaults, ...(isImageModel(model) && method.imageDefaults) };
  const options = { ...defaults, ...Object.fromEntries(taken), ...Object.fromEntries(specific) };
  createOptimizer(name, options);
  requireOption(
    schedule === "constant" || typeof options.learningRate !== "object",
    "--schedule",
    schedule,
    "left out where --option learningRate has a schedule of its own",
  );
  return options;
}

/** Puts a number's learning rate on the schedule, which ends with the run. */
export function onSchedule(
  options: Readonly<Record<string, unknown>>,
  schedule: TrainingOptions["schedule"],
  { epochs, batchSize }: TrainingConfig,
  rows: number,
): Record<string, unknown> {
  const { learningRate } = options;
  if (schedule === "constant" || typeof learningRate !== "number") return { ...options };
  const steps = epochs * batchCount(rows, { batchSize });
  const cosine: LearningRate = { schedule, initial: learningRate, final: learningRate / 100, steps };
  return { ...options, learningRate: cosine };
}

/** Everything that `config.json` says. */
export function runConfig(
  parts: Pick<RunConfig, "dataset" | "optimizer" | "training">,
  options: TrainingOptions,
  command: string,
): RunConfig {
  const model = modelConfig(options);
  return { format: FORMAT, natgrad: natgradVersion(), commands: [command], ...parts, model };
}
