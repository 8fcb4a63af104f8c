/**
 * A run on disk: `runs/<name>/` with
 *
 *     config.json              what was asked for
 *     encoding.json            how a table's columns became numbers (`../data/encoding.ts`); none for images
 *     metrics.jsonl            one {@link EpochRecord} a line, appended as training goes on
 *     checkpoint.safetensors   the model and the optimizer (`safetensors.ts`)
 *     best.safetensors         the same of the epoch with the least validation loss
 *     running                  the process that works on it, while one does (`run-lock.ts`)
 *     report.html              the report (`../report`)
 */
import { open, readFile } from "node:fs/promises";
import { join } from "node:path";
import type { CurvatureRow } from "../curvature/report.ts";
import { ENCODING_FORMAT, type TableEncoding } from "../data/encoding.ts";
import { RunError, requireOption, UsageError } from "../errors.ts";
import { writeFileAtomically } from "./atomic-file.ts";
import type { Classification } from "./classification.ts";
import { makeFolder, makeFolders } from "./folders.ts";

/** One line of `metrics.jsonl`. */
export interface EpochRecord {
  /** From 1; 0 is the model before training, where it was measured. */
  epoch: number;
  /** Training steps taken so far. */
  step: number;
  /** Seconds of training so far; compilation, evaluation, checkpoints and reports are not counted. */
  seconds: number;
  trainLoss: number;
  validationLoss?: number;
  /** On the validation split: accuracy, rmse, ... */
  metric?: { name: string; value: number };
  learningRate: number;
  damping?: number;
  stepNorm?: number;
  /** Rejected and rolled back since the record before this one. */
  rejectedSteps: number;
  notices: string[];
}

export interface RunRecord {
  name: string;
  optimizer: string;
  options: Record<string, unknown>;
  epochs: EpochRecord[];
  curvature: CurvatureRow[];
  /** Estimated bytes of a step at its peak, curvature and all. */
  peakBytes?: number;
  /** How it ended, in words. */
  status: string;
  /** After early stopping: the epoch that the model went back to. */
  restoredEpoch?: number;
  parameterCount: number;
}

/** The record of the model that a run ended with; none when nothing was measured. */
export function finalRecord({
  epochs,
  restoredEpoch,
}: Pick<RunRecord, "epochs" | "restoredEpoch">): EpochRecord | undefined {
  return epochs.find(({ epoch }) => epoch === restoredEpoch) ?? epochs.at(-1);
}

/** What a report says about a run or a comparison besides the runs themselves. */
export interface ReportContext {
  title: string;
  /** The exact command that does it all again. */
  command: string;
  dataset: { name: string; rows: number; features: number; task: string; notices: string[] };
  model: string;
  environment: string[];
  /** ISO 8601. */
  createdAt: string;
  /** Of the validation rows, by the model that a single run ended with. */
  classification?: Classification;
  tuning?: {
    grid: Record<string, unknown[]>;
    trials: {
      optimizer: string;
      options: Record<string, unknown>;
      validationLoss: number;
      epochs: number;
      diverged: boolean;
    }[];
  };
}

/** The names of the files in a run folder. */
export const runFiles = {
  config: "config.json",
  encoding: "encoding.json",
  metrics: "metrics.jsonl",
  checkpoint: "checkpoint.safetensors",
  best: "best.safetensors",
  lock: "running",
  report: "report.html",
} as const;

/**
 * Makes a new folder for a run, never an existing one: `base/name`, or `base/name-2`, `base/name-3`, … when taken.
 *
 * @returns its path
 * @throws UsageError when `name` cannot be the name of a folder on every system
 */
export async function createRunFolder(base: string, name: string): Promise<string> {
  requireOption(
    isFolderName(name),
    "run name",
    name,
    'a folder name of up to 100 characters, without / \\ : * ? " < > |',
  );
  try {
    await makeFolders(base);
    for (let attempt = 1; ; attempt++) {
      const folder = join(base, attempt === 1 ? name : `${name}-${attempt}`);
      if (await makeFolder(folder)) return folder;
    }
  } catch (error) {
    throw new RunError(`cannot make a run folder in ${base}: ${(error as Error).message}`);
  }
}

/** Saves what was asked for, so that the run can be resumed and reported on. */
export async function writeConfig(folder: string, config: Readonly<Record<string, unknown>>): Promise<void> {
  await writeFileAtomically(join(folder, runFiles.config), `${JSON.stringify(config, null, 2)}\n`);
}

/**
 * @throws UsageError when the folder holds no run
 * @throws RunError when its `config.json` is damaged
 */
export async function readConfig(folder: string): Promise<Record<string, unknown>> {
  const path = join(folder, runFiles.config);
  const text = await readText(path);
  if (text === undefined) throw new UsageError(`no run in ${folder} (there is no ${runFiles.config})`);
  const config = parseObject(text);
  if (config === undefined) throw new RunError(`cannot read ${path}: not a JSON object`);
  return config;
}

/** Saves how the data were encoded, so that the model can be applied to other rows; nothing for images. */
export async function writeEncoding(folder: string, encoding: TableEncoding | undefined): Promise<void> {
  if (!encoding) return;
  await writeFileAtomically(join(folder, runFiles.encoding), `${JSON.stringify(encoding, null, 2)}\n`);
}

/**
 * How the data of a run were encoded; nothing when its folder does not say.
 *
 * @throws RunError when the file is damaged
 */
export async function readEncoding(folder: string): Promise<TableEncoding | undefined> {
  const path = join(folder, runFiles.encoding);
  const text = await readText(path);
  if (text === undefined) return undefined;
  const encoding = parseObject(text);
  if (encoding?.format !== ENCODING_FORMAT || !Array.isArray(encoding.inputs) || !encoding.task) {
    throw new RunError(`cannot read ${path}: not an encoding (its format is not "${ENCODING_FORMAT}")`);
  }
  return encoding as unknown as TableEncoding;
}

/** `metrics.jsonl`, open for appending. */
export interface MetricsLog {
  /** Hands the whole line to the system before it returns: it outlives the process, however that ends. */
  append(record: EpochRecord): Promise<void>;
  close(): Promise<void>;
}

/**
 * Opens `metrics.jsonl` for appending; it is made when absent. To go on with a run, call {@link truncateMetrics}
 * first: it also mends a line that a killed process left unfinished.
 */
export async function openMetrics(folder: string): Promise<MetricsLog> {
  const file = await open(join(folder, runFiles.metrics), "a");
  return {
    append: (record) => file.writeFile(encodeRecord(record)),
    close: () => file.close(),
  };
}

export interface Metrics {
  records: EpochRecord[];
  /** Set when the last line is unfinished and was left out: what to tell the user. */
  notice?: string;
}

/**
 * Reads `metrics.jsonl`; none at all counts as empty.
 *
 * @throws RunError `runs/a/metrics.jsonl:3: not an epoch record` for any damage but an unfinished last line
 */
export async function readMetrics(folder: string): Promise<Metrics> {
  const path = join(folder, runFiles.metrics);
  const lines = ((await readText(path)) ?? "").split("\n");
  if (lines.at(-1) === "") lines.pop();
  const records: EpochRecord[] = [];
  for (const [index, line] of lines.entries()) {
    const record = decodeRecord(line);
    if (record !== undefined) records.push(record);
    else if (index === lines.length - 1) {
      return { records, notice: `${path}: the last line is unfinished (a killed process?) and was left out` };
    } else throw new RunError(`${path}:${index + 1}: not an epoch record`);
  }
  return { records };
}

/**
 * Drops the records after `epoch`, the one that the checkpoint holds, so that a resumed run writes them once.
 *
 * @returns the records kept
 */
export async function truncateMetrics(folder: string, epoch: number): Promise<EpochRecord[]> {
  const kept = (await readMetrics(folder)).records.filter((record) => record.epoch <= epoch);
  await writeFileAtomically(join(folder, runFiles.metrics), kept.map(encodeRecord).join(""));
  return kept;
}

/** Saves the report beside the run and returns its path. */
export async function writeReport(folder: string, html: string): Promise<string> {
  const path = join(folder, runFiles.report);
  await writeFileAtomically(path, html);
  return path;
}

/** The fields that may hold NaN or an infinity. */
const measured = new Set(["trainLoss", "validationLoss", "value", "learningRate", "damping", "stepNorm"]);

/** JSON has no NaN and no infinities, and a diverged run has both: they are written as texts. */
function encodeRecord(record: EpochRecord): string {
  const nonFinite = (_key: string, value: unknown) =>
    typeof value === "number" && !Number.isFinite(value) ? String(value) : value;
  return `${JSON.stringify(record, nonFinite)}\n`;
}

function decodeRecord(line: string): EpochRecord | undefined {
  const fields = parseObject(line, (key, value) => (measured.has(key) ? toNumber(value) : value));
  if (fields === undefined) return undefined;
  const { epoch, step, seconds, trainLoss, learningRate, rejectedSteps, notices } = fields;
  const numbers = [epoch, step, seconds, trainLoss, learningRate, rejectedSteps];
  const whole = numbers.every((value) => typeof value === "number") && Array.isArray(notices);
  return whole ? (fields as unknown as EpochRecord) : undefined;
}

function toNumber(value: unknown): unknown {
  return value === "NaN" || value === "Infinity" || value === "-Infinity" ? Number(value) : value;
}

function parseObject(
  text: string,
  reviver?: (key: string, value: unknown) => unknown,
): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text, reviver);
    return typeof value === "object" && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : undefined;
  } catch {
    return undefined;
  }
}

/** The text of a file, `undefined` when there is none. */
async function readText(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw new RunError(`cannot read ${path}: ${(error as Error).message}`);
  }
}

/** True for what Linux, macOS and Windows all take, hidden folders left out. */
function isFolderName(name: string): boolean {
  return (
    name.length <= 100 && /^[^\p{Cc}\s./\\:*?"<>|]([^\p{Cc}/\\:*?"<>|]*[^\p{Cc}\s./\\:*?"<>|])?$/u.test(name)
  );
}
