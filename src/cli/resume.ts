/** `natgrad resume`: goes on with a run as if it had not stopped. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import type { Command } from "commander";
import { requireOption, UsageError } from "../errors.ts";
import { resumeTrainer } from "../training/create-trainer.ts";
import { loadRunData, type RunConfig, readRunConfig, trainerConfig } from "../training/run-config.ts";
import { runFiles, truncateMetrics, writeConfig, writeEncoding } from "../training/run-folder.ts";
import { withRunLock } from "../training/run-lock.ts";
import { integer, positiveInteger } from "./arguments.ts";
import { type Interrupts, watchInterrupts } from "./interrupts.ts";
import { openOutput } from "./output.ts";
import { reproducingCommand } from "./report-file.ts";
import { runAndReport } from "./train.ts";

const examples = `
Examples:
  $ natgrad resume runs/house               finishes a run that was stopped
  $ natgrad resume runs/house --epochs 20   trains for 20 epochs more
  $ natgrad resume runs/friedman1-compare/adam`;

interface ResumeOptions {
  readonly epochs?: number;
  readonly seed?: number;
  readonly json?: boolean;
}

export function addResumeCommand(program: Command, args: readonly string[]): void {
  program
    .command("resume")
    .summary("go on with a run that was stopped")
    .description("Goes on with a run from its last checkpoint, bit by bit as if it had not stopped.")
    .argument("<folder>", "the run's folder, with config.json and checkpoint.safetensors")
    .option(
      "--epochs <n>",
      "epochs more, from the checkpoint on (default: those that are left)",
      positiveInteger("--epochs"),
    )
    .option("--seed <n>", "must be the run's own seed, if given", integer("--seed"))
    .option("--json", "one JSON object a line on stdout")
    .addHelpText("after", examples)
    .action((folder: string, options: ResumeOptions) => resume(folder, options, args));
}

async function resume(folder: string, options: ResumeOptions, args: readonly string[]): Promise<void> {
  const saved = await readRunConfig(folder);
  const { seed } = saved.training;
  requireOption(
    options.seed === undefined || options.seed === seed,
    "--seed",
    options.seed,
    `${seed}, the run's own`,
  );
  const interrupts = watchInterrupts(() => process.stderr.write("stopping after this step …\n"));
  try {
    await withRunLock(folder, () => goOn(folder, saved, options, args, interrupts));
  } finally {
    interrupts.stop();
  }
}

async function goOn(
  folder: string,
  saved: RunConfig,
  { epochs, json }: ResumeOptions,
  args: readonly string[],
  interrupts: Interrupts,
): Promise<void> {
  const path = join(folder, runFiles.checkpoint);
  if (!existsSync(path)) {
    throw new UsageError(
      `${folder} was stopped before its first checkpoint (there is no ${runFiles.checkpoint}); train anew: ${saved.commands.at(-1)}`,
    );
  }
  const split = await loadRunData(saved);
  const trainer = await resumeTrainer(path, trainerConfig(saved, split.training));
  try {
    interrupts.check();
    const { epoch } = trainer.progress;
    const config = extend(saved, epoch, epochs, args);
    if (epoch >= config.training.epochs) {
      throw new UsageError(
        `${folder} has finished its ${epoch === 1 ? "epoch" : `${epoch} epochs`} (add --epochs <n> to train for more)`,
      );
    }
    await writeConfig(folder, { ...config });
    await writeEncoding(folder, split.encoding);
    const records = await truncateMetrics(folder, epoch);
    const { name } = trainer.config.optimizer;
    await runAndReport({ name, folder, config, split, trainer, records }, interrupts, openOutput(json));
  } finally {
    trainer.dispose();
  }
}

/** The config of a run that goes on for `more` epochs after `epoch`; a limit in seconds no longer holds. */
function extend(
  config: RunConfig,
  epoch: number,
  more: number | undefined,
  args: readonly string[],
): RunConfig {
  if (more === undefined) return config;
  const command = reproducingCommand(args, config.training.seed);
  const training = { ...config.training, epochs: epoch + more, timeBudget: undefined };
  return { ...config, commands: [...config.commands, command], training };
}
