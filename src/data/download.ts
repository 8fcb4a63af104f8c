/** Downloads that are checked and leave either the whole file or nothing. */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdir, open, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { PassThrough, type Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createGunzip } from "node:zlib";
import { RunError } from "../errors.ts";
import type { DataFile, FetchOptions } from "./definition.ts";

/**
 * Fetches a file into `target`. It is written beside it under a temporary name, checked, and only then renamed.
 *
 * @throws RunError in one line that says what went wrong; whatever was at `target` before is left as it was
 */
export async function download(file: DataFile, target: string, options: FetchOptions = {}): Promise<void> {
  const { onProgress, signal } = options;
  const temporary = `${target}.${process.pid}.part`;
  try {
    await mkdir(dirname(target), { recursive: true });
    const response = await fetch(file.url!, { signal });
    if (!response.ok || !response.body) {
      throw new RunError(`the site answered ${response.status} ${response.statusText}`.trimEnd());
    }
    const length = Number(response.headers.get("content-length"));
    const total = length > 0 && !response.headers.has("content-encoding") ? length : undefined;
    await write(temporary, response.body, (received) => onProgress?.({ file: file.name, received, total }));
    if (!(await matches(temporary, file))) {
      throw new RunError("what arrived is not the known file (its sha256 differs)");
    }
    await rename(temporary, target);
  } catch (error) {
    await rm(temporary, { force: true });
    throw new RunError(`cannot download ${file.url}: ${reasonOf(error)}`, { cause: error });
  }
}

/** Writes the stream and sees it safely on the disk. */
async function write(
  path: string,
  body: AsyncIterable<Uint8Array>,
  onReceived: (bytes: number) => void,
): Promise<void> {
  const handle = await open(path, "w");
  try {
    let received = 0;
    for await (const chunk of body) {
      await handle.writeFile(chunk);
      received += chunk.length;
      onReceived(received);
    }
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Whether the file on the disk is the known one, as it is or unpacked. */
export async function matches(path: string, { sha256 }: DataFile): Promise<boolean> {
  if (sha256.includes(await digest(path))) return true;
  return sha256.includes(await digest(path, createGunzip()).catch(() => "not gzip"));
}

async function digest(path: string, unpack: Transform = new PassThrough()): Promise<string> {
  const hash = createHash("sha256");
  await pipeline(createReadStream(path), unpack, async (chunks) => {
    for await (const chunk of chunks) hash.update(chunk);
  });
  return hash.digest("hex");
}

/** undici hides the reason (`ECONNREFUSED`, `ENOTFOUND`) in the cause of a bare "fetch failed". */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (error.name === "AbortError") return "stopped";
  const cause = error.cause instanceof Error ? error.cause : undefined;
  return cause?.message || (cause as NodeJS.ErrnoException | undefined)?.code || error.message;
}
