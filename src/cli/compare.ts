/** `natgrad compare`: several methods on the same data, batches and seeds. */
import type { Command } from "commander";
import { batchCount, inputCount } from "../data/index.ts";
import { RunError, UsageError } from "../errors.ts";
import { findMethod } from "../optimizers/index.ts";
import { summarize } from "../report/summary.ts";
import { openRuntime } from "../runtime/runtime.ts";
import type { Runtime } from "../runtime/session.ts";
import { createTrainer } from "../training/create-trainer.ts";
import { COMPARISON_FORMAT, likelihoodOf, type RunConfig, trainerConfig } from "../training/run-config.ts";
import { createRunFolder, type RunRecord, writeConfig, writeEncoding } from "../training/run-folder.ts";
import { withRunLock } from "../training/run-lock.ts";
import { commaSeparated, positiveInteger } from "./arguments.ts";
import { type LeftOut, leftOut, methodNames } from "./compared-methods.ts";
import { defaultDataset, demoEpochs } from "./defaults.ts";
import { type Interrupts, watchInterrupts } from "./interrupts.ts";
import { describeLayers, modelConfig } from "./models.ts";
import { notesOf } from "./notes.ts";
import { formatOptions, formatValue, type Output, openOutput } from "./output.ts";
import { describeStep, openProgress, type Progress, type RunProgress } from "./progress.ts";
import { describeRanking, rankingTable } from "./ranking.ts";
import { describeEnvironment, reproducingCommand, saveReport } from "./report-file.ts";
import { performRun } from "./run.ts";
import {
  addTrainingOptions,
  type LoadedData,
  loadData,
  methodOptions,
  onSchedule,
  runConfig,
  type TrainingOptions,
  trainingConfig,
} from "./training-options.ts";
import { defaultTrialSteps, describeRule, type Trial, tune, tuningRecord } from "./tuning.ts";

const examples = `
Examples:
  $ natgrad compare                                the demo, each method tuned
  $ natgrad compare weather --hidden 4 --epochs 5 --optimizers sgd,adam,exactNgd,tengrad
  $ natgrad compare my.csv --target price --tune
  $ natgrad compare house --time-budget 10         ten seconds of training for each method
  $ natgrad compare ecoli --optimizers all         the costly methods too
  $ natgrad compare spirals --optimizers adam,tengrad --option tengrad.refreshEvery=10

--tune tries, of every method, ${describeRule(defaultTrialSteps)}.
lbfgs and levenbergMarquardt are among all only with --batch-size all; a method that is named runs whatever the batch.
Ctrl-C keeps what is finished and writes the report.`;

interface CompareOptions extends TrainingOptions {
  readonly optimizers?: readonly string[];
  readonly tune?: boolean;
  readonly tuneSteps: number;
}

export function addCompareCommand(program: Command, args: readonly string[]): void {
  const command = program
    .command("compare")
    .summary("compare methods on the same data; without a dataset: the demo")
    .description(
      "Trains the same network with several methods, on the same batches and from the same weights.",
    )
    .argument("[dataset]", "a name (see natgrad data list) or the path of a CSV file", defaultDataset)
    .option(
      "--optimizers <methods>",
      "which, separated by commas, or all (default: all but the costly ones and those for full batches)",
      commaSeparated,
    )
    .option("--tune", "choose learning rate and damping of each method first (default: for the demo)")
    .option("--no-tune", "use the learning rates and dampings given, or the defaults")
    .option("--tune-steps <n>", "steps of one trial", positiveInteger("--tune-steps"), defaultTrialSteps);
  addTrainingOptions(command)
    .addHelpText("after", examples)
    .action((source: string, options: CompareOptions) => {
      const { epochs = demoEpochs, tune = true } = options;
      const demo = command.args.length === 0 ? { epochs, tune } : undefined;
      return compare(source, { ...options, ...demo }, args);
    });
}

/** What all methods of one comparison share. */
interface Comparison {
  readonly options: CompareOptions;
  readonly data: LoadedData;
  readonly training: RunConfig["training"];
  readonly runtime: Runtime;
  readonly folder: string;
  readonly command: string;
  readonly interrupts: Interrupts;
  readonly output: Output;
  readonly trials: Trial[];
}

async function compare(source: string, options: CompareOptions, args: readonly string[]): Promise<void> {
  const wanted = methodNames(options.optimizers);
  checkAssignments(options, wanted);
  const output = openOutput(options.json);
  const interrupts = watchInterrupts(() => process.stderr.write("stopping after this step …\n"));
  try {
    const data = await loadData(source, options, interrupts.signal);
    const training = trainingConfig(options, data.split.training);
    const absent = leftOut(options.optimizers, {
      likelihood: likelihoodOf(data.split.training).name,
      fullBatch: training.batchSize >= data.split.training.inputs.shape[0],
    });
    const names = wanted.filter((name) => !absent.some(({ methods }) => methods.includes(name)));
    const command = reproducingCommand(args, options.seed);
    const runtime = await openRuntime({ device: options.device });
    try {
      const shared = { options, data, training, runtime, command, interrupts, output, trials: [] };
      await probe({ ...shared, folder: "" }, names);
      interrupts.check();
      const folder = await createRunFolder(
        options.runsDir,
        options.name ?? `${data.split.training.name}-compare`,
      );
      await runAll({ ...shared, folder }, names, absent);
    } finally {
      runtime.dispose();
    }
  } finally {
    interrupts.stop();
  }
}

/** Refuses, before any data are fetched, what is out of range or, a slip of the hand, taken by no method. */
function checkAssignments(options: CompareOptions, names: readonly string[]): void {
  const { option = [], damping, fisher } = options;
  const takers = (key: string) => names.filter((name) => findMethod(name).options.includes(key));
  const general = option.filter(({ method }) => method === undefined).map(({ key }) => key);
  const flags = [damping !== undefined && "damping", fisher !== undefined && "fisher"].filter(
    (flag) => flag !== false,
  );
  for (const key of [...general, ...flags]) {
    if (takers(key).length === 0) throw new UsageError(`none of ${names.join(", ")} has an option ${key}`);
  }
  for (const { method } of option) {
    if (method !== undefined && !names.includes(findMethod(method).name)) {
      throw new UsageError(`--option ${method}.…: ${method} is not compared (${names.join(", ")} are)`);
    }
  }
  for (const name of names) methodOptions(name, options, true);
}

/** Checks every option before anything is trained or written. */
async function probe(shared: Comparison, names: readonly string[]): Promise<void> {
  for (const name of names) {
    const config = configOf(shared, name, methodOptions(name, shared.options, true));
    trainerConfig(config, shared.data.split.training);
  }
}

async function runAll(
  shared: Comparison,
  names: readonly string[],
  absent: readonly LeftOut[],
): Promise<void> {
  const { folder, options, data, interrupts, training } = shared;
  const steps = trialSteps(shared);
  await writeConfig(folder, {
    ...{ format: COMPARISON_FORMAT, commands: [shared.command], methods: names },
    ...{ dataset: data.dataset, training, tuning: options.tune ? tuningRecord(steps) : undefined },
  });
  announce(shared, names, absent, steps);
  const progress = openProgress(names);
  const lines = names.map((name) => progress.add(name));
  const runs: RunRecord[] = [];
  let environment: string[] = [];
  try {
    for (const [index, name] of names.entries()) {
      if (interrupts.signal.aborted) break;
      const done = await runMethod(shared, name, lines[index], progress);
      if (done === undefined) break;
      runs.push(done.record);
      environment = done.environment ?? environment;
    }
  } finally {
    progress.stop();
  }
  if (runs.length > 0) await conclude(shared, runs, environment);
  interrupts.check();
  if (runs.every((run) => run.epochs.length < 2 || summarize([run]).ranking[0].diverged)) {
    throw new RunError(
      `no method ended with a finite loss: ${runs.map((run) => `${run.name} ${run.status}`).join("; ")}`,
    );
  }
}

function announce(
  { options, data, training, output, folder }: Comparison,
  names: readonly string[],
  absent: readonly LeftOut[],
  steps: number,
): void {
  const { training: rows, validation, notices } = data.split;
  output.event({
    ...{ event: "start", folder, dataset: rows.name, task: rows.task.kind, notices, methods: names },
    leftOut: absent,
    ...{ trainingRows: rows.inputs.shape[0], validationRows: validation.inputs.shape[0] },
    ...{ features: inputCount(rows), model: modelConfig(options) },
    ...{ ...training, tuning: options.tune ? tuningRecord(steps) : undefined },
  });
  for (const notice of notices) output.print(`note: ${notice}`);
  const limit = training.timeBudget
    ? `${training.timeBudget} s of training each`
    : `${training.epochs} epochs each`;
  output.print(
    `${rows.name}: ${rows.inputs.shape[0]} rows to train on, ${validation.inputs.shape[0]} to validate; ` +
      `${names.length} methods, ${limit}, batch size ${training.batchSize}, seed ${training.seed}`,
  );
  for (const { reason, methods, remedy } of absent) {
    output.print(`left out, ${reason}: ${methods.join(", ")}${remedy && ` (taken in by ${remedy})`}`);
  }
  if (options.tune) output.print(`tuning: ${describeRule(steps)}`);
}

/** Tunes and trains one method; nothing when it was stopped before its training began. */
async function runMethod(
  shared: Comparison,
  name: string,
  line: RunProgress,
  progress: Progress,
): Promise<{ record: RunRecord; environment?: string[] } | undefined> {
  const { options, folder, data, interrupts, output, runtime, training } = shared;
  let chosen: Readonly<Record<string, unknown>> | undefined = methodOptions(name, options, true);
  try {
    if (options.tune) chosen = await tuned(shared, name, line, progress);
    if (interrupts.signal.aborted) return undefined;
    if (chosen === undefined) return { record: notRun(name, {}, "every trial diverged") };
    const config = configOf(shared, name, chosen);
    const trainer = await createTrainer(trainerConfig(config, data.split.training), { runtime });
    try {
      const own = await createRunFolder(folder, name);
      await writeConfig(own, { ...config });
      await writeEncoding(own, data.split.encoding);
      const shownEpochs = training.timeBudget === undefined ? training.epochs : undefined;
      const { record } = await withRunLock(own, () =>
        performRun({
          ...{ name, folder: own, config, split: data.split, trainer, signal: interrupts.signal },
          onStep: (step) => line.update(step.fraction, describeStep(step, shownEpochs), step.left),
          onEpoch(epoch, left) {
            line.epoch(epoch, shownEpochs, left);
            output.event({ event: "epoch", run: name, ...epoch });
          },
        }),
      );
      if (record.status !== "finished") line.finish(record.status);
      return { record, environment: describeEnvironment(trainer) };
    } finally {
      trainer.dispose();
    }
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    line.finish(error.message);
    return { record: notRun(name, chosen ?? {}, error.message) };
  }
}

async function tuned(shared: Comparison, method: string, line: RunProgress, progress: Progress) {
  const { options, data, runtime, interrupts, output } = shared;
  const { learningRate, damping, option = [] } = options;
  const own = option.filter((one) => one.method === undefined || findMethod(one.method).name === method);
  const fixed = new Set(own.map(({ key }) => key));
  if (learningRate !== undefined) fixed.add("learningRate");
  if (damping !== undefined) fixed.add("damping");
  const { best, trials } = await tune({
    ...{ method, base: methodOptions(method, options, true), fixed, steps: trialSteps(shared), runtime },
    ...{ split: data.split, augment: shared.training.augment, signal: interrupts.signal },
    configure: (point) => trainerConfig(configOf(shared, method, point), data.split.training),
    onTrial(trial, index, count) {
      line.update(0, `tuning, trial ${index} of ${count}`);
      output.event({ event: "trial", ...trial });
    },
  });
  shared.trials.push(...trials);
  if (best && !process.stderr.isTTY) {
    const diverged = trials.filter((trial) => trial.diverged).length;
    const found = formatOptions({ learningRate: best.learningRate, damping: best.damping });
    const loss = Math.min(...trials.filter((trial) => !trial.diverged).map((trial) => trial.validationLoss));
    const counts = `${trials.length} trials, ${diverged} diverged`;
    progress.note(`${method}: tuned to ${found} (validation loss ${formatValue(loss)}; ${counts})`);
  }
  return best;
}

/** Steps of a trial: those asked for, or all of the training where it has fewer. */
function trialSteps({ options, training, data }: Pick<Comparison, "options" | "training" | "data">): number {
  const perEpoch = batchCount(data.split.training.inputs.shape[0], training);
  return Math.max(1, Math.min(options.tuneSteps, training.epochs * perEpoch));
}

function configOf(
  { options, data, training, command }: Comparison,
  name: string,
  chosen: Readonly<Record<string, unknown>>,
): RunConfig {
  const rows = data.split.training.inputs.shape[0];
  const optimizer = { name, options: onSchedule(chosen, options.schedule, training, rows) };
  return runConfig({ dataset: data.dataset, optimizer, training }, options, command);
}

function notRun(name: string, options: Readonly<Record<string, unknown>>, reason: string): RunRecord {
  const status = `not run: ${reason}`;
  return { name, optimizer: name, options, epochs: [], curvature: [], status, parameterCount: 0 };
}

async function conclude(
  shared: Comparison,
  runs: readonly RunRecord[],
  environment: string[],
): Promise<void> {
  const { folder, options, data, command, output, trials } = shared;
  const { training } = data.split;
  const config = configOf(shared, runs[0].name, runs[0].options);
  const model = describeLayers(config.model, trainerConfig(config, training).model);
  const report = await saveReport(
    {
      ...{ folder, commands: [command], split: data.split, environment, model },
      title: `${training.name}: ${runs.map(({ name }) => name).join(", ")}`,
      tuning: options.tune ? { grid: tuningRecord(trialSteps(shared)), trials } : undefined,
    },
    runs,
  );
  const trialsOf = ({ optimizer }: RunRecord) =>
    options.tune ? trials.filter((trial) => trial.optimizer === optimizer).length : undefined;
  const { table, headline, results } = describeRanking(runs, trialsOf);
  for (const result of results) output.event({ event: "result", ...result });
  output.event({ event: "end", folder, report, headline });
  output.print();
  output.print(rankingTable(table, trialsOf));
  output.print();
  output.print(headline);
  for (const note of runs.flatMap(notesOf)) output.print(`note: ${note}`);
  output.print(`report: ${report}`);
}
