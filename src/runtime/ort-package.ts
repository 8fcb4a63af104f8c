/** Sessions over the JavaScript interface that the packages `onnxruntime-node` and `onnxruntime-web` share. */

import type { InferenceSession, Tensor as OrtTensor } from "onnxruntime-web";
import { RunError } from "../errors.ts";
import type { OnnxModel, OnnxValue } from "../graph/onnx-model.ts";
import type { TypedArray } from "../tensor.ts";
import {
  type Arrays,
  type Binding,
  checkArrays,
  disposedError,
  type Runtime,
  type Session,
} from "./session.ts";

/** What is used of either package. */
export interface OrtPackage {
  InferenceSession: {
    create(model: Uint8Array, options: InferenceSession.SessionOptions): Promise<OrtSession>;
  };
  Tensor: new (type: OnnxValue["dtype"], data: TypedArray, shape: readonly number[]) => OrtTensor;
}

interface OrtSession {
  run(feeds: OrtTensors, fetches: OrtTensors | string[]): Promise<InferenceSession.OnnxValueMapType>;
  release(): Promise<void>;
}

type OrtTensors = Record<string, OrtTensor>;

/** Calls one after another: WebAssembly that waits for the GPU inside a call must not be entered a second time. */
export class Queue {
  #last: Promise<unknown> = Promise.resolve();

  /** Calls `work` once everything before it has ended, well or badly. */
  add<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#last.then(work);
    this.#last = done.catch(() => undefined);
    return done;
  }
}

export interface PackageRuntimeOptions {
  readonly kind: "node" | "web";
  readonly device: "cpu" | "wasm" | "webgpu";
  readonly threads: number;
  readonly description: readonly string[];
  /** Whether outputs are written into tensors that the caller gives, or else copied out of new ones. */
  readonly fillsGivenOutputs: boolean;
  /** Shared by everything that calls into the same instance of the package. */
  readonly queue: Queue;
  sessionOptions(model: OnnxModel): InferenceSession.SessionOptions;
}

export class PackageRuntime implements Runtime {
  readonly kind: "node" | "web";
  readonly device: "cpu" | "wasm" | "webgpu";
  readonly threads: number;
  readonly #ort: OrtPackage;
  readonly #options: PackageRuntimeOptions;
  readonly #sessions = new Set<PackageSession>();
  #disposed = false;

  constructor(ort: OrtPackage, options: PackageRuntimeOptions) {
    this.kind = options.kind;
    this.device = options.device;
    this.threads = options.threads;
    this.#ort = ort;
    this.#options = options;
  }

  describe(): string[] {
    return [...this.#options.description];
  }

  async load(model: OnnxModel): Promise<Session> {
    if (this.#disposed) throw disposedError("runtime");
    const options: InferenceSession.SessionOptions = {
      // ONNX Runtime's extended rewrites move scale factors into float32 attributes.
      graphOptimizationLevel: model.float64 ? "basic" : "all",
      logSeverityLevel: 4,
      ...this.#options.sessionOptions(model),
    };
    const compiled = await this.#options.queue
      .add(() => this.#ort.InferenceSession.create(model.bytes, options))
      .catch(fail);
    const session = new PackageSession(this.#ort, this.#options, model, compiled, () =>
      this.#sessions.delete(session),
    );
    this.#sessions.add(session);
    return session;
  }

  dispose(): void {
    this.#disposed = true;
    for (const session of this.#sessions) session.dispose();
  }
}

class PackageSession implements Session {
  readonly kind: "node" | "web";
  readonly #ort: OrtPackage;
  readonly #options: PackageRuntimeOptions;
  readonly #model: OnnxModel;
  readonly #compiled: OrtSession;
  readonly #onDispose: () => void;
  #disposed = false;

  constructor(
    ort: OrtPackage,
    options: PackageRuntimeOptions,
    model: OnnxModel,
    compiled: OrtSession,
    onDispose: () => void,
  ) {
    this.kind = options.kind;
    this.#ort = ort;
    this.#options = options;
    this.#model = model;
    this.#compiled = compiled;
    this.#onDispose = onDispose;
  }

  bind(feeds: Arrays, fetches: Arrays): Binding {
    if (this.#disposed) throw disposedError("session");
    const { inputs, outputs } = checkArrays(this.#model, feeds, fetches);
    const inputTensors = this.#tensors(inputs, feeds);
    const run = this.#options.fillsGivenOutputs
      ? this.#filling(inputTensors, this.#tensors(outputs, fetches))
      : this.#copying(inputTensors, outputs, fetches);
    let disposed = false;
    let running = false;
    return {
      run: async () => {
        if (disposed || this.#disposed) throw disposedError(this.#disposed ? "session" : "binding");
        if (running) throw new Error("this binding is running: await its run before the next one");
        running = true;
        try {
          await this.#options.queue.add(run);
        } catch (error) {
          fail(error);
        } finally {
          running = false;
        }
      },
      dispose: () => {
        disposed = true;
      },
    };
  }

  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    this.#onDispose();
    void this.#options.queue.add(() => this.#compiled.release());
  }

  #tensors(values: readonly OnnxValue[], arrays: Arrays): OrtTensors {
    const { Tensor } = this.#ort;
    return Object.fromEntries(
      values.map(({ name, dtype, shape }) => [name, new Tensor(dtype, arrays[name], shape)]),
    );
  }

  #filling(feeds: OrtTensors, fetches: OrtTensors): () => Promise<unknown> {
    return () => this.#compiled.run(feeds, fetches);
  }

  #copying(feeds: OrtTensors, outputs: readonly OnnxValue[], fetches: Arrays): () => Promise<unknown> {
    const names = outputs.map(({ name }) => name);
    return async () => {
      const results = await this.#compiled.run(feeds, names);
      for (const name of names) fetches[name].set(results[name].data as TypedArray);
    };
  }
}

/** What browsers say when a file is not there, or when the server gives a page in its place. */
const MISSING_FILES =
  /fetching of the wasm failed|magic word|dynamically imported module|module script failed|incorrect response MIME/;

/** The package's own message in one line, without its preamble. */
function fail(error: unknown): never {
  const text = error instanceof Error ? error.message : String(error);
  if (/fallback to CPU EP has been explicitly disabled/.test(text)) {
    throw new RunError('WebGPU lacks an operation of this model (use device "cpu")');
  }
  if (MISSING_FILES.test(text)) {
    throw new RunError(
      "ONNX Runtime's WebAssembly files were not found (copy ort-wasm-simd-threaded.* from onnxruntime-web/dist beside the script, or to the folder that setWasmFolder names)",
    );
  }
  const message = text.replace(/^.*ERROR_MESSAGE:/s, "").replace(/\s+/g, " ");
  throw new RunError(`ONNX Runtime: ${message.trim()}`);
}
