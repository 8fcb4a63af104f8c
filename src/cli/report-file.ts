/** The report of a run or a comparison, and the command that makes it again. */
import { cpus } from "node:os";
import { type DataSplit, inputCount } from "../data/index.ts";
import { lapackInfo } from "../linalg/index.ts";
import { openRuntime } from "../runtime/runtime.ts";
import { type ReportContext, type RunRecord, writeReport } from "../training/run-folder.ts";
import { evaluationNotices } from "./run.ts";
import { natgradVersion } from "./version.ts";

export interface ReportParts {
  readonly folder: string;
  readonly title: string;
  readonly commands: readonly string[];
  readonly split: DataSplit;
  readonly model: string;
  readonly environment: string[];
  readonly tuning?: ReportContext["tuning"];
  readonly classification?: ReportContext["classification"];
}

/** Writes `report.html` and returns its path. */
export async function saveReport(parts: ReportParts, runs: readonly RunRecord[]): Promise<string> {
  const { folder, title, commands, split, model, environment, tuning, classification } = parts;
  const { renderReport } = await import("../report/report.ts"); // half a second: only who needs it waits
  const { training, validation, notices } = split;
  const rows = training.inputs.shape[0] + validation.inputs.shape[0];
  const features = inputCount(training);
  const all = [...notices, ...evaluationNotices(training)];
  const context: ReportContext = {
    ...{ title, command: commands.join("\n"), model, environment, tuning, classification },
    dataset: { name: training.name, rows, features, task: training.task.kind, notices: all },
    createdAt: new Date().toISOString(),
  };
  return writeReport(folder, renderReport(context, runs));
}

/** What computed, in lines for people: a trainer, or a runtime. */
export function describeEnvironment(engine: { describe(): string[] }): string[] {
  const { library, version, reason } = lapackInfo();
  return [
    `natgrad ${natgradVersion()}, Node ${process.versions.node}, ${process.platform} ${process.arch}`,
    ...engine.describe(),
    library ? `LAPACK: ${version ?? library}` : `LAPACK: none (${reason})`,
    `${cpus()[0]?.model.trim() ?? "unknown processor"}`,
  ];
}

/** The same where no trainer is at hand. */
export async function environmentLines(): Promise<string[]> {
  const runtime = await openRuntime();
  try {
    return describeEnvironment(runtime);
  } finally {
    runtime.dispose();
  }
}

/** The command as it was typed, quoted for a shell, with the seed where it was left out. */
export function reproducingCommand(args: readonly string[], seed: number): string {
  const seeded = args.some((arg) => arg === "--seed" || arg.startsWith("--seed="));
  const all = seeded ? args : [...args, "--seed", String(seed)];
  return ["natgrad", ...all.map(quote)].join(" ");
}

function quote(text: string): string {
  return /^[\w./:=,@%+-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}
