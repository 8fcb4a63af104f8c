/** The command line as a whole: one file for each command, errors in one line, exit codes. */
import { Command } from "commander";
import { addBenchCommand } from "./bench.ts";
import { addCompareCommand } from "./compare.ts";
import { addDataCommand } from "./data.ts";
import { addDoctorCommand } from "./doctor.ts";
import { reportFailure } from "./failure.ts";
import { addInspectCommand } from "./inspect.ts";
import { addMethodsCommand } from "./methods.ts";
import { allowClosedPipes } from "./output.ts";
import { addPredictCommand } from "./predict.ts";
import { addReproduceCommand } from "./reproduce.ts";
import { addResumeCommand } from "./resume.ts";
import { addTrainCommand } from "./train.ts";
import { natgradVersion } from "./version.ts";

const notes = `
Start with:
  $ natgrad compare          the methods on a built-in task, with a report
  $ natgrad train my.csv     a model of your own data
  $ natgrad train --help     all that can be set
  $ natgrad predict runs/my new.csv   what that model says of other rows

Runs land in runs/<name>/: config.json, metrics.jsonl, checkpoint.safetensors, report.html.
Exit codes: 0 done, 1 the run failed, 2 wrong usage, 130 stopped by Ctrl-C (143 by SIGTERM).
Environment: NATGRAD_DATA (folder of datasets), NATGRAD_SESSION (native | node | web),
NATGRAD_LAPACK (off | path of a library), NATGRAD_DEBUG=1 (where an error came from).`;

/**
 * Runs one command.
 *
 * @param args as typed, without `node` and the script
 * @returns the exit code
 */
export async function runCommandLine(args: readonly string[]): Promise<number> {
  allowClosedPipes();
  const program = buildProgram(args);
  if (args.length === 0) {
    program.outputHelp();
    return 0;
  }
  try {
    await program.parseAsync([...args], { from: "user" });
    return 0;
  } catch (error) {
    return reportFailure(error);
  }
}

/** All commands, none of them run. @param args as typed: which of them decides what some options are */
export function buildProgram(args: readonly string[]): Command {
  const program = new Command("natgrad")
    .description("Trains neural networks by natural gradient, and compares it with the usual methods.")
    .version(natgradVersion(), "-v, --version")
    .exitOverride()
    .configureOutput({ outputError() {} }) // reportFailure says it, in its own form
    .addHelpText("after", notes);
  addTrainCommand(program, args);
  addCompareCommand(program, args);
  addMethodsCommand(program);
  addDataCommand(program);
  addResumeCommand(program, args);
  addPredictCommand(program);
  addInspectCommand(program, args);
  addReproduceCommand(program);
  addBenchCommand(program, args);
  addDoctorCommand(program);
  return program;
}
