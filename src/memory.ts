/** How much memory the machine has left for what is about to be built, and refusals of what would take more. */
import { MemoryError } from "./errors.ts";

/** Where the machine cannot be asked: in browsers, whose WebAssembly has no more. */
const UNKNOWN_MEMORY = 4 * 2 ** 30;

/**
 * The part of the free memory that a step may take. Estimates leave out programs, data and what kernels take inside; those of the papers' networks were mostly
 * within a seventh of what was taken, and a third too low at worst, for EKFAC (`npm run bench:images`).
 */
const SHARE = 2 / 3;

/** Bytes that a step may take where nobody sets a limit: two thirds of what the machine has left. */
export function availableMemory(): number {
  const { process } = globalThis as { process?: { availableMemory?(): number } };
  const available = process?.availableMemory?.();
  return available ? Math.floor(SHARE * available) : UNKNOWN_MEMORY;
}

/**
 * @param what is built, without an article
 * @param remedy what to use in its place
 * @throws MemoryError with the estimate when it would take more than the limit, in bytes
 */
export function requireMemory(what: string, bytes: number, limit: number, remedy: string): void {
  if (bytes <= limit) return;
  throw new MemoryError(
    `the ${what} needs ${formatBytes(bytes)}, the limit is ${formatBytes(limit)} (use ${remedy})`,
  );
}

/** `512 B`, `4.0 KiB`, `16.2 GiB`. */
export function formatBytes(bytes: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  const exponent = Math.min(units.length - 1, Math.floor(Math.log2(Math.max(1, bytes)) / 10));
  return `${exponent === 0 ? Math.round(bytes) : (bytes / 1024 ** exponent).toFixed(1)} ${units[exponent]}`;
}
