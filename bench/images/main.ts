/**
 * Steps of the papers' networks on CIFAR-10 by each method, with their time and their peak memory beside the estimate:
 * npm run bench:images -- --help
 *
 * Every combination runs in a process of its own, so that its peak is its own. A step that is refused for its memory is no failure:
 * the table has the refusal, which names the batch that fits.
 */
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import Table from "cli-table3";
import { Command, InvalidArgumentError } from "commander";
import { formatBytes } from "../../src/report/format.ts";
import { describeLoad, describeMachine } from "../table.ts";
import { defaultMethods, type ImageRequest, type ImageResult, networks } from "./request.ts";

interface CommandLine {
  readonly network: readonly string[];
  readonly method: readonly string[];
  readonly batchSize: number;
  readonly steps: number;
  readonly refreshEvery?: number;
  readonly memoryLimit?: number;
  readonly json?: true;
}

const options = new Command("npm run bench:images --")
  .description(
    "Takes training steps of networks for images on CIFAR-10 by each method; time and peak memory.",
  )
  .option("--network <names>", `of ${Object.keys(networks).join(", ")}`, networkNames, Object.keys(networks))
  .option("--method <names>", "see natgrad methods", list, defaultMethods)
  .option("--batch-size <n>", "samples a step", count, 128)
  .option("--steps <n>", "steps of each combination, the first not timed", count, 10)
  .option(
    "--refresh-every <n>",
    "steps between refreshes, of methods that have such (default: their own)",
    count,
  )
  .option(
    "--memory-limit <GiB>",
    "what a step may take (default: two thirds of what the machine has left)",
    Number,
  )
  .option("--json", "one JSON object a line on stdout")
  .addHelpText("after", "\nNATGRAD_DATA names the folder with cifar-10.")
  .parse()
  .opts<CommandLine>();

const note = (line: string) => console.error(line);
const child = fileURLToPath(new URL("child.ts", import.meta.url));
const table = new Table({
  head: ["network", "method", "s per step", "first step, s", "peak", "estimate", "status"],
  style: { head: [], border: [] },
});

note(describeMachine());
const load = describeLoad();
if (load) note(load);
for (const network of options.network) {
  for (const method of options.method) {
    const { batchSize, steps, refreshEvery, memoryLimit } = options;
    const limit = memoryLimit === undefined ? undefined : memoryLimit * 2 ** 30;
    const result = run({ network, method, batchSize, steps, refreshEvery, memoryLimit: limit });
    if (options.json) console.log(JSON.stringify({ network, method, batchSize, ...result }));
    note(`${network} ${method}: ${describe(result)}`);
    table.push([network, method, ...cells(result)]);
  }
}
if (!options.json) console.log(table.toString());

function run(request: ImageRequest): ImageResult {
  const { stdout, signal } = spawnSync(
    process.execPath,
    ["--import", "tsx", child, JSON.stringify(request)],
    {
      encoding: "utf8",
      stdio: ["ignore", "pipe", "inherit"],
    },
  );
  const last = stdout.trim().split("\n").at(-1);
  if (last) return JSON.parse(last) as ImageResult;
  return { status: `ended without a word${signal ? ` by ${signal}` : ""}` };
}

function describe({ secondsPerStep, peakBytes, status }: ImageResult): string {
  if (secondsPerStep === undefined) return status;
  return `${secondsPerStep.toFixed(1)} s per step, ${formatBytes(peakBytes!)} at its peak, ${status}`;
}

function cells({ secondsPerStep, firstSeconds, peakBytes, estimatedBytes, status }: ImageResult): string[] {
  const seconds = (value?: number) => value?.toFixed(2) ?? "";
  const bytes = (value?: number) => (value === undefined ? "" : formatBytes(value));
  return [seconds(secondsPerStep), seconds(firstSeconds), bytes(peakBytes), bytes(estimatedBytes), status];
}

function list(text: string): string[] {
  return text.split(",");
}

function networkNames(text: string): string[] {
  const unknown = list(text).find((name) => !Object.hasOwn(networks, name));
  if (unknown !== undefined) throw new InvalidArgumentError(`unknown: ${unknown}`);
  return list(text);
}

function count(text: string): number {
  const value = Number(text);
  if (!(Number.isInteger(value) && value > 0)) throw new InvalidArgumentError("must be a positive integer");
  return value;
}
