/**
 * Every method on every task with every network, tuned on an equal budget: npm run bench:methods -- --help
 *
 * Results are appended to a file as they come, and what is in it is not done again.
 */
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Command, InvalidArgumentError } from "commander";
import { RunError, UsageError } from "../../src/errors.ts";
import { methods } from "../../src/optimizers/index.ts";
import { openRuntime } from "../../src/runtime/runtime.ts";
import { describeLoad, describeMachine } from "../table.ts";
import { choosingTables } from "./choosing.ts";
import { methodFigure } from "./figures.ts";
import { duration, figure, replaceBetweenMarks } from "./markdown.ts";
import { resultsPage } from "./page.ts";
import { fullPlan, networks, quickPlan, tasks } from "./plan.ts";
import { appendOutcome, type Outcome, openResults, type Results, readResults } from "./results.ts";
import { type Combination, loadTask, runCombination, type TaskData } from "./train.ts";

interface CommandLine {
  readonly task: readonly string[];
  readonly network: readonly string[];
  readonly method: readonly string[];
  readonly quick?: true;
  readonly fresh?: true;
  readonly results?: string;
  readonly docs?: string;
  readonly pagesOnly?: true;
}

const names = methods.map(({ name }) => name);
const options = new Command("npm run bench:methods --")
  .description(
    "Tunes and trains every method on every task with every network and writes docs/results.md and the figures of docs/choosing.md.\n" +
      "Half an hour or less with nothing else running; interrupted, it goes on where it was.",
  )
  .option("--task <names>", `of ${tasks.join(", ")}`, listOf(tasks), tasks)
  .option("--network <names>", `of ${networks.join(", ")}`, listOf(networks), networks)
  .option("--method <names>", "see natgrad methods (default: all)", listOf(names), names)
  .option(
    "--quick",
    "few and short trials: whether it works, not who wins (writes no pages unless --docs is given)",
  )
  .option(
    "--results <file>",
    "results to add to (default: bench/results/methods.jsonl, with --quick runs/methods-quick.jsonl)",
  )
  .option("--docs <folder>", "where results.md and choosing.md are (default: docs)")
  .option("--fresh", "begin anew instead of taking up what is missing")
  .option("--pages-only", "write the pages from the results that are there")
  .addHelpText(
    "after",
    "\nExamples:\n  $ npm run bench:methods\n  $ npm run bench:methods -- --task friedman1 --network 32-16 --method adam,tengrad\n" +
      "  $ npm run bench:methods -- --quick\n\nNATGRAD_DATA names the folder with weather, house and ecoli.",
  )
  .parse()
  .opts<CommandLine>();

const plan = options.quick ? quickPlan : fullPlan;
const path = options.results ?? (options.quick ? "runs/methods-quick.jsonl" : "bench/results/methods.jsonl");
const docs = options.docs ?? (options.quick ? undefined : "docs");
try {
  if (docs && !existsSync(join(docs, "choosing.md"))) {
    throw new UsageError(
      `there is no choosing.md in ${docs} (run it in the project's folder, or give --docs)`,
    );
  }
  if (!options.pagesOnly) await runAll();
  if (docs) writePages(readResults(path), docs);
  else console.log(resultsPage(readResults(path)));
} catch (error) {
  if (!(error instanceof UsageError || error instanceof RunError)) throw error;
  console.error(error.message);
  process.exitCode = 2;
}

async function runAll(): Promise<void> {
  const load = describeLoad();
  if (load) console.error(load);
  if (options.fresh) rmSync(path, { force: true });
  const machine = [describeMachine(), load].filter(Boolean).join("; ");
  const { outcomes } = openResults(path, plan, machine);
  const done = new Set(outcomes.map(keyOf));
  const all = options.task.flatMap((task) =>
    options.network.flatMap((network) => options.method.map((method) => ({ task, network, method }))),
  );
  const left = all.filter((combination) => !done.has(keyOf(combination)));
  if (left.length < all.length)
    console.error(`${all.length - left.length} of ${all.length} are done already`);
  // All data first: what is missing is known before half of it is done.
  const wanted = new Set(left.map(({ task }) => task));
  const data = new Map<string, TaskData>();
  for (const task of wanted) data.set(task, await loadTask(task));
  const runtime = await openRuntime();
  for (const [index, combination] of left.entries()) {
    const start = performance.now();
    const outcome = await runCombination(combination, data.get(combination.task)!, plan, runtime);
    appendOutcome(path, outcome);
    const seconds = duration((performance.now() - start) / 1000);
    console.error(`${index + 1}/${left.length} ${keyOf(combination)}: ${describe(outcome)} (${seconds})`);
  }
  runtime.dispose();
}

function describe({ failure, trainings }: Outcome): string {
  const losses = trainings.map(({ heldOutLoss }) => figure(heldOutLoss ?? Number.NaN));
  return failure ?? `held-out loss ${losses.join(", ")}`;
}

function writePages(results: Results, folder: string): void {
  writeFileSync(join(folder, "results.md"), resultsPage(results));
  const choosing = join(folder, "choosing.md");
  const page = replaceBetweenMarks(readFileSync(choosing, "utf8"), "results", choosingTables(results));
  writeFileSync(choosing, page);
  const images = join(folder, "images", "methods");
  mkdirSync(images, { recursive: true });
  for (const name of names) {
    const svg = methodFigure(results, name);
    if (svg) writeFileSync(join(images, `${name}.svg`), svg);
  }
  console.error(`wrote ${join(folder, "results.md")} and ${choosing}`);
}

function keyOf({ task, network, method }: Combination): string {
  return `${task} ${network} ${method}`;
}

function listOf(known: readonly string[]): (text: string) => string[] {
  return (text) => {
    const given = text.split(",");
    const unknown = given.find((name) => !known.includes(name));
    if (unknown !== undefined) throw new InvalidArgumentError(`unknown: ${unknown}`);
    return given;
  };
}
