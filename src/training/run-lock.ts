/** One process at a time works in a run folder: its file `running` says which. */
import { open, readFile, rm } from "node:fs/promises";
import { uptime } from "node:os";
import { join } from "node:path";
import { RunError, UsageError } from "../errors.ts";
import { isRunning } from "./atomic-file.ts";
import { runFiles } from "./run-folder.ts";

/**
 * Does work in a run folder that no other process is working in. The lock of a process that was killed, or of one from before
 * the machine was started, does not hold.
 *
 * @throws UsageError with the process that has the folder
 */
export async function withRunLock<T>(folder: string, work: () => Promise<T>): Promise<T> {
  const path = join(folder, runFiles.lock);
  while (!(await take(path))) {
    const holder = await readHolder(path);
    if (holder !== undefined && isRunning(holder.process) && holder.since > Date.now() - 1000 * uptime()) {
      throw new UsageError(
        `${folder} is being trained by process ${holder.process} (wait for it, or stop it with: kill ${holder.process})`,
      );
    }
    await rm(path, { force: true });
  }
  try {
    return await work();
  } finally {
    await rm(path).catch(() => {}); // if it stays, it does not hold for long: this process ends
  }
}

interface Holder {
  readonly process: number;
  /** Milliseconds since 1970. */
  readonly since: number;
}

/** False when somebody has it. */
async function take(path: string): Promise<boolean> {
  const holder: Holder = { process: process.pid, since: Date.now() };
  try {
    const file = await open(path, "wx");
    await file.writeFile(`${JSON.stringify(holder)}\n`).finally(() => file.close());
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw new RunError(`cannot write ${path}: ${(error as Error).message}`);
  }
}

/** `undefined` when it is gone by now, or damaged. */
async function readHolder(path: string): Promise<Holder | undefined> {
  try {
    const { process, since } = JSON.parse(await readFile(path, "utf8")) as Partial<Holder>;
    return Number.isInteger(process) && Number.isFinite(since)
      ? { process: process!, since: since! }
      : undefined;
  } catch {
    return undefined;
  }
}
