/** `natgrad reproduce`: experiments of the papers, each by its id. */
import { rmdir } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import type { Command } from "commander";
import pc from "picocolors";
import { listDatasets } from "../data/index.ts";
import { RunError, requireOption, UsageError } from "../errors.ts";
import type { Experiment } from "../experiments/experiment.ts";
import {
  claimsOfPaper,
  compareWithPaper,
  type ExperimentRecord,
  type ExperimentRequest,
  encodeRecord,
  runExperiment,
} from "../experiments/record.ts";
import { writeFileAtomically } from "../training/atomic-file.ts";
import { createRunFolder, writeReport } from "../training/run-folder.ts";
import { integer } from "./arguments.ts";
import { type Interrupts, watchInterrupts } from "./interrupts.ts";
import { formatDuration, type Output, openOutput } from "./output.ts";
import { openProgress } from "./progress.ts";
import { environmentLines } from "./report-file.ts";
import { renderTable } from "./table.ts";

const examples = `
Examples:
  $ natgrad reproduce --list
  $ natgrad reproduce johnson-fig1
  $ natgrad reproduce karakida-fig1a --quick --synthetic    seconds, and no file is needed
  $ natgrad reproduce all --quick

The folder gets result.json, an SVG file for each chart, and report.html.`;

interface ReproduceOptions {
  readonly list?: boolean;
  readonly quick?: boolean;
  readonly synthetic?: boolean;
  readonly out?: string;
  readonly seed: number;
  readonly json?: boolean;
}

export function addReproduceCommand(program: Command): void {
  program
    .command("reproduce")
    .summary("do the papers' experiments again")
    .description("Does figures and tables of the papers again, and says where they agree and where not.")
    .argument("[ids...]", "of experiments, or all")
    .option("--list", "the experiments: what they are, how long they take, which data they want")
    .option("--quick", "smaller versions, each under a minute")
    .option("--synthetic", "stand-ins for the datasets: no file is needed")
    .option(
      "--out <folder>",
      "where the results go, of several experiments a folder in it for each; a number is added when it is taken (default: runs/<id>)",
    )
    .option("--seed <n>", "of all that is random", integer("--seed"), 0)
    .option("--json", "one JSON object a line on stdout")
    .addHelpText("after", examples)
    .action(reproduce);
}

async function reproduce(ids: readonly string[], options: ReproduceOptions): Promise<void> {
  const { experiments, findExperiment } = await import("../experiments/registry.ts"); // the other commands need none of it
  const output = openOutput(options.json);
  if (options.list) {
    list(ids.length === 0 ? experiments : ids.map(findExperiment), output);
    return;
  }
  if (ids.length === 0) throw new UsageError("name experiments, or all; natgrad reproduce --list shows them");
  const chosen = ids.includes("all") ? experiments : [...new Set(ids)].map(findExperiment);
  requireOption(options.out !== "", "--out", options.out, "the path of a folder");
  if (!options.synthetic) requireData(chosen);
  const interrupts = watchInterrupts(() => process.stderr.write("stopping …\n"));
  const failures: { readonly id: string; readonly error: unknown }[] = [];
  try {
    for (const experiment of chosen) {
      const target = targetOf(experiment, options, chosen.length > 1);
      await one(experiment, { options, target, interrupts, output }).catch((error) => {
        interrupts.check(); // what an experiment throws then is of no interest
        failures.push({ id: experiment.id, error });
        if (chosen.length > 1) process.stderr.write(`${experiment.id} failed: ${(error as Error).message}\n`);
      });
    }
  } finally {
    interrupts.stop();
  }
  if (failures.length === 0) return;
  if (chosen.length === 1) throw failures[0].error;
  const failed = failures.map(({ id }) => id).join(", ");
  throw new RunError(`${failures.length} of ${chosen.length} experiments failed: ${failed}`);
}

function list(experiments: readonly Experiment[], output: Output): void {
  for (const { run: _, ...about } of experiments) output.event({ ...about });
  const rows = experiments.map(({ id, source, summary, duration, data }) => [
    pc.bold(id),
    summary,
    source,
    duration.full,
    duration.quick,
    data ? data.datasets.join(", ") : "–",
  ]);
  const headings = ["id", "what", "source", "takes", "--quick", "data"];
  output.print(renderTable(headings, rows, { widths: [20, 44, 30, 10, 10, 14] }));
}

/** @throws RunError in one line when a file is not on this machine, with the command that fetches it */
function requireData(experiments: readonly Experiment[]): void {
  const missing = new Set<string>();
  const wanting: string[] = [];
  const datasets = new Map(listDatasets().map((dataset) => [dataset.name, dataset]));
  for (const { id, data } of experiments) {
    const absent = (data?.datasets ?? []).filter((name) => !datasets.get(name)?.available);
    if (absent.length > 0) wanting.push(id);
    for (const name of absent) missing.add(name);
  }
  if (missing.size === 0) return;
  const ways = [...missing].map((name) => {
    const where = datasets.get(name)?.where ?? "";
    return where.startsWith("natgrad ") ? `"${where}" fetches it` : `get ${name} ${where}`;
  });
  const names = [...missing].join(", ");
  throw new RunError(
    `${wanting.join(", ")}: no files of ${names} here; ${ways.join(", ")}, and --synthetic runs without`,
  );
}

/** Folder and name of an experiment's results. */
function targetOf({ id }: Experiment, { out }: ReproduceOptions, several: boolean): [string, string] {
  if (out === undefined) return ["runs", id];
  return several ? [out, id] : [dirname(out), basename(out)];
}

interface Setting {
  readonly options: ReproduceOptions;
  readonly target: readonly [base: string, name: string];
  readonly interrupts: Interrupts;
  readonly output: Output;
}

async function one(experiment: Experiment, { options, target, interrupts, output }: Setting): Promise<void> {
  const { id } = experiment;
  const { quick = false, synthetic = false, seed } = options;
  interrupts.check();
  const folder = await createRunFolder(...target);
  try {
    const environment = await environmentLines();
    output.event({ event: "start", id, folder, quick, synthetic, seed });
    const request = { quick, synthetic, seed, environment, signal: interrupts.signal };
    const record = await watch(experiment, request);
    const report = await save(record, folder);
    conclude(record, { folder, report }, output);
  } catch (error) {
    await rmdir(folder).catch(() => {}); // only where nothing was written
    throw error;
  }
}

/** Runs it with a bar on the terminal, or lines elsewhere. */
async function watch(experiment: Experiment, request: ExperimentRequest): Promise<ExperimentRecord> {
  const { id, title } = experiment;
  const progress = openProgress([id]);
  const line = progress.add(id);
  if (!process.stderr.isTTY) progress.note(`${id}: ${title}`);
  try {
    const record = await runExperiment(experiment, {
      ...request,
      onProgress: (fraction, text) => line.update(fraction, text),
      onNote: (text) => progress.note(`${id}: ${text}`),
    });
    line.update(1, "");
    line.finish(`done in ${formatDuration(record.seconds)}`);
    return record;
  } finally {
    progress.stop();
  }
}

/** Writes all files. @returns the report's path */
async function save(record: ExperimentRecord, folder: string): Promise<string> {
  await writeFileAtomically(join(folder, "result.json"), encodeRecord(record));
  const { renderExperiment, experimentFiles } = await import("../report/index.ts"); // half a second, after the work
  for (const { id, svg } of experimentFiles(record)) {
    await writeFileAtomically(join(folder, `${id}.svg`), svg);
  }
  return writeReport(folder, renderExperiment(record));
}

function conclude(
  record: ExperimentRecord,
  { folder, report }: { readonly folder: string; readonly report: string },
  output: Output,
): void {
  const { id, title, source, claims, seconds } = record;
  const conclusion = compareWithPaper(record);
  for (const { id: claim, ...rest } of claims) output.event({ event: "claim", id, name: claim, ...rest });
  const papers = claimsOfPaper(record);
  const agreeing = papers.filter(({ agrees }) => agrees).length;
  const files = { folder, data: join(folder, "result.json"), report };
  output.event({ event: "end", id, ...files, seconds, claims: papers.length, agreeing, conclusion });
  output.print(`${pc.bold(id)}  ${title} (${source})\n`);
  for (const { claim, ours, measured, agrees } of claims) {
    output.print(`  ${agrees ? "agrees   " : pc.red("disagrees")}  ${ours ? "(ours) " : ""}${claim}`);
    output.print(`             ${measured}`);
  }
  output.print(`\n${conclusion}\nreport: ${report}\n`);
}
