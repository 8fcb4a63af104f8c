/** How many threads a model gets. */

/**
 * Below this many floating-point operations per run (about 0.15 ms on one core) a second thread gains less than a quarter and has to be
 * woken for it. Measured with chains of matrix products and tanh: 6 MFLOP 77 → 70 µs, 12 MFLOP 150 → 120 µs, 22 MFLOP
 * 248 → 180 µs, 86 MFLOP 0.93 → 0.56 ms.
 */
const PARALLEL_FLOPS = 1.5e7;

/** One thread for a small model, all of them for a large one; the same model always gets the same number. */
export function threadsFor(flops: number, threads: number): number {
  return flops < PARALLEL_FLOPS ? 1 : threads;
}

/**
 * Cores that compute independently, at least 1: two hardware threads of one core share its multipliers, so the second
 * gains nothing in matrix products.
 */
export async function physicalCores(): Promise<number> {
  if (typeof process === "undefined" || !process.versions?.node) return navigator.hardwareConcurrency || 1;
  const { availableParallelism } = await import("node:os");
  const available = availableParallelism();
  if (process.platform === "linux") return Math.min(available, await linuxCores(available));
  // Intel and AMD processors under Windows nearly always have two hardware threads per core; Arm and Apple ones have one.
  return process.platform === "win32" && process.arch === "x64" ? Math.max(1, available >> 1) : available;
}

/** Counts sets of sibling threads; `fallback` where the kernel does not tell. */
async function linuxCores(fallback: number): Promise<number> {
  const { readdir, readFile } = await import("node:fs/promises");
  const root = "/sys/devices/system/cpu";
  try {
    const processors = (await readdir(root)).filter((name) => /^cpu\d+$/.test(name));
    const siblings = await Promise.all(
      processors.map((name) => readFile(`${root}/${name}/topology/thread_siblings_list`, "utf8")),
    );
    return new Set(siblings).size || fallback;
  } catch {
    return fallback;
  }
}
