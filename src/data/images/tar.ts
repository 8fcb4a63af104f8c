/**
 * Files out of a tar archive in memory (POSIX ustar): blocks of 512 bytes, a header and then the file's own, filled up. Long names,
 * links and sparse files are left aside: the registry's few archives have none, and no dependency is needed for the rest.
 */
import { UsageError } from "../../errors.ts";

const BLOCK = 512;

/**
 * The regular files of an archive by the last part of their path; they share its memory.
 *
 * @param where the archive comes from, for the message
 * @throws UsageError when it is no tar archive, or is cut off
 */
export function tarMembers(archive: Buffer, where: string): Map<string, Buffer> {
  const members = new Map<string, Buffer>();
  for (let at = 0; archive.length >= at + BLOCK && archive[at] !== 0; ) {
    const header = archive.subarray(at, at + BLOCK);
    if (!hasChecksum(header)) throw new UsageError(`${where} is not a tar archive, or is damaged`);
    const size = octal(header, 124, 12);
    const start = at + BLOCK;
    if (start + size > archive.length) throw new UsageError(`${where} is cut off; fetch or copy it again`);
    const type = String.fromCharCode(header[156]);
    const name = text(header, 0, 100).split("/").at(-1)!;
    if (type === "0" || type === "\0") members.set(name, archive.subarray(start, start + size));
    at = start + BLOCK * Math.ceil(size / BLOCK);
  }
  return members;
}

/** The header's own sum is that of its bytes, those of the sum itself counted as spaces. */
function hasChecksum(header: Buffer): boolean {
  let sum = 0;
  for (const [at, byte] of header.entries()) sum += at >= 148 && at < 156 ? 32 : byte;
  return sum === octal(header, 148, 8);
}

function octal(header: Buffer, from: number, length: number): number {
  return Number.parseInt(text(header, from, length).trim(), 8);
}

function text(header: Buffer, from: number, length: number): string {
  return header.toString("latin1", from, from + length).replace(/\0.*$/s, "");
}
