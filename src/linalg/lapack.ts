/**
 * LAPACK, when the system has one: OpenBLAS, Intel's MKL, Apple's Accelerate or a plain liblapack, called through `koffi`.
 *
 * `NATGRAD_LAPACK=off` turns the search off, `NATGRAD_LAPACK=<path>` names the library. Without Node, koffi or a library
 * the embedded kernels do the work; {@link lapackInfo} says which and why.
 *
 * LAPACK is column-major: our lower triangular L, row-major, is its upper triangular U = Lᵀ, and A = L Lᵀ its A = Uᵀ U.
 * Fortran routines take addresses only, and after the declared arguments the length of every character argument.
 */
import { keepLoaded, loadKoffi } from "../foreign.ts";
import { loadBlas } from "./openblas.ts";
import type { NativeCall } from "./steps.ts";

/** What `natgrad doctor` prints. */
export interface LapackInfo {
  /** Name or path of the library in use. */
  readonly library?: string;
  /** What the library says of itself, where it does. */
  readonly version?: string;
  /** Why none is in use, and what to do about it. */
  readonly reason?: string;
}

/** The routines this folder calls, each returned as a call still to be made. */
export interface Lapack {
  readonly library: string;
  readonly version?: string;
  /** A = Uᵀ U of the upper triangle, in place; info > 0: the order of the minor that is not positive. */
  dpotrf(a: Float64Array, n: number): LapackCall;
  /** A⁻¹, upper triangle, from U, in place. */
  dpotri(a: Float64Array, n: number): LapackCall;
  /** U⁻¹ in place. */
  dtrtri(a: Float64Array, n: number): LapackCall;
  /** B := B U⁻¹ (or B U⁻ᵀ where `transposed`) for B column-major `rows` × n. */
  dtrsm(u: Float64Array, n: number, b: Float64Array, rows: number, transposed: boolean): LapackCall;
  /** A P = L U of A row-major, in place, U with the unit diagonal; pivots are 1-based. */
  dgetrf(a: Float64Array, n: number, pivots: Int32Array): LapackCall;
  /** Solves A x = b for `count` right-hand sides one after another, with dgetrf's factors of A row-major. */
  dgetrs(a: Float64Array, n: number, pivots: Int32Array, b: Float64Array, count: number): LapackCall;
  /** Eigenvalues, ascending, and eigenvectors as columns in place of A; `work` of {@link dsyevdWork} numbers at least. */
  dsyevd(a: Float64Array, n: number, values: Float64Array, work: Float64Array): LapackCall;
  /** A = QR of A column-major, in place: R in the upper triangle, Q's reflectors below it and in `scales` (n). */
  dgeqrf(a: Float64Array, n: number, scales: Float64Array): LapackCall;
  /** Q in place of dgeqrf's reflectors. */
  dorgqr(a: Float64Array, n: number, scales: Float64Array): LapackCall;
}

/** Numbers of work space that dsyevd takes for a matrix of order n. */
export function dsyevdWork(n: number): number {
  return 1 + 6 * n + 2 * n * n;
}

export interface LapackCall extends NativeCall {
  /** LAPACK's `info`, once the call has been made: 0 is success. */
  readonly info: number;
}

interface NativeFunction {
  (...values: unknown[]): unknown;
  async(...values: unknown[]): void;
}

/** A native library, as koffi opens it. */
export interface Library {
  func(prototype: string): NativeFunction;
  unload(): void;
}

type Discovery = { readonly lapack: Lapack } | { readonly reason: string; readonly misconfigured: boolean };

let discovery: Discovery | undefined;

/**
 * The system's LAPACK, looked for once.
 *
 * @throws when `NATGRAD_LAPACK` names a library that cannot be used
 */
export function systemLapack(): Lapack | undefined {
  discovery ??= discover();
  if ("lapack" in discovery) return discovery.lapack;
  if (discovery.misconfigured) throw new Error(discovery.reason);
  return undefined;
}

/** Which LAPACK is in use, or why none is. */
export function lapackInfo(): LapackInfo {
  discovery ??= discover();
  if (!("lapack" in discovery)) return { reason: discovery.reason };
  const { library, version } = discovery.lapack;
  return version === undefined ? { library } : { library, version };
}

function discover(): Discovery {
  const { process } = globalThis as { process?: NodeJS.Process };
  if (process?.versions?.node === undefined) return unavailable("LAPACK needs Node");
  const wish = process.env.NATGRAD_LAPACK;
  if (wish === "off") return unavailable("turned off by NATGRAD_LAPACK=off");
  let load: (path: string) => Library;
  try {
    load = loadKoffi().load;
  } catch (error) {
    return unavailable(`koffi cannot be loaded: ${firstLine(error)}`, wish !== undefined);
  }
  if (wish) {
    try {
      return { lapack: open(load, wish, process) };
    } catch (error) {
      const reason = `NATGRAD_LAPACK=${wish} cannot be used: ${firstLine(error)} (name an OpenBLAS or LAPACK, or off)`;
      return unavailable(reason, true);
    }
  }
  for (const name of candidates(process.platform)) {
    try {
      return { lapack: open(load, name, process) };
    } catch {
      // Not installed, or lacks a routine: the next one.
    }
  }
  return unavailable(`no LAPACK found; ${installHint(process.platform)}, or set NATGRAD_LAPACK to its path`);
}

function unavailable(reason: string, misconfigured = false): Discovery {
  return { reason, misconfigured };
}

/** Names to try, fastest libraries first. */
function candidates(platform: string): string[] {
  switch (platform) {
    case "darwin":
      return [
        "/System/Library/Frameworks/Accelerate.framework/Accelerate",
        "/opt/homebrew/opt/openblas/lib/libopenblas.dylib",
        "/usr/local/opt/openblas/lib/libopenblas.dylib",
      ];
    case "win32":
      return ["mkl_rt.2.dll", "mkl_rt.dll", "libopenblas.dll", "openblas.dll"];
    default:
      return ["libopenblas.so.0", "libopenblas.so", "libmkl_rt.so.2", "libmkl_rt.so", "liblapack.so.3"];
  }
}

function installHint(platform: string): string {
  if (platform === "darwin") return "brew install openblas";
  return platform === "win32"
    ? "put OpenBLAS's libopenblas.dll on the PATH"
    : "install libopenblas (libopenblas0)";
}

/** Opens a library and binds the routines; throws where it cannot be opened or one is missing. */
function open(load: (path: string) => Library, path: string, process: NodeJS.Process): Lapack {
  const { library, version } = loadBlas(load, path, process);
  keepLoaded(path);
  const potrf = library.func("void dpotrf_(char *, int *, double *, int *, int *, size_t)");
  const potri = library.func("void dpotri_(char *, int *, double *, int *, int *, size_t)");
  const trtri = library.func("void dtrtri_(char *, char *, int *, double *, int *, int *, size_t, size_t)");
  const trsm = library.func(
    "void dtrsm_(char *, char *, char *, char *, int *, int *, double *, double *, int *, double *, int *, size_t, size_t, size_t, size_t)",
  );
  const syevd = library.func(
    "void dsyevd_(char *, char *, int *, double *, int *, double *, double *, int *, int *, int *, int *, size_t, size_t)",
  );
  const getrf = library.func("void dgetrf_(int *, int *, double *, int *, int *, int *)");
  const getrs = library.func(
    "void dgetrs_(char *, int *, int *, double *, int *, int *, double *, int *, int *, size_t)",
  );
  const geqrf = library.func("void dgeqrf_(int *, int *, double *, int *, double *, double *, int *, int *)");
  const orgqr = library.func(
    "void dorgqr_(int *, int *, int *, double *, int *, double *, double *, int *, int *)",
  );
  if (version !== undefined && !process.env.OPENBLAS_NUM_THREADS) limitThreads(library);
  return {
    library: path,
    ...(version === undefined ? {} : { version }),
    dpotrf(a, n) {
      const [order, info] = [integer(n), integer(0)];
      return call(potrf, [UPPER, order, a, order, info, 1], info, n ** 3 / 3);
    },
    dpotri(a, n) {
      const [order, info] = [integer(n), integer(0)];
      return call(potri, [UPPER, order, a, order, info, 1], info, (2 * n ** 3) / 3);
    },
    dtrtri(a, n) {
      const [order, info] = [integer(n), integer(0)];
      return call(trtri, [UPPER, NOT, order, a, order, info, 1, 1], info, n ** 3 / 3);
    },
    dtrsm(u, n, b, rows, transposed) {
      const [order, count] = [integer(n), integer(rows)];
      const operation = transposed ? TRANSPOSED : NOT;
      const values = [RIGHT, UPPER, operation, NOT, count, order, ONE, u, order, b, count, 1, 1, 1, 1];
      return call(trsm, values, integer(0), n * n * rows);
    },
    dgetrf(a, n, pivots) {
      const [order, info] = [integer(n), integer(0)];
      return call(getrf, [order, order, a, order, pivots, info], info, (2 * n ** 3) / 3);
    },
    dgetrs(a, n, pivots, b, count) {
      const [order, columns, info] = [integer(n), integer(count), integer(0)];
      const values = [TRANSPOSED, order, columns, a, order, pivots, b, order, info, 1];
      return call(getrs, values, info, 2 * n * n * count);
    },
    dsyevd(a, n, values, work) {
      const [order, info] = [integer(n), integer(0)];
      const integers = new Int32Array(3 + 5 * n);
      const lengths = [integer(work.length), integer(integers.length)];
      return call(
        syevd,
        [VECTORS, UPPER, order, a, order, values, work, lengths[0], integers, lengths[1], info, 1, 1],
        info,
        4 * n ** 3,
      );
    },
    dgeqrf(a, n, scales) {
      const [order, length, info] = [integer(n), integer(QR_BLOCK * n), integer(0)];
      const work = new Float64Array(QR_BLOCK * n);
      return call(geqrf, [order, order, a, order, scales, work, length, info], info, (4 * n ** 3) / 3);
    },
    dorgqr(a, n, scales) {
      const [order, length, info] = [integer(n), integer(QR_BLOCK * n), integer(0)];
      const work = new Float64Array(QR_BLOCK * n);
      return call(orgqr, [order, order, order, a, order, scales, work, length, info], info, (4 * n ** 3) / 3);
    },
  };
}

/** Columns that the QR routines work on together: their work space is as many times n. */
const QR_BLOCK = 64;

const [UPPER, NOT, TRANSPOSED, RIGHT, VECTORS] = [..."UNTRV"].map((letter) =>
  Uint8Array.of(letter.charCodeAt(0)),
);
const ONE = Float64Array.of(1);

function integer(value: number): Int32Array {
  return Int32Array.of(value);
}

function call(routine: NativeFunction, values: unknown[], info: Int32Array, work: number): LapackCall {
  return {
    work,
    run: () => void routine(...values),
    start: () =>
      new Promise((resolve, reject) => {
        routine.async(...values, (error: Error | null) => (error ? reject(error) : resolve()));
      }),
    get info() {
      return info[0];
    },
  };
}

/**
 * One thread, set once, unless OPENBLAS_NUM_THREADS says otherwise. Measured with bench/linalg.ts on two cores: a second thread
 * makes dpotrf at n = 128 take 0.13 ms instead of 0.07 and gains it nothing up to n = 2048; it saves a third of dsyevd at
 * n = 1024. A count that changed with n would make the bits depend on what else is running.
 */
function limitThreads(library: Library): void {
  try {
    library.func("void openblas_set_num_threads(int)")(1);
  } catch {
    // A build for one thread.
  }
}

function firstLine(error: unknown): string {
  return String(error instanceof Error ? error.message : error).split("\n")[0];
}
