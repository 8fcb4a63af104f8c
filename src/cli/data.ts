/** `natgrad data`: the datasets known by name, and their files. */
import { MultiBar } from "cli-progress";
import type { Command } from "commander";
import pc from "picocolors";
import { fetchDataset, listDatasets } from "../data/index.ts";
import { integer } from "./arguments.ts";
import { watchInterrupts } from "./interrupts.ts";
import { openOutput } from "./output.ts";
import { renderTable } from "./table.ts";

const examples = `
Examples:
  $ natgrad data list
  $ natgrad data fetch ecoli
  $ NATGRAD_DATA=~/data natgrad data list      looks in ~/data/<name>/ first`;

interface DataOptions {
  readonly json?: boolean;
}

export function addDataCommand(program: Command): void {
  const data = program
    .command("data")
    .summary("list the datasets, fetch their files")
    .description("Lists the datasets known by name, or makes sure that the files of one are on this machine.")
    .addHelpText("after", examples);
  withCommonOptions(
    data.command("list").description("Lists the datasets: task, size, whether it is here, from where."),
  )
    .addHelpText("after", examples)
    .action(({ json }: DataOptions) => list(json));
  withCommonOptions(
    data.command("fetch").description("Downloads the files of a dataset unless they are here already."),
  )
    .argument("<name>", "of the dataset")
    .addHelpText("after", examples)
    .action((name: string, { json }: DataOptions) => fetchFiles(name, json));
}

function withCommonOptions(command: Command): Command {
  return command
    .option("--seed <n>", "no effect: nothing here is random", integer("--seed"))
    .option("--json", "one JSON object a line on stdout");
}

function list(json: boolean | undefined): void {
  const output = openOutput(json);
  const datasets = listDatasets();
  for (const dataset of datasets) output.event({ ...dataset });
  const rows = datasets.map(({ name, summary, task, rows, inputs, available, where }) => [
    pc.bold(name),
    summary,
    task,
    String(rows),
    String(inputs),
    available ? where : pc.yellow(where),
  ]);
  const headings = ["name", "what is predicted", "task", "rows", "inputs", "where"];
  output.print(renderTable(headings, rows, { widths: [13, 38], numeric: [3, 4] }));
}

async function fetchFiles(name: string, json: boolean | undefined): Promise<void> {
  const output = openOutput(json);
  const interrupts = watchInterrupts();
  const bars = new MultiBar({
    format: "{file} {bar} {megabytes} MB",
    hideCursor: true,
    stream: process.stderr,
  });
  const byFile = new Map<string, ReturnType<MultiBar["create"]>>();
  try {
    const paths = await fetchDataset(name, {
      signal: interrupts.signal,
      onProgress({ file, received, total }) {
        const payload = { file, megabytes: (received / 1e6).toFixed(1) };
        const bar = byFile.get(file) ?? bars.create(total ?? received, 0, payload);
        byFile.set(file, bar);
        bar?.update(received, payload);
      },
    });
    output.event({ name, paths });
    output.print(paths.length === 0 ? `${name} is built in and needs no file` : paths.join("\n"));
  } catch (error) {
    interrupts.check();
    throw error;
  } finally {
    if (byFile.size > 0) bars.stop();
    interrupts.stop();
  }
}
