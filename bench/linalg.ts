/**
 * Median times of the host linear algebra on both paths: node --import tsx bench/linalg.ts
 *
 * Cholesky is counted as n³/3 operations, the inverse as n³, the eigendecomposition as 9 n³ (Golub & Van Loan, 4th ed.,
 * fig. 8.3.2), so that rates compare times and not instructions. "blocked" is the longest that the event loop waited
 * while the asynchronous twin worked.
 */
import { monitorEventLoopDelay } from "node:perf_hooks";
import {
  cholesky,
  choleskyAsync,
  choleskySolve,
  lapackInfo,
  setBackend,
  spdInverse,
  spdInverseAsync,
  symmetricEigen,
  symmetricEigenAsync,
} from "../src/linalg/index.ts";
import { Random } from "../src/random.ts";

interface Case {
  readonly name: string;
  readonly orders: readonly number[];
  readonly work: (n: number) => number;
  readonly run: (a: Float64Array, n: number) => unknown;
  readonly runAsync?: (a: Float64Array, n: number) => Promise<unknown>;
}

const cases: Case[] = [
  {
    name: "cholesky",
    orders: [36, 128, 512, 1024, 2048],
    work: (n) => n ** 3 / 3,
    run: (a, n) => cholesky(a.slice(), n),
    runAsync: (a, n) => choleskyAsync(a.slice(), n),
  },
  { name: "solve one", orders: [36, 128, 512, 1024], work: (n) => 2 * n ** 2, run: solver(1) },
  { name: "solve 128", orders: [36, 128, 512, 1024], work: (n) => 256 * n ** 2, run: solver(128) },
  {
    name: "inverse",
    orders: [36, 128, 512, 1024],
    work: (n) => n ** 3,
    run: spdInverse,
    runAsync: spdInverseAsync,
  },
  {
    name: "eigen",
    orders: [36, 128, 512, 1024],
    work: (n) => 9 * n ** 3,
    run: symmetricEigen,
    runAsync: symmetricEigenAsync,
  },
];

/** Solves with the factor of `a`, found once. */
function solver(columns: number): Case["run"] {
  const factors = new Map<Float64Array, Float64Array>();
  return (a, n) => {
    let factor = factors.get(a);
    if (factor === undefined) {
      factor = a.slice();
      cholesky(factor, n);
      factors.set(a, factor);
    }
    return choleskySolve(factor, n, new Float64Array(n * columns).fill(1), columns);
  };
}

/** Symmetric, diagonally dominant. */
function matrix(n: number): Float64Array {
  const random = new Random(n);
  const a = new Float64Array(n * n);
  for (let i = 0; i < n; i++) {
    for (let j = 0; j < i; j++) a[i * n + j] = a[j * n + i] = random.uniform() - 0.5;
    a[i * n + i] = n;
  }
  return a;
}

/** Median of at least five runs, at most about a second of them, after as long a warm-up as a tenth. */
function median(run: () => unknown): number {
  const times: number[] = [];
  const start = performance.now();
  while (performance.now() - start < 100) run();
  const measured = performance.now();
  while (times.length < 5 || (performance.now() - measured < 800 && times.length < 5000)) {
    const before = performance.now();
    run();
    times.push(performance.now() - before);
  }
  return times.sort((a, b) => a - b)[times.length >> 1];
}

/** The longest wait of the event loop during `run`, in milliseconds. */
async function blocked(run: () => Promise<unknown>): Promise<number> {
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  await new Promise((resolve) => setTimeout(resolve, 20));
  delay.reset();
  await run();
  await new Promise((resolve) => setTimeout(resolve, 5));
  delay.disable();
  return delay.max / 1e6;
}

const { library, version, reason } = lapackInfo();
console.log(`LAPACK: ${library === undefined ? reason : `${library} ${version ?? ""}`}`);
console.log("path      operation     n        ms   GFLOP/s  blocked ms");
for (const backend of library === undefined ? (["embedded"] as const) : (["embedded", "lapack"] as const)) {
  setBackend(backend);
  for (const { name, orders, work, run, runAsync } of cases) {
    for (const n of orders) {
      const a = matrix(n);
      const time = median(() => run(a, n));
      const rate = work(n) / time / 1e6;
      const wait = runAsync && n >= 512 ? (await blocked(() => runAsync(a, n))).toFixed(1) : "";
      console.log(
        `${backend.padEnd(9)} ${name.padEnd(10)} ${String(n).padStart(4)} ${time.toFixed(4).padStart(9)} ` +
          `${rate.toFixed(2).padStart(9)} ${wait.padStart(11)}`,
      );
    }
  }
}
