/** `natgrad inspect`: what curvature looks like at a run's checkpoint. */
import { existsSync } from "node:fs";
import { basename, join, resolve } from "node:path";
import { type Command, Option } from "commander";
import { UsageError } from "../errors.ts";
import type { FisherName } from "../fisher/index.ts";
import { type InspectOptions, inspect } from "../inspect/inspect.ts";
import { type Inspection, inspectionNumbers } from "../inspect/inspection.ts";
import { writeFileAtomically } from "../training/atomic-file.ts";
import { makeFolders } from "../training/folders.ts";
import { loadRunData, type RunConfig, readRunConfig, trainerConfig } from "../training/run-config.ts";
import { runFiles } from "../training/run-folder.ts";
import { commaSeparated, integer, oneOf, positiveInteger, positiveNumber } from "./arguments.ts";
import { watchInterrupts } from "./interrupts.ts";
import { describeModel } from "./models.ts";
import { formatValue, type Output, openOutput } from "./output.ts";
import { openProgress } from "./progress.ts";
import { reproducingCommand } from "./report-file.ts";
import { renderTable } from "./table.ts";

const examples = `
Examples:
  $ natgrad inspect runs/house
  $ natgrad inspect runs/house --samples 256 --fisher empirical --damping 0.001
  $ natgrad inspect runs/friedman1-compare/tengrad --methods tengrad,kfac,ekfac --layers 0

Writes inspect.html and inspect.json into the run's folder; docs/inspect.md says how to read them.`;

const fisherNames: readonly FisherName[] = ["exact", "empirical", "improved-empirical", "monte-carlo"];

interface Options {
  readonly samples?: number;
  readonly fisher: FisherName;
  readonly damping?: number;
  readonly methods?: readonly string[];
  readonly layers?: readonly string[];
  readonly out?: string;
  readonly seed: number;
  readonly json?: boolean;
}

export function addInspectCommand(program: Command, args: readonly string[]): void {
  program
    .command("inspect")
    .summary("show curvature at a run's checkpoint, exact and as each method has it")
    .description(
      "Shows what the Fisher matrix looks like at a run's checkpoint: eigenvalues, each method's direction beside the exact one, heat maps of inverses.",
    )
    .argument("<run>", "the run's folder, with config.json and checkpoint.safetensors")
    .option(
      "--samples <n>",
      "training rows in the batch (default: 128, or all there are)",
      positiveInteger("--samples"),
    )
    .addOption(
      new Option("--fisher <type>", `whose targets the scores are taken at: ${fisherNames.join(", ")}`)
        .argParser(oneOf("--fisher", fisherNames))
        .default("exact"),
    )
    .option(
      "--damping <x>",
      "added to the curvature, for all methods (default: the run's own, or 0.01)",
      positiveNumber("--damping"),
    )
    .option(
      "--methods <names>",
      "which to compare, separated by commas (default: all natural gradients)",
      commaSeparated,
    )
    .option("--layers <names>", "whose inverses to draw, such as 0,2 (default: all)", commaSeparated)
    .option(
      "--out <file>",
      "the page to write, the numbers beside it (default: inspect.html in the run's folder)",
    )
    .option("--seed <n>", "of the rows chosen and of Monte-Carlo targets", integer("--seed"), 0)
    .option("--json", "one JSON object a line on stdout")
    .addHelpText("after", examples)
    .action((folder: string, options: Options) => inspectRun(folder, options, args));
}

async function inspectRun(folder: string, options: Options, args: readonly string[]): Promise<void> {
  const output = openOutput(options.json);
  const config = await readRunConfig(folder);
  const checkpoint = join(folder, runFiles.checkpoint);
  if (!existsSync(checkpoint)) {
    throw new UsageError(
      `${folder} has no ${runFiles.checkpoint} yet (train it, or go on with natgrad resume ${folder})`,
    );
  }
  const page = options.out ?? join(folder, "inspect.html");
  if (!page.endsWith(".html"))
    throw new UsageError(`invalid --out: ${JSON.stringify(page)} (must end in .html)`);
  const interrupts = watchInterrupts();
  try {
    const { training } = await loadRunData(config);
    const { samples, fisher, damping, methods, layers, seed } = options;
    const chosen: InspectOptions = { samples, fisher, damping, methods, layers, seed };
    const found = await withProgress(folder, (onProgress) =>
      inspect(checkpoint, trainerConfig(config, training), training, {
        ...chosen,
        onProgress(fraction, text) {
          interrupts.check();
          onProgress(fraction, text);
        },
      }),
    );
    const numbers = page.replace(/\.html$/, ".json");
    const { renderInspection } = await import("../report/inspection.ts"); // half a second: only who needs it waits
    const html = renderInspection(
      {
        title: `${basename(resolve(folder))}: curvature at epoch ${found.epoch}`,
        command: reproducingCommand(args, seed),
        ...describeRun(config, training.name),
        createdAt: new Date().toISOString(),
      },
      found,
    );
    await makeFolders(resolve(page, ".."));
    await writeFileAtomically(page, html);
    await writeFileAtomically(numbers, `${JSON.stringify(inspectionNumbers(found), null, 1)}\n`);
    conclude(found, { page, numbers }, output);
  } finally {
    interrupts.stop();
  }
}

function describeRun({ model, optimizer }: RunConfig, dataset: string) {
  return { dataset, model: `${describeModel(model)}, trained with ${optimizer.name}` };
}

/** Shows one bar, or a line at the end, while the work goes on. */
async function withProgress<T>(
  name: string,
  work: (onProgress: (fraction: number, text: string) => void) => Promise<T>,
): Promise<T> {
  const progress = openProgress([name]);
  const line = progress.add(name);
  try {
    const result = await work((fraction, text) => line.update(fraction, text));
    line.update(1, "");
    line.finish("inspected");
    return result;
  } finally {
    progress.stop();
  }
}

function conclude(found: Inspection, files: { page: string; numbers: string }, output: Output): void {
  const [{ eigenvalues: _, ...all }] = found.spectra;
  output.event({
    ...{ event: "end", report: files.page, numbers: files.numbers },
    ...{ samples: found.samples, rows: found.rows, fisher: found.fisher, damping: found.damping, ...all },
    ...{ directions: found.directions, leftOut: found.leftOut },
  });
  output.print(
    `${found.fisher} Fisher matrix of ${found.samples} rows, damping ${formatValue(found.damping)}: rank ${all.rank} of ${all.parameters}, ` +
      `effective dimension ${formatValue(all.effectiveDimension)}, condition number ${formatValue(all.condition)}`,
  );
  const rows = found.directions.map(({ name, metricCosine, cosine, lengthRatio, bestDecrease }) => [
    name,
    ...[metricCosine, cosine, lengthRatio].map(formatValue),
    `${(100 * (bestDecrease / found.exactDecrease)).toFixed(1)} %`,
  ]);
  const headings = ["direction", "cosine in F + λI", "cosine", "length / exact", "decrease of the exact"];
  output.print(renderTable(headings, rows, { numeric: [1, 2, 3, 4] }));
  for (const line of found.leftOut) output.print(`left out: ${line}`);
  output.print(`report: ${files.page}`);
}
