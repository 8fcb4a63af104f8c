/**
 * ONNX Runtime's C interface, called through koffi from the shared library that the npm package `onnxruntime-node` ships.
 *
 * The interface is one table of functions in the order in which onnxruntime_c_api.h declares them. The table only ever grows at
 * its end, so the positions below hold for every release since 1.5.
 */

import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import koffi, { type LibraryHandle } from "koffi";
import { RunError } from "../errors.ts";

/** The table of this version or any later one has all the functions below. */
const API_VERSION = 16;

/** An address; koffi gives numbers where they are exact, that is on every machine with at most 53 address bits. */
export type Pointer = number | bigint;

const POINTER = "uintptr_t";
const SIZE = "size_t";
const TEXT = "const char *";
const DATA = "const void *";
/** Where a function writes the address of what it made: a `BigUint64Array` of one element. */
const OUT = "void *";

/** Function → [position in the table, result, arguments]; a status is 0 or the address of an error. */
const FUNCTIONS = {
  GetErrorMessage: [2, TEXT, [POINTER]],
  CreateEnv: [3, POINTER, ["int", TEXT, OUT]],
  DisableTelemetryEvents: [6, POINTER, [POINTER]],
  CreateSessionFromArray: [8, POINTER, [POINTER, DATA, SIZE, POINTER, OUT]],
  Run: [9, POINTER, [POINTER, POINTER, POINTER, POINTER, SIZE, POINTER, SIZE, POINTER]],
  CreateSessionOptions: [10, POINTER, [OUT]],
  SetSessionGraphOptimizationLevel: [23, POINTER, [POINTER, "int"]],
  SetIntraOpNumThreads: [24, POINTER, [POINTER, "int"]],
  CreateTensorWithDataAsOrtValue: [49, POINTER, [POINTER, DATA, SIZE, DATA, SIZE, "int", OUT]],
  CreateCpuMemoryInfo: [69, POINTER, ["int", "int", OUT]],
  ReleaseStatus: [93, "void", [POINTER]],
  ReleaseSession: [95, "void", [POINTER]],
  ReleaseValue: [96, "void", [POINTER]],
  ReleaseSessionOptions: [100, "void", [POINTER]],
  AddSessionConfigEntry: [130, POINTER, [POINTER, TEXT, TEXT]],
} as const;

type FunctionName = keyof typeof FUNCTIONS;
type NativeFunction = ReturnType<typeof koffi.decode> & {
  (...values: unknown[]): Pointer;
  async(...values: [...unknown[], (error: Error | null, status: Pointer) => void]): void;
};

/** The loaded library: its functions, and the environment and memory description that all sessions share. */
export class OrtLibrary {
  readonly path: string;
  readonly version: string;
  readonly environment: Pointer;
  readonly cpuMemory: Pointer;
  readonly call: Readonly<Record<FunctionName, NativeFunction>>;
  /** koffi must not see it collected: that would unmap the code under every session. */
  readonly #handle: LibraryHandle;

  constructor(path: string) {
    this.path = path;
    this.#handle = koffi.load(path);
    const base = this.#handle.func("OrtGetApiBase", POINTER, [])();
    const [getApi, getVersion] = koffi.decode(BigInt(base), koffi.array(POINTER, 2));
    this.version = bindFunction(getVersion, TEXT, [])();
    const api = bindFunction(getApi, POINTER, ["uint32_t"])(API_VERSION);
    if (Number(api) === 0) throw new RunError(`ONNX Runtime ${this.version} is too old (must be >= 1.16)`);
    const last = Math.max(...Object.values(FUNCTIONS).map(([position]) => position));
    const table = koffi.decode(BigInt(api), koffi.array(POINTER, last + 1));
    const bound = Object.entries(FUNCTIONS).map(([name, [position, result, parameters]]) => [
      name,
      bindFunction(table[position], result, parameters),
    ]);
    this.call = Object.fromEntries(bound);
    this.environment = this.create((out) => this.call.CreateEnv(LOG_FATAL_ONLY, "natgrad", out));
    this.check(this.call.DisableTelemetryEvents(this.environment));
    this.cpuMemory = this.create((out) =>
      this.call.CreateCpuMemoryInfo(ARENA_ALLOCATOR, MEMORY_DEFAULT, out),
    );
  }

  /** Calls a function that writes the address of a new object, and returns that address. */
  create(make: (out: BigUint64Array) => Pointer): Pointer {
    const out = new BigUint64Array(1);
    this.check(make(out));
    return out[0];
  }

  /** @throws RunError with ONNX Runtime's own message, in one line, when the status says that a call failed */
  check(status: Pointer): void {
    if (status === 0 || status === 0n) return;
    const message = String(this.call.GetErrorMessage(status));
    this.call.ReleaseStatus(status);
    throw new RunError(`ONNX Runtime: ${message.replace(/\s+/g, " ").trim()}`);
  }
}

/** Every failure comes back as a status; printing it to stderr as well would say it twice. */
const LOG_FATAL_ONLY = 4;
const ARENA_ALLOCATOR = 1;
const MEMORY_DEFAULT = 0;

function bindFunction(address: Pointer, result: string, parameters: readonly string[]): NativeFunction {
  return koffi.decode(BigInt(address), koffi.proto(result, [...parameters]));
}

/** The shared library of this platform inside the package `onnxruntime-node`, or undefined. */
export function findOrtLibrary(): string | undefined {
  const names: Record<string, string> = {
    linux: "libonnxruntime.so.1",
    darwin: "libonnxruntime.1.dylib",
    win32: "onnxruntime.dll",
  };
  const name = names[process.platform];
  if (!name) return undefined;
  try {
    const root = dirname(createRequire(import.meta.url).resolve("onnxruntime-node/package.json"));
    const path = join(root, "bin", "napi-v6", process.platform, process.arch, name);
    return existsSync(path) ? path : undefined;
  } catch {
    return undefined;
  }
}
