/** How many threads a model gets. */

/**
 * Below this many floating-point operations per run (about 0.15 ms on one core) a second thread gains less than a quarter and has to be
 * woken for it. Measured with chains of matrix products and tanh: 6 MFLOP 77 → 70 µs, 12 MFLOP 150 → 120 µs, 22 MFLOP
 * 248 → 180 µs, 86 MFLOP 0.93 → 0.56 ms.
 */
const PARALLEL_FLOPS = 1.5e7;

/** From here on (several milliseconds) a run is long enough for its threads to wait for the next one awake. */
const LONG_RUN_FLOPS = 2e8;

/**
 * How many microseconds a thread without work waits for more before it sleeps, as the runtime's options want it. By default it
 * spins for 35 ms: that takes cores from the host's linear algebra between two runs, and makes creating and releasing a session
 * cost 5 ms with two threads and 50 ms with eight. With 200 µs a session costs 1 to 2 ms and threads stay awake between the
 * operations of one step; without any spinning runs are up to three times slower. A large model's threads wait 3 ms, so that
 * they are awake when the next step begins: its first matrix product then takes 1.1 ms instead of 2.1 (784-1000-1000-10).
 */
export function spinMicroseconds(flops: number): string {
  return flops < LONG_RUN_FLOPS ? "200" : "3000";
}

/** One thread for a small model, all of them for a large one; the same model always gets the same number. */
export function threadsFor(flops: number, threads: number): number {
  return flops < PARALLEL_FLOPS ? 1 : threads;
}

/**
 * Cores that compute independently, at least 1: two hardware threads of one core share its multipliers, so the second
 * gains nothing in matrix products.
 */
export function physicalCores(): number {
  if (!isNode()) return navigator.hardwareConcurrency || 1;
  const available = process.getBuiltinModule("node:os").availableParallelism();
  if (process.platform === "linux") return Math.min(available, linuxCores(available));
  // Intel and AMD processors under Windows nearly always have two hardware threads per core; Arm and Apple ones have one.
  return process.platform === "win32" && process.arch === "x64" ? Math.max(1, available >> 1) : available;
}

/** Counts sets of sibling threads; `fallback` where the kernel does not tell. */
function linuxCores(fallback: number): number {
  const { readdirSync, readFileSync } = process.getBuiltinModule("node:fs");
  const root = "/sys/devices/system/cpu";
  try {
    const processors = readdirSync(root).filter((name) => /^cpu\d+$/.test(name));
    const siblings = processors.map((name) =>
      readFileSync(`${root}/${name}/topology/thread_siblings_list`, "utf8"),
    );
    return new Set(siblings).size || fallback;
  } catch {
    return fallback;
  }
}

/** Whether this is Node with what is needed here: `process.getBuiltinModule` came with 20.16. */
export function isNode(): boolean {
  return typeof process !== "undefined" && process.getBuiltinModule !== undefined;
}
