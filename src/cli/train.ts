/** `natgrad train`: one model on one dataset. */
import type { Command } from "commander";
import { inputCount } from "../data/index.ts";
import { classify } from "../training/classification.ts";
import { createTrainer } from "../training/create-trainer.ts";
import { type RunConfig, trainerConfig } from "../training/run-config.ts";
import {
  createRunFolder,
  finalRecord,
  type RunRecord,
  writeConfig,
  writeEncoding,
} from "../training/run-folder.ts";
import { withRunLock } from "../training/run-lock.ts";
import type { Trainer } from "../training/trainer.ts";
import { defaultOptimizer } from "./defaults.ts";
import { type Interrupts, watchInterrupts } from "./interrupts.ts";
import { describeInputs, describeLayers, describeModel } from "./models.ts";
import { notesOf } from "./notes.ts";
import { formatDuration, formatOptions, formatValue, type Output, openOutput } from "./output.ts";
import { describeStep, openProgress } from "./progress.ts";
import { describeEnvironment, type ReportParts, reproducingCommand, saveReport } from "./report-file.ts";
import { evaluationNotices, performRun, type RunOutcome, type RunRequest } from "./run.ts";
import {
  addTrainingOptions,
  loadData,
  methodOptions,
  onSchedule,
  runConfig,
  type TrainingOptions,
  trainingConfig,
} from "./training-options.ts";

const examples = `
Examples:
  $ natgrad train house
  $ natgrad train ecoli --hidden 16 --optimizer exactNgd
  $ natgrad train my.csv --target price --log-target --drop id,comment --epochs 50
  $ natgrad train weather --optimizer tengrad --damping 0.01 --option refreshEvery=10
  $ natgrad train mnist --model small-conv --rows 10000 --epochs 2
  $ natgrad train cifar10 --model wide-resnet --model-option depth=16 --optimizer kfac
  $ natgrad train friedman1 --option 'damping={"policy":"levenberg-marquardt","initial":1}'

Ctrl-C stops after the step under way and saves a checkpoint; a second one ends at once.`;

interface TrainOptions extends TrainingOptions {
  readonly optimizer: string;
}

export function addTrainCommand(program: Command, args: readonly string[]): void {
  const command = program
    .command("train")
    .summary("train a model on a dataset or a CSV file")
    .description(
      "Trains a network on a dataset known by name or on a CSV file: a dense one, or one for images. The likelihood follows the task.",
    )
    .argument("<dataset>", "a name (see natgrad data list) or the path of a CSV file")
    .option("--optimizer <method>", "how to train (see natgrad methods)", defaultOptimizer);
  addTrainingOptions(command)
    .addHelpText("after", examples)
    .action((source: string, options: TrainOptions) => train(source, options, args));
}

async function train(source: string, options: TrainOptions, args: readonly string[]): Promise<void> {
  const output = openOutput(options.json);
  const interrupts = watchInterrupts(() => process.stderr.write("stopping after this step …\n"));
  try {
    const chosen = methodOptions(options.optimizer, options, false); // before any data are fetched
    const { split, dataset } = await loadData(source, options, interrupts.signal);
    const training = trainingConfig(options, split.training);
    const rows = split.training.inputs.shape[0];
    const optimizer = {
      name: options.optimizer,
      options: onSchedule(chosen, options.schedule, training, rows),
    };
    const command = reproducingCommand(args, options.seed);
    const config = runConfig({ dataset, optimizer, training }, options, command);
    const trainer = await createTrainer(trainerConfig(config, split.training));
    try {
      interrupts.check();
      await trainer.prepare(training.batchSize); // what is refused leaves no folder
      const folder = await createRunFolder(options.runsDir, options.name ?? split.training.name);
      await withRunLock(folder, async () => {
        await writeConfig(folder, { ...config });
        await writeEncoding(folder, split.encoding);
        const name = trainer.config.optimizer.name;
        await runAndReport({ name, folder, config, split, trainer }, interrupts, output);
      });
    } finally {
      trainer.dispose();
    }
  } finally {
    interrupts.stop();
  }
}

type Prepared = Pick<RunRequest, "name" | "folder" | "config" | "split" | "trainer" | "records">;

/**
 * Trains with a progress display, writes the report and says how it went.
 *
 * @throws RunError when training failed; Interrupted when it was stopped
 */
export async function runAndReport(run: Prepared, interrupts: Interrupts, output: Output): Promise<void> {
  const { name, folder, config, split, trainer } = run;
  announce(run, output);
  const { epochs } = config.training;
  const shownEpochs = config.training.timeBudget === undefined ? epochs : undefined;
  const progress = openProgress([name]);
  const line = progress.add(name);
  line.update(0, run.records ? "preparing" : "evaluating the untrained model");
  const request: RunRequest = {
    ...run,
    signal: interrupts.signal,
    onStep: (step) => line.update(step.fraction, describeStep(step, shownEpochs), step.left),
    onEpoch(epoch, left) {
      line.epoch(epoch, shownEpochs, left);
      output.event({ event: "epoch", run: name, ...epoch });
    },
  };
  const train = async (): Promise<RunOutcome & Pick<ReportParts, "classification">> => {
    const outcome = await performRun(request);
    if (outcome.failure || interrupts.signal.aborted) return outcome;
    line.update(1, "looking at the validation rows");
    return { ...outcome, classification: await classify(trainer, split.validation) };
  };
  const { record, failure, classification } = await train().finally(() => progress.stop());

  const report = await saveReport(
    {
      ...{ folder, commands: config.commands, split, classification },
      title: `${split.training.name}: ${name}`,
      model: describeLayers(config.model, trainer.config.model),
      environment: describeEnvironment(trainer),
    },
    [record],
  );
  conclude(record, { folder, report, config, trainer, output });
  if (failure) throw failure;
  interrupts.check();
}

function announce({ config, split, trainer, folder, records }: Prepared, output: Output): void {
  const { training, notices } = split;
  const { optimizer, training: settings } = config;
  const rows = training.inputs.shape[0];
  const model = trainer.config.model.describe();
  output.event({
    ...{ event: "start", folder, dataset: training.name, task: training.task.kind, trainingRows: rows },
    ...{ validationRows: split.validation.inputs.shape[0], features: inputCount(training), model },
    ...{ parameters: trainer.parameterCount, optimizer: optimizer.name, options: optimizer.options },
    ...{ batchSize: settings.batchSize, epochs: settings.epochs, seed: settings.seed, notices },
    resumedAtStep: records ? trainer.progress.step : undefined,
  });
  for (const notice of [...notices, ...evaluationNotices(training)]) output.print(`note: ${notice}`);
  output.print(
    `${training.name}: ${rows} rows to train on, ${split.validation.inputs.shape[0]} to validate, ` +
      `${describeInputs(training)}, ${training.task.kind}`,
  );
  const shown = "name" in config.model ? describeModel(config.model) : model; // the layers of some would fill a page
  output.print(`model: ${shown} (${trainer.parameterCount} parameters)`);
  output.print(
    `optimizer: ${optimizer.name}, ${formatOptions(optimizer.options)}, batch size ${settings.batchSize}`,
  );
  output.print(`run: ${folder}`);
}

interface Ending {
  readonly folder: string;
  readonly report: string;
  readonly config: RunConfig;
  readonly trainer: Trainer;
  readonly output: Output;
}

function conclude(record: RunRecord, { folder, report, trainer, output }: Ending): void {
  const { status } = record;
  const last = finalRecord(record);
  const { epoch, step, seconds } = trainer.progress;
  const stopped = status.startsWith("stopped");
  const resume = `natgrad resume ${folder}`;
  output.event({
    ...{ event: "end", status, folder, report, epoch, step, seconds },
    ...{ trainLoss: last?.trainLoss, validationLoss: last?.validationLoss, metric: last?.metric },
    resume: stopped ? resume : undefined,
  });
  if (last && last.epoch > 0 && Number.isFinite(last.trainLoss)) {
    const metric = last.metric ? `, ${last.metric.name} ${formatValue(last.metric.value)}` : "";
    output.print(
      `after ${+last.epoch.toPrecision(4)} epochs (${formatDuration(last.seconds)} of training): ` +
        `training loss ${formatValue(last.trainLoss)}, validation loss ${formatValue(last.validationLoss)}${metric}`,
    );
  }
  if (record.restoredEpoch !== undefined) output.print(status);
  for (const note of notesOf(record)) output.print(`note: ${note}`);
  output.print(`report: ${report}`);
  if (stopped) output.print(`${status}, checkpoint saved; go on with: ${resume}`);
}
