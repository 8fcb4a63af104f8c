/**
 * Sessions over ONNX Runtime's C interface: no copies, one foreign call per run.
 *
 * Measured on two cores with ONNX Runtime 1.30:
 * - Binding inputs and outputs once (`RunWithBinding`, three arguments) costs 1.2 µs per run of an eight-element addition; passing
 *   them with each run (`Run`, eight arguments) 1.4 µs.
 * - The memory arena and the memory pattern are each worth about a tenth on small models, so both stay on.
 * - Flushing denormals to zero would change the arithmetic of whichever thread creates the first session; it stays off.
 */

import { ELEMENT_TYPES, type OnnxModel, type OnnxValue } from "../graph/onnx-model.ts";
import type { TypedArray } from "../tensor.ts";
import { addressIn, findOrtLibrary, OrtLibrary, outCell, type Pointer } from "./ort-library.ts";
import {
  type Arrays,
  type Binding,
  checkArrays,
  disposedError,
  type Runtime,
  type Session,
} from "./session.ts";
import { spinMicroseconds, threadsFor } from "./threads.ts";

/** ONNX Runtime's `ORT_ENABLE_BASIC` and `ORT_ENABLE_ALL`. Its extended rewrites move scale factors into float32 attributes. */
const OPTIMIZE_BASIC = 1;
const OPTIMIZE_ALL = 99;

/** Runs expected to take longer than this leave the event loop free; shorter ones are faster synchronous. */
const SYNCHRONOUS_LIMIT_MS = 20;
/** A cautious speed, for the expected duration before the first run. */
const FLOPS_PER_MS = 2e7;
/** Models whose intermediate results take more bytes than this have their memory managed for its size, not for speed. */
const LARGE = 64 * 2 ** 20;
/** Weight of the newest run in the expected duration. */
const NEWEST_WEIGHT = 0.3;

/** Stays loaded for the life of the process, for its threads and exit handlers live in it. */
let library: OrtLibrary | undefined;

/** @throws Error when the shared library is absent or cannot be loaded on this platform */
export function openNativeRuntime(threads: number, notes: readonly string[]): Runtime {
  library ??= new OrtLibrary(findOrtLibrary());
  return new NativeRuntime(library, threads, notes);
}

class NativeRuntime implements Runtime {
  readonly kind = "native";
  readonly device = "cpu";
  readonly threads: number;
  readonly #ort: OrtLibrary;
  readonly #notes: readonly string[];
  readonly #sessions = new Set<NativeSession>();
  #disposed = false;

  constructor(ort: OrtLibrary, threads: number, notes: readonly string[]) {
    this.#ort = ort;
    this.#notes = notes;
    this.threads = threads;
  }

  describe(): string[] {
    const { version, hasAsync } = this.#ort;
    const session = `session native: ONNX Runtime ${version} through its C interface`;
    const blocking = "long runs block the event loop: the program used koffi before natgrad";
    return [session, `threads ${this.threads}`, ...(hasAsync ? [] : [blocking]), ...this.#notes];
  }

  async load(model: OnnxModel): Promise<Session> {
    if (this.#disposed) throw disposedError("runtime");
    const ort = this.#ort;
    const options = ort.create((out) => ort.call.CreateSessionOptions(out));
    try {
      ort.check(
        ort.call.SetSessionGraphOptimizationLevel(options, model.float64 ? OPTIMIZE_BASIC : OPTIMIZE_ALL),
      );
      this.#assignThreads(options, model.flops);
      if ((model.workingBytes ?? 0) > LARGE) this.#shareMemory(options);
      const pointer = await createSession(ort, model.bytes, options);
      const session = new NativeSession(ort, model, pointer, () => this.#sessions.delete(session));
      this.#sessions.add(session);
      return session;
    } finally {
      ort.call.ReleaseSessionOptions(options);
    }
  }

  /** Small models run on the calling thread, large ones on the shared pool or, where its size is not the one asked for, on their own. */
  #assignThreads(options: Pointer, flops: number): void {
    const { call } = this.#ort;
    const threads = threadsFor(flops, this.threads);
    if (threads > 1 && threads === this.#ort.pooledThreads) {
      this.#ort.check(call.DisablePerSessionThreads(options));
      return;
    }
    this.#ort.check(call.SetIntraOpNumThreads(options, threads));
    const spin = spinMicroseconds(flops);
    this.#ort.check(call.AddSessionConfigEntry(options, "session.intra_op.spin_duration_us", spin));
  }

  /**
   * One arena for all large models, in pieces: with a memory pattern the second run takes the peak once more, in one piece, and an arena
   * of its own keeps what a session took at its peak for as long as the session lives.
   */
  #shareMemory(options: Pointer): void {
    const { call } = this.#ort;
    this.#ort.check(call.DisableMemPattern(options));
    this.#ort.check(call.AddSessionConfigEntry(options, "session.use_env_allocators", "1"));
  }

  dispose(): void {
    this.#disposed = true;
    for (const session of this.#sessions) session.dispose();
  }
}

async function createSession(ort: OrtLibrary, bytes: Uint8Array, options: Pointer): Promise<Pointer> {
  const out = outCell();
  const parameters = [ort.environment, bytes, bytes.length, options, out];
  if (ort.hasAsync) await ort.callAsync("CreateSessionFromArray", parameters, bytes);
  else ort.check(ort.call.CreateSessionFromArray(...parameters));
  return addressIn(out);
}

class NativeSession implements Session {
  readonly kind = "native";
  readonly ort: OrtLibrary;
  readonly pointer: Pointer;
  /** Milliseconds that the next run will probably take. */
  expectedDuration: number;
  disposed = false;
  readonly #model: OnnxModel;
  readonly #onDispose: () => void;
  readonly #bindings = new Set<NativeBinding>();

  constructor(ort: OrtLibrary, model: OnnxModel, pointer: Pointer, onDispose: () => void) {
    this.ort = ort;
    this.pointer = pointer;
    this.expectedDuration = model.flops / FLOPS_PER_MS;
    this.#model = model;
    this.#onDispose = onDispose;
  }

  bind(feeds: Arrays, fetches: Arrays): Binding {
    if (this.disposed) throw disposedError("session");
    const { inputs, outputs } = checkArrays(this.#model, feeds, fetches);
    const binding = new NativeBinding(this, inputs, outputs, feeds, fetches);
    this.#bindings.add(binding);
    return binding;
  }

  dispose(): void {
    if (this.disposed) return;
    this.disposed = true;
    this.#onDispose();
    if (this.#bindings.size === 0) this.#release();
    for (const binding of this.#bindings) binding.dispose();
  }

  /** A binding has given its memory back; the last one of a disposed session, perhaps after its run, takes the session along. */
  forget(binding: NativeBinding): void {
    this.#bindings.delete(binding);
    if (this.disposed && this.#bindings.size === 0) this.#release();
  }

  #release(): void {
    this.ort.call.ReleaseSession(this.pointer);
  }
}

class NativeBinding implements Binding {
  readonly #session: NativeSession;
  readonly #pointer: Pointer;
  /** The bound arrays: native code holds their addresses, so they must not be collected. */
  readonly #arrays: TypedArray[] = [];
  #running = false;
  #disposed = false;

  constructor(
    session: NativeSession,
    inputs: readonly OnnxValue[],
    outputs: readonly OnnxValue[],
    feeds: Arrays,
    fetches: Arrays,
  ) {
    const { ort } = session;
    this.#session = session;
    this.#pointer = ort.create((out) => ort.call.CreateIoBinding(session.pointer, out));
    for (const value of inputs) this.#bind("BindInput", value, feeds[value.name]);
    for (const value of outputs) this.#bind("BindOutput", value, fetches[value.name]);
  }

  run(): void | Promise<void> {
    if (this.#disposed) throw disposedError(this.#session.disposed ? "session" : "binding");
    if (this.#running) throw new Error("this binding is running: await its run before the next one");
    const session = this.#session;
    if (session.expectedDuration > SYNCHRONOUS_LIMIT_MS && session.ort.hasAsync) return this.#runAsync();
    const start = performance.now();
    const status = session.ort.call.RunWithBinding(session.pointer, 0, this.#pointer);
    if (status) session.ort.check(status);
    this.#learn(start);
  }

  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    if (!this.#running) this.#release();
  }

  async #runAsync(): Promise<void> {
    const { ort, pointer } = this.#session;
    const start = performance.now();
    this.#running = true;
    try {
      await ort.callAsync("RunWithBinding", [pointer, 0, this.#pointer], this.#arrays);
    } finally {
      this.#running = false;
      this.#learn(start);
      if (this.#disposed) this.#release();
    }
  }

  #learn(start: number): void {
    const session = this.#session;
    session.expectedDuration += NEWEST_WEIGHT * (performance.now() - start - session.expectedDuration);
  }

  #bind(role: "BindInput" | "BindOutput", { name, dtype, shape }: OnnxValue, array: TypedArray): void {
    const { ort } = this.#session;
    // V8 keeps small typed arrays on its movable heap until someone asks for their buffer; from then on they stay put.
    void array.buffer;
    this.#arrays.push(array);
    const dimensions = new BigInt64Array(new ArrayBuffer(8 * Math.max(1, shape.length)));
    shape.forEach((dimension, axis) => {
      dimensions[axis] = BigInt(dimension);
    });
    const type = ELEMENT_TYPES[dtype];
    const value = ort.create((out) =>
      ort.call.CreateTensorWithDataAsOrtValue(
        ort.cpuMemory,
        array,
        array.byteLength,
        dimensions,
        shape.length,
        type,
        out,
      ),
    );
    // The binding keeps its own reference to the value.
    const status = ort.call[role](this.#pointer, name, value);
    ort.call.ReleaseValue(value);
    ort.check(status);
  }

  #release(): void {
    this.#session.ort.call.ReleaseIoBinding(this.#pointer);
    this.#arrays.length = 0;
    this.#session.forget(this);
  }
}
