/**
 * Step times of natgrad beside PyTorch and TensorFlow.js on the same work: npm run bench -- --help
 *
 * Every contender runs in its own process, starts from the same weights, takes the same batch in every step, reads the loss
 * after each, and must report natgrad's losses over the first steps. They run by turns.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Command, InvalidArgumentError, Option } from "commander";
import { type BenchmarkMethod, methods, networks } from "./cases.ts";
import type { ContenderDefinition } from "./contender.ts";
import { findContenders, ownSgd, type Peers } from "./contenders.ts";
import { measure } from "./measure.ts";
import { loadNatgrad, type Natgrad } from "./natgrad.ts";
import { writeProblem } from "./problem.ts";
import { formatStructures, measureStructures } from "./structures.ts";
import { describeLoad, describeMachine, formatMicroseconds, formatTable, type Row, ratio } from "./table.ts";

interface Options {
  readonly case: readonly string[];
  readonly method: readonly string[];
  readonly seconds: number;
  readonly rounds: number;
  readonly peers: Peers;
  readonly structures?: true | string;
  readonly json?: true;
  readonly source?: true;
}

/** Cases whose steps take milliseconds: those that are run where none are named. */
const QUICK = Object.keys(networks).filter((name) => networks[name].convolutions === undefined);

const command = new Command("npm run bench --")
  .description("Times training steps of natgrad, PyTorch and TensorFlow.js on the same work, batch 128.")
  .option("--case <names>", `of ${Object.keys(networks).join(", ")}`, listOf(networks), QUICK)
  .option("--method <names>", `of ${Object.keys(methods).join(", ")}`, listOf(methods), Object.keys(methods))
  .option("--seconds <number>", "length of one contender's turn", positive, 0.2)
  .option("--rounds <number>", "most turns of each contender", positive, 9)
  .addOption(new Option("--peers <which>").choices(["all", "none", "pytorch", "tfjs"]).default("all"))
  .option(
    "--structures [names]",
    "time natgrad's natural-gradient methods, or those named, beside its SGD instead",
  )
  .option("--json", "one JSON object a line on stdout")
  .option("--source", "time the source instead of dist/")
  .parse();
const options = command.opts<Options>();

const note = (line: string) => console.error(line);
const folder = mkdtempSync(join(tmpdir(), "natgrad-bench-"));
try {
  note(describeMachine());
  const load = describeLoad();
  if (load) note(load);
  const natgrad = await loadNatgrad(options.source === true);
  await (options.structures ? compareStructures(natgrad) : compareEngines(natgrad));
} finally {
  rmSync(folder, { recursive: true, force: true });
}

async function compareEngines(natgrad: Natgrad): Promise<void> {
  const rows: Row[] = [];
  const contenders = findContenders(options.peers, options.source === true, note);
  for (const caseName of options.case) {
    for (const methodName of options.method) {
      const problem = writeProblem(folder, caseName, methodName, natgrad);
      const { optimizer } = methods[methodName];
      const slow = networks[caseName].convolutions !== undefined;
      const [first, ...others] = contenders.filter(({ engine }) => takesPart(engine, optimizer, slow));
      const sgd =
        optimizer === "sgd"
          ? []
          : [ownSgd(writeProblem(folder, caseName, "sgd", natgrad), options.source === true)];
      const taking = [first, ...sgd, ...others];
      const timings = await measure(taking, problem, { ...options, warmUp: !slow, note });
      const row = { case: caseName, method: methodName, timings };
      rows.push(row);
      if (options.json) console.log(JSON.stringify(withRatios(row)));
      note(summary(row));
    }
  }
  if (options.json) return;
  const descriptions = rows.flatMap(({ timings }) => timings.map((t) => `${t.name}: ${t.description}`));
  for (const description of new Set(descriptions)) console.log(description);
  console.log(
    "Microseconds per step, least (median) of the rounds; ratios of natgrad's least to that of natgrad's SGD and to the peer's; most resident memory.",
  );
  for (const line of rows.flatMap(weighed)) console.log(line);
  console.log(formatTable(rows));
}

/** On auto unless cases are given; in two rounds unless their number is. */
async function compareStructures({ methods: registry, findMethod, ...natgrad }: Natgrad): Promise<void> {
  const natural = registry.filter(({ kind }) => kind === "natural").map(({ name }) => name);
  const names = options.structures === true ? natural : options.structures!.split(",");
  for (const name of names) findMethod(name);
  const given = (option: string) => command.getOptionValueSource(option) === "cli";
  const rounds = given("rounds") ? options.rounds : 2;
  for (const caseName of given("case") ? options.case : ["auto"]) {
    const problem = writeProblem(folder, caseName, "sgd", natgrad);
    const rows = await measureStructures(problem, names, {
      ...{ seconds: options.seconds, rounds, source: options.source === true },
      onRow(row) {
        if (options.json) console.log(JSON.stringify({ case: caseName, ...row, machine: describeMachine() }));
        note(`${caseName} ${row.method}: ${row.refusal ?? `${row.ratio!.toFixed(2)} of SGD's step`}`);
      },
    });
    if (!options.json) console.log(`${caseName}\n${formatStructures(rows)}`);
  }
}

/** `3c1f tengrad100, natgrad: 1.9 s with a refresh, 1.2 s without, weighed 1 to 99`. */
function weighed({ case: caseName, method, timings }: Row): string[] {
  const stale = methods[method].refreshEvery - 1;
  return timings.flatMap(({ name, weighed: means }) => {
    if (!means) return [];
    const [refresh, other] = [means.refresh, means.stale].map((seconds) => `${seconds.toPrecision(3)} s`);
    return [
      `${caseName} ${method}, ${name}: ${refresh} with a refresh, ${other} without, weighed 1 to ${stale}`,
    ];
  });
}

/** `weather sgd: natgrad 16.2, PyTorch, 1 thread 152 µs`. */
function summary({ case: caseName, method, timings }: Row): string {
  const parts = timings.map(({ name, minimum }) => `${name}: ${formatMicroseconds(minimum)}`);
  return `${caseName} ${method}, µs per step: ${parts.join("; ")}`;
}

/**
 * First-order methods need no LAPACK; TensorFlow.js has neither Cholesky nor an inverse, and is spared K-FAC's of order 1001. Where a step takes
 * seconds, natgrad with LAPACK and PyTorch are alone.
 */
function takesPart(
  engine: ContenderDefinition["engine"],
  optimizer: BenchmarkMethod["optimizer"],
  slow: boolean,
): boolean {
  if (slow) return engine === "natgrad" || engine === "PyTorch";
  if (engine === "natgrad without LAPACK") return optimizer === "tengrad" || optimizer === "kfac";
  return engine !== "TensorFlow.js" || optimizer !== "kfac";
}

function withRatios(row: Row) {
  return {
    ...row,
    machine: describeMachine(),
    ratios: {
      sgd: ratio(row, "natgrad", "natgrad's SGD"),
      pytorch: ratio(row, "natgrad", "PyTorch"),
      pytorchWithoutLapack: ratio(row, "natgrad without LAPACK", "PyTorch"),
      tfjs: ratio(row, "natgrad", "TensorFlow.js"),
    },
  };
}

function listOf(known: object): (text: string) => string[] {
  return (text) => {
    const names = text.split(",");
    const unknown = names.find((name) => !Object.hasOwn(known, name));
    if (unknown !== undefined) throw new InvalidArgumentError(`unknown: ${unknown}`);
    return names;
  };
}

function positive(text: string): number {
  const value = Number(text);
  if (!(value > 0)) throw new InvalidArgumentError("must be a number > 0");
  return value;
}
