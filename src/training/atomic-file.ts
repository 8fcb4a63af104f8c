/** Files that are either the old one or the new one, whole, whenever the process or the machine stops. */
import { nodeFiles } from "./node-files.ts";

/**
 * Writes a file in one indivisible step: a temporary file beside it is written, flushed to the disk and renamed over
 * it, then the folder is flushed. A failure removes the temporary and leaves the old file as it was.
 *
 * The temporary of a process that was killed is never read by anybody; the next write of the same file removes it.
 *
 * @param contents text, or pieces of bytes that must not change until the promise settles
 */
export async function writeFileAtomically(
  path: string,
  contents: string | Iterable<Uint8Array>,
): Promise<void> {
  const { basename, dirname, join, rename, rm } = nodeFiles();
  const folder = dirname(path);
  const prefix = `.${basename(path)}.`;
  const temporary = join(folder, `${prefix}${process.pid}-${crypto.randomUUID()}.tmp`);
  try {
    await writeAndFlush(temporary, contents);
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  await flushFolder(folder);
  await removeStaleTemporaries(folder, prefix);
}

/**
 * Gives a file a second name, in place of the file that had it. Files of {@link writeFileAtomically} are replaced and never
 * changed, so what is kept stays as it is: a link to the same bytes where the file system has links, a copy elsewhere.
 */
export async function keepFileAs(path: string, name: string): Promise<void> {
  const { basename, copyFile, dirname, join, link, rename, rm } = nodeFiles();
  const folder = dirname(name);
  const temporary = join(folder, `.${basename(name)}.${process.pid}-${crypto.randomUUID()}.tmp`);
  try {
    await link(path, temporary).catch(() => copyFile(path, temporary));
    await rename(temporary, name);
  } finally {
    await rm(temporary, { force: true }); // renaming one link of a file over another does nothing
  }
  await flushFolder(folder);
}

async function writeAndFlush(path: string, contents: string | Iterable<Uint8Array>): Promise<void> {
  const file = await nodeFiles().open(path, "wx");
  try {
    const pieces = typeof contents === "string" ? [contents] : contents;
    for (const piece of pieces) await file.writeFile(piece); // from where the last one ended
    await file.sync();
  } finally {
    await file.close();
  }
}

/** Makes the rename itself durable. Windows has no such call for folders and journals renames on its own. */
async function flushFolder(folder: string): Promise<void> {
  if (process.platform === "win32") return;
  const handle = await nodeFiles().open(folder, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

async function removeStaleTemporaries(folder: string, prefix: string): Promise<void> {
  const { join, readdir, rm } = nodeFiles();
  for (const name of await readdir(folder)) {
    if (!name.startsWith(prefix) || !name.endsWith(".tmp")) continue;
    const processId = Number.parseInt(name.slice(prefix.length), 10);
    if (!isRunning(processId)) await rm(join(folder, name), { force: true });
  }
}

/** Whether there is a process of this number. */
export function isRunning(processId: number): boolean {
  try {
    process.kill(processId, 0); // signal 0 only asks
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== "ESRCH";
  }
}
