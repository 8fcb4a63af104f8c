/** Runs the command as a user would, in a folder of its own. */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdtempSync } from "node:fs";
import { readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { after } from "node:test";
import { fileURLToPath, pathToFileURL } from "node:url";
import { Random } from "../../src/random.ts";
import type { NamedTensors } from "../../src/tensor.ts";
import type { EpochRecord } from "../../src/training/run-folder.ts";
import { readSafetensors } from "../../src/training/safetensors-file.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
/** The loader by its address: the command runs in another folder. */
const fromSource = [
  ...["--import", pathToFileURL(join(root, "node_modules/tsx/dist/loader.mjs")).href],
  join(root, "src/cli/main.ts"),
];
/** What `npm test` has just built, or the source where a part of the tests is run from it. */
const main = process.env.NATGRAD_TEST_BUILT ? [join(root, "dist/cli/main.js")] : fromSource;
const sharedData = resolve(root, "../shared/data");

/** Why a test of real data is skipped, or false. */
export const withoutData = existsSync(sharedData) ? false : "../shared/data is not here";

export interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Running {
  readonly child: ChildProcess;
  readonly ended: Promise<Ended>;
  /** Resolves once stdout or stderr, together, hold the text. */
  sees(text: string): Promise<void>;
}

/** Makes a temporary folder for the suite that calls it, which is removed after the suite. */
export function scratchFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "natgrad-cli-"));
  after(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** Starts `natgrad …args` in a folder. */
export function start(folder: string, args: readonly string[], environment: NodeJS.ProcessEnv = {}): Running {
  const env = { ...process.env, NO_COLOR: "1", NATGRAD_DATA: sharedData, NODE_OPTIONS: "", ...environment };
  const child = spawn(process.execPath, [...main, ...args], { cwd: folder, env });
  let stdout = "";
  let stderr = "";
  const watchers = new Set<() => void>();
  const hear = () => {
    for (const watcher of watchers) watcher();
  };
  child.stdout.setEncoding("utf8").on("data", (text) => {
    stdout += text;
    hear();
  });
  child.stderr.setEncoding("utf8").on("data", (text) => {
    stderr += text;
    hear();
  });
  const ended = new Promise<Ended>((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code, signal) => resolve({ code, signal, stdout, stderr }));
  });
  const sees = (text: string) =>
    new Promise<void>((resolve, reject) => {
      const watch = () => {
        if (!stdout.includes(text) && !stderr.includes(text)) return;
        watchers.delete(watch);
        resolve();
      };
      watchers.add(watch);
      watch();
      void ended.then(() => reject(new Error(`ended without ${text}:\n${stdout}\n${stderr}`)));
    });
  return { child, ended, sees };
}

/** Runs `natgrad …args` to its end. */
export function natgrad(
  folder: string,
  args: readonly string[],
  environment?: NodeJS.ProcessEnv,
): Promise<Ended> {
  return start(folder, args, environment).ended;
}

/** The objects on stdout with `--json`. */
export function events({ stdout }: Ended): Record<string, unknown>[] {
  return stdout
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line));
}

/** Tensors of a run's checkpoint. */
export async function checkpoint(folder: string, run: string): Promise<NamedTensors> {
  return (await readSafetensors(join(folder, "runs", run, "checkpoint.safetensors"))).tensors;
}

/** Records of a run, without the times, which differ from run to run. */
export async function metrics(folder: string, run: string): Promise<Omit<EpochRecord, "seconds">[]> {
  const text = await readFile(join(folder, "runs", run, "metrics.jsonl"), "utf8");
  return text
    .trimEnd()
    .split("\n")
    .map((line) => {
      const { seconds: _, ...record } = JSON.parse(line) as EpochRecord;
      return record;
    });
}

/** Writes a CSV of `rows` flats: size, age, quarter and price. */
export async function writeFlats(folder: string, rows = 200): Promise<string> {
  const random = new Random(7);
  const lines = Array.from({ length: rows }, () => {
    const size = 20 + 100 * random.uniform();
    const age = Math.floor(100 * random.uniform());
    const quarter = ["north", "south", "west"][random.integer(3)];
    const price = 3000 * size - 500 * age + (quarter === "west" ? 40_000 : 0) + 5000 * random.normal();
    return `${size.toFixed(1)},${age},${quarter},${price.toFixed(0)}`;
  });
  await writeFile(join(folder, "flats.csv"), `size,age,quarter,price\n${lines.join("\n")}\n`);
  return "flats.csv";
}
