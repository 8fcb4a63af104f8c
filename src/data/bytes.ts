/** The bytes of a file, packed or not. */
import { readFile } from "node:fs/promises";
import { promisify } from "node:util";
import { gunzip } from "node:zlib";
import { UsageError } from "../errors.ts";

/**
 * The bytes of a file, unpacked when it is gzip (recognized by its first bytes, not by its name).
 *
 * @throws UsageError when there is no such file, it cannot be read, or its gzip data is cut off or damaged
 */
export async function readBytes(path: string): Promise<Buffer> {
  const bytes = await readFile(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT" || error.code === "ENOTDIR") throw new UsageError(`no such file: ${path}`);
    if (error.code === "EISDIR") throw new UsageError(`${path} is a directory (name a file in it)`);
    throw new UsageError(`cannot read ${path}: ${error.message}`);
  });
  return bytes[0] === 0x1f && bytes[1] === 0x8b ? unpack(bytes, path) : bytes;
}

async function unpack(bytes: Buffer, path: string): Promise<Buffer> {
  return promisify(gunzip)(bytes, { chunkSize: 1 << 20 }).catch((error: NodeJS.ErrnoException) => {
    const how = error.code === "Z_BUF_ERROR" ? "is cut off" : `is damaged (${error.message})`;
    throw new UsageError(`${path}: the gzip file ${how}; fetch or copy it again`);
  });
}
