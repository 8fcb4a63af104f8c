/** Tensors in a file of the safetensors format. */
import type { FileHandle } from "node:fs/promises";
import { RunError, UsageError } from "../errors.ts";
import type { NamedTensorsLike } from "../tensor.ts";
import { writeFileAtomically } from "./atomic-file.ts";
import { makeFolders } from "./folders.ts";
import { nodeFiles } from "./node-files.ts";
import { broken, decodeSafetensors, encodeSafetensors, type Safetensors } from "./safetensors.ts";

/** Most bytes asked of the system at once. */
const pieceBytes = 2 ** 30;

/**
 * Saves tensors and metadata in one indivisible step: a process killed at any moment leaves the old file or the new
 * one, never a part ({@link writeFileAtomically}). Folders that are missing are made.
 *
 * @param tensors must not change until the promise settles
 */
export async function writeSafetensors(
  path: string,
  tensors: NamedTensorsLike,
  metadata: Readonly<Record<string, string>> = {},
): Promise<void> {
  const pieces = encodeSafetensors(tensors, metadata);
  try {
    await makeFolders(nodeFiles().dirname(path));
    await writeFileAtomically(path, pieces);
  } catch (error) {
    throw error instanceof UsageError
      ? error
      : new RunError(`cannot write ${path}: ${(error as Error).message}`);
  }
}

/**
 * Reads a safetensors file, a tensor at a time.
 *
 * @throws UsageError when there is no such file
 * @throws RunError as {@link decodeSafetensors}
 */
export async function readSafetensors(path: string): Promise<Safetensors> {
  const file = await openToRead(path);
  try {
    const { size } = await file.stat();
    const read = (target: Uint8Array, position: number) => readInto(file, path, target, position);
    return await decodeSafetensors({ name: path, size, read });
  } finally {
    await file.close();
  }
}

async function openToRead(path: string): Promise<FileHandle> {
  const { open } = nodeFiles();
  try {
    return await open(path, "r");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") throw new UsageError(`no such file: ${path}`);
    throw new RunError(`cannot read ${path}: ${(error as Error).message}`);
  }
}

/** Fills `target` from `position` on, however small the pieces in which the system hands the bytes out. */
async function readInto(file: FileHandle, path: string, target: Uint8Array, position: number): Promise<void> {
  for (let filled = 0; filled < target.length; ) {
    const wanted = Math.min(target.length - filled, pieceBytes);
    const { bytesRead } = await file.read(target, filled, wanted, position + filled);
    if (bytesRead === 0) throw broken(path, "cut short while it was being read");
    filled += bytesRead;
  }
}
