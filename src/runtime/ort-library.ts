/**
 * ONNX Runtime's C interface, called through koffi from the shared library that the npm package `onnxruntime-node` ships.
 *
 * The interface is one table of functions in the order in which onnxruntime_c_api.h declares them. The table only ever grows
 * at its end, so the positions below hold for every release since 1.5.
 */

import type { LibraryHandle } from "koffi";
import { RunError } from "../errors.ts";
import { hasAsyncStacks, keepLoaded, loadKoffi } from "../foreign.ts";
import { physicalCores } from "./threads.ts";

/** The table of this version, as of any later one, has all the functions below. */
const API_VERSION = 26;

/** An address. koffi gives a number where that is exact, which is faster than its bigint and the case on today's machines. */
export type Pointer = number | bigint;

const POINTER = "uintptr_t";
const SIZE = "size_t";
const TEXT = "const char *";
const DATA = "const void *";
/** Where a function writes the address of what it made. */
const OUT = "void *";

/** Function → [position in the table, result, arguments]; a result that is a status is 0 or the address of an error. */
const FUNCTIONS = {
  GetErrorMessage: [2, TEXT, [POINTER]],
  DisableTelemetryEvents: [6, POINTER, [POINTER]],
  CreateSessionFromArray: [8, POINTER, [POINTER, DATA, SIZE, POINTER, OUT]],
  CreateSessionOptions: [10, POINTER, [OUT]],
  DisableMemPattern: [17, POINTER, [POINTER]],
  SetSessionGraphOptimizationLevel: [23, POINTER, [POINTER, "int"]],
  SetIntraOpNumThreads: [24, POINTER, [POINTER, "int"]],
  CreateTensorWithDataAsOrtValue: [49, POINTER, [POINTER, DATA, SIZE, DATA, SIZE, "int", OUT]],
  CreateCpuMemoryInfo: [69, POINTER, ["int", "int", OUT]],
  ReleaseStatus: [93, "void", [POINTER]],
  ReleaseSession: [95, "void", [POINTER]],
  ReleaseValue: [96, "void", [POINTER]],
  ReleaseSessionOptions: [100, "void", [POINTER]],
  CreateEnvWithGlobalThreadPools: [119, POINTER, ["int", TEXT, POINTER, OUT]],
  DisablePerSessionThreads: [120, POINTER, [POINTER]],
  CreateThreadingOptions: [121, POINTER, [OUT]],
  ReleaseThreadingOptions: [122, "void", [POINTER]],
  AddSessionConfigEntry: [130, POINTER, [POINTER, TEXT, TEXT]],
  RunWithBinding: [133, POINTER, [POINTER, POINTER, POINTER]],
  CreateIoBinding: [134, POINTER, [POINTER, OUT]],
  ReleaseIoBinding: [135, "void", [POINTER]],
  BindInput: [136, POINTER, [POINTER, TEXT, POINTER]],
  BindOutput: [137, POINTER, [POINTER, TEXT, POINTER]],
  CreateAndRegisterAllocator: [144, POINTER, [POINTER, POINTER, POINTER]],
  SetGlobalIntraOpNumThreads: [147, POINTER, [POINTER, "int"]],
} as const;

type FunctionName = keyof typeof FUNCTIONS;

interface NativeFunction {
  (...values: unknown[]): Pointer;
  async(...values: unknown[]): void;
}

/** Every failure comes back as a status; printed on stderr as well it would be said twice. */
const LOG_FATAL_ONLY = 4;
const ARENA_ALLOCATOR = 1;
const MEMORY_DEFAULT = 0;

/** The loaded library: its functions, and the environment and memory description that all sessions share. */
export class OrtLibrary {
  readonly version: string;
  readonly call: Readonly<Record<FunctionName, NativeFunction>>;
  readonly environment: Pointer;
  readonly cpuMemory: Pointer;
  /** Threads of the pool that sessions share. */
  readonly pooledThreads = physicalCores();
  /** Whether calls may run on worker threads. */
  readonly hasAsync: boolean;
  /** Held so that koffi never unmaps the code under the sessions. */
  readonly handle: LibraryHandle;

  constructor(path: string) {
    const koffi = loadKoffi();
    this.hasAsync = hasAsyncStacks();
    this.handle = koffi.load(path);
    keepLoaded(path);
    const base = this.handle.func("OrtGetApiBase", POINTER, [])();
    const [getApi, getVersion] = koffi.decode(BigInt(base), koffi.array(POINTER, 2));
    this.version = String(functionAt(getVersion, TEXT, [])());
    const api = functionAt(getApi, POINTER, ["uint32_t"])(API_VERSION);
    if (!api) throw new RunError(`ONNX Runtime ${this.version} is too old (must be 1.26 or newer)`);
    const size = 1 + Math.max(...Object.values(FUNCTIONS).map(([position]) => position));
    const table = koffi.decode(BigInt(api), koffi.array(POINTER, size));
    this.call = Object.fromEntries(
      Object.entries(FUNCTIONS).map(([name, [position, result, parameters]]) => [
        name,
        functionAt(table[position], result, parameters),
      ]),
    ) as Record<FunctionName, NativeFunction>;
    this.environment = this.#createEnvironment();
    this.check(this.call.DisableTelemetryEvents(this.environment));
    this.cpuMemory = this.create((out) =>
      this.call.CreateCpuMemoryInfo(ARENA_ALLOCATOR, MEMORY_DEFAULT, out),
    );
    const settings = 0; // ONNX Runtime's own
    this.check(this.call.CreateAndRegisterAllocator(this.environment, this.cpuMemory, settings));
  }

  /**
   * With one pool for all sessions. A step of natural gradient runs several programs in turn: were each to have threads of its own,
   * those of the last one would still be spinning, or those of the next one asleep, and a wake-up costs about a millisecond
   * (784-1000-1000-10: 19 ms a step with a pool for each session, 10 ms with one pool).
   */
  #createEnvironment(): Pointer {
    const threading = this.create((out) => this.call.CreateThreadingOptions(out));
    try {
      this.check(this.call.SetGlobalIntraOpNumThreads(threading, this.pooledThreads));
      return this.create((out) =>
        this.call.CreateEnvWithGlobalThreadPools(LOG_FATAL_ONLY, "natgrad", threading, out),
      );
    } finally {
      this.call.ReleaseThreadingOptions(threading);
    }
  }

  /** Calls a function that makes an object; the address of the object. */
  create(make: (out: BigUint64Array) => Pointer): Pointer {
    const out = outCell();
    this.check(make(out));
    return addressIn(out);
  }

  /**
   * Calls a function on a worker thread.
   *
   * @param anchors arrays that the function works on: they are kept until it ends
   */
  callAsync(name: FunctionName, parameters: readonly unknown[], anchors?: unknown): Promise<void> {
    return new Promise((resolve, reject) => {
      this.call[name].async(...parameters, (error: Error | null, status: Pointer) => {
        void anchors;
        try {
          if (error) throw error;
          this.check(status);
          resolve();
        } catch (failure) {
          reject(failure);
        }
      });
    });
  }

  /** @throws RunError with ONNX Runtime's own message, in one line, when the status is an error */
  check(status: Pointer): void {
    if (!status) return;
    const message = String(this.call.GetErrorMessage(status));
    this.call.ReleaseStatus(status);
    throw new RunError(`ONNX Runtime: ${message.replace(/\s+/g, " ").trim()}`);
  }
}

/** One address, over a buffer of its own: V8 may move a small typed array that has none yet. */
export function outCell(): BigUint64Array {
  return new BigUint64Array(new ArrayBuffer(BigUint64Array.BYTES_PER_ELEMENT));
}

/** The address in a cell, as koffi gives them. */
export function addressIn(cell: BigUint64Array): Pointer {
  const address = Number(cell[0]);
  return Number.isSafeInteger(address) ? address : cell[0];
}

function functionAt(address: Pointer, result: string, parameters: readonly string[]): NativeFunction {
  const koffi = loadKoffi();
  return koffi.decode(BigInt(address), koffi.proto(result, [...parameters]));
}

/**
 * The path of this platform's shared library inside the package `onnxruntime-node`.
 *
 * @throws RunError when the package is not installed or has no library for this platform
 */
export function findOrtLibrary(): string {
  const names: Partial<Record<string, string>> = {
    linux: "libonnxruntime.so.1",
    darwin: "libonnxruntime.1.dylib",
    win32: "onnxruntime.dll",
  };
  // Not imports: a bundler for browsers must not look for Node's modules.
  const { createRequire } = process.getBuiltinModule("node:module");
  const { dirname, join } = process.getBuiltinModule("node:path");
  const { existsSync } = process.getBuiltinModule("node:fs");
  const platform = `${process.platform}-${process.arch}`;
  const root = dirname(createRequire(import.meta.url).resolve("onnxruntime-node/package.json"));
  const path = join(
    root,
    "bin",
    "napi-v6",
    process.platform,
    process.arch,
    names[process.platform] ?? "none",
  );
  if (!existsSync(path)) throw new RunError(`onnxruntime-node has no library for ${platform}`);
  return path;
}
