/** `natgrad bench growth`: how time and memory of a step grow with the network, for the methods side by side. */
import { basename, dirname, join } from "node:path";
import type { Command } from "commander";
import { RunError } from "../errors.ts";
import { countPoints, type GrowthResult, measureGrowth } from "../experiments/growth.ts";
import type { GrowthPlan } from "../experiments/growth-curve.ts";
import { growthMethods, growthOptimizer } from "../experiments/growth-methods.ts";
import { formatBytes, formatSeconds } from "../report/format.ts";
import { describeGrowth, growthMarkdown, growthTables, leftOutLines } from "../report/growth-tables.ts";
import { writeFileAtomically } from "../training/atomic-file.ts";
import { createRunFolder, writeReport } from "../training/run-folder.ts";
import { commaSeparated, integer, positiveInteger, positiveIntegers, positiveNumber } from "./arguments.ts";
import { watchInterrupts } from "./interrupts.ts";
import { type Output, openOutput } from "./output.ts";
import { openProgress, type Progress } from "./progress.ts";
import { environmentLines, reproducingCommand } from "./report-file.ts";
import { renderTable } from "./table.ts";

const examples = `
Examples:
  $ natgrad bench growth                                    some five minutes
  $ natgrad bench growth --quick                            under a minute, small networks only
  $ natgrad bench growth --methods tengrad,kfac,ekfac --widths 128,256,512,1024,2048
  $ natgrad bench growth --markdown > growth.md

The folder gets growth.json and report.html. Ctrl-C keeps what is measured and writes both.`;

const defaults = {
  widths: [16, 32, 64, 128, 256, 512, 1024],
  depths: [1, 2, 3, 4, 6, 8],
  seconds: 1,
  timeLimit: 60,
  memoryLimit: 4,
};

/** Under a minute on a slow machine. */
const quick = { widths: [8, 16, 32, 64, 128], depths: [1, 2, 4], seconds: 0.1, timeLimit: 4, memoryLimit: 1 };

interface GrowthOptions {
  readonly widths?: readonly number[];
  readonly depths?: readonly number[];
  readonly methods?: readonly string[];
  readonly batchSize: number;
  readonly seconds?: number;
  readonly timeLimit?: number;
  readonly memoryLimit?: number;
  readonly quick?: boolean;
  readonly out: string;
  readonly markdown?: boolean;
  readonly seed: number;
  readonly json?: boolean;
}

export function addBenchCommand(program: Command, args: readonly string[]): void {
  const bench = program
    .command("bench")
    .summary("measure what steps cost")
    .description("Measures what training steps cost on this machine.")
    .addHelpText("after", examples);
  const list = (values: readonly unknown[]) => values.join(",");
  bench
    .command("growth")
    .summary("time and memory of a step against width and depth")
    .description("Measures time and peak memory of a step against width and depth, and fits the exponents.")
    .option(
      "--widths <sizes>",
      `units of two hidden layers (default: ${list(defaults.widths)})`,
      positiveIntegers("--widths"),
    )
    .option(
      "--depths <counts>",
      `hidden layers of 32 units (default: ${list(defaults.depths)})`,
      positiveIntegers("--depths"),
    )
    .option("--methods <names>", `which (default: all: ${growthMethods.join(", ")})`, commaSeparated)
    .option("--batch-size <n>", "rows a step", positiveInteger("--batch-size"), 128)
    .option(
      "--seconds <s>",
      `how long each point's steps are timed (default: ${defaults.seconds})`,
      positiveNumber("--seconds"),
    )
    .option(
      "--time-limit <s>",
      `a point that would take longer is left out (default: ${defaults.timeLimit})`,
      positiveNumber("--time-limit"),
    )
    .option(
      "--memory-limit <GiB>",
      `a point that would need more is left out (default: ${defaults.memoryLimit})`,
      positiveNumber("--memory-limit"),
    )
    .option(
      "--quick",
      `under a minute: widths ${list(quick.widths)}, depths ${list(quick.depths)}, ${quick.seconds} s each`,
    )
    .option("--out <folder>", "where the results go; a number is added when it is taken", "runs/growth")
    .option("--markdown", "the tables as Markdown on stdout")
    .option("--seed <n>", "of weights and batches", integer("--seed"), 0)
    .option("--json", "one JSON object a line on stdout")
    .addHelpText("after", examples)
    .action((options: GrowthOptions) => growth(options, args));
}

async function growth(options: GrowthOptions, args: readonly string[]): Promise<void> {
  const plan = planOf(options);
  const output = openOutput(options.json);
  const interrupts = watchInterrupts(() => process.stderr.write("stopping …\n"));
  try {
    const folder = await createRunFolder(dirname(options.out), basename(options.out));
    const environment = await environmentLines();
    output.event({ event: "start", folder, ...plan });
    const sweeps = await measure(plan, output, interrupts.signal);
    const result: GrowthResult = {
      ...{ format: "natgrad growth 1", command: reproducingCommand(args, options.seed) },
      ...{ createdAt: new Date().toISOString(), environment, plan, sweeps },
    };
    await conclude(result, folder, output, options.markdown === true);
    interrupts.check();
    if (sweeps.every(({ curves }) => curves.every(({ points }) => points.length === 0))) {
      throw new RunError(`no point could be measured: ${leftOutLines(result)[0]}`);
    }
  } finally {
    interrupts.stop();
  }
}

/** @throws UsageError for a method that is not measured */
function planOf(options: GrowthOptions): GrowthPlan {
  const preset = options.quick ? quick : defaults;
  const methods = [...new Set(options.methods ?? growthMethods)];
  for (const method of methods) growthOptimizer(method);
  const { widths = preset.widths, depths = preset.depths, seconds = preset.seconds } = options;
  const { timeLimit = preset.timeLimit, memoryLimit = preset.memoryLimit, batchSize, seed } = options;
  return { methods, widths, depths, batchSize, seed, seconds, timeLimit, memoryLimit: memoryLimit * 2 ** 30 };
}

async function measure(plan: GrowthPlan, output: Output, signal: AbortSignal) {
  const progress = openProgress(["points"]);
  const line = progress.add("points");
  const count = countPoints(plan);
  let done = 0;
  const advance = (text: string) => line.update(++done / count, `${done} of ${count} · ${text}`);
  try {
    return await measureGrowth(plan, {
      signal,
      onPoint(axis, method, point) {
        const { x, secondsPerStep, peakBytes } = point;
        const text = `${axis} ${x}  ${method}`;
        output.event({ event: "point", axis, method, ...point });
        advance(text);
        quietNote(progress, `${text}: ${formatSeconds(secondsPerStep)} a step, ${formatBytes(peakBytes)}`);
      },
      onLeftOut(axis, method, { x, reason }) {
        output.event({ event: "left-out", axis, method, x, reason });
        advance(`${axis} ${x}  ${method}`);
        progress.note(`${axis} ${x}  ${method}: left out, ${reason}`);
      },
    });
  } finally {
    progress.stop();
  }
}

/** What the bar shows on a terminal is said in lines elsewhere. */
function quietNote(progress: Progress, line: string): void {
  if (!process.stderr.isTTY) progress.note(line);
}

async function conclude(
  result: GrowthResult,
  folder: string,
  output: Output,
  markdown: boolean,
): Promise<void> {
  const data = join(folder, "growth.json");
  await writeFileAtomically(data, `${JSON.stringify(result, undefined, 2)}\n`);
  const { renderGrowthReport } = await import("../report/growth.ts"); // half a second: only who needs it waits
  const report = await writeReport(folder, renderGrowthReport(result));
  for (const { axis, curves } of result.sweeps) {
    for (const { method, time, memory, operations } of curves) {
      output.event({ event: "fit", axis, method, time, memory, operations });
    }
  }
  output.event({ event: "end", folder, data, report });
  if (markdown) {
    output.print(growthMarkdown(result));
    return;
  }
  for (const { title, headings, rows } of growthTables(result)) {
    output.print(`${title}\n`);
    output.print(renderTable(headings, rows, { numeric: headings.map((_, column) => column).slice(1) }));
    output.print();
  }
  for (const line of leftOutLines(result)) output.print(`left out: ${line}`);
  output.print(describeGrowth(result));
  output.print(`report: ${report}`);
}
