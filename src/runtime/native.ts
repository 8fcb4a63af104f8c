/** Sessions over ONNX Runtime's C interface: no copies, one foreign call per run. */

import koffi from "koffi";
import { ELEMENT_TYPES, type OnnxModel, type OnnxValue } from "../graph/onnx-model.ts";
import type { TypedArray } from "../tensor.ts";
import { findOrtLibrary, OrtLibrary, type Pointer } from "./ort-library.ts";
import { type Arrays, type Binding, checkArrays, type Runtime, type Session } from "./session.ts";

const OPTIMIZE_ALL = 99;

/** The library stays loaded for the life of the process: its threads and exit handlers live in it. */
let library: OrtLibrary | undefined;

/** @throws Error when koffi has no build for this platform or the library is absent or cannot be loaded */
export function openNativeRuntime(threads: number): Runtime {
  if (!library) {
    const path = findOrtLibrary();
    if (!path) throw new Error(`onnxruntime-node has no library for ${process.platform}-${process.arch}`);
    library = new OrtLibrary(path);
  }
  return new NativeRuntime(library, threads);
}

class NativeRuntime implements Runtime {
  readonly kind = "native";
  readonly device = "cpu";
  readonly threads: number;
  readonly #library: OrtLibrary;
  readonly #sessions = new Set<NativeSession>();

  constructor(library: OrtLibrary, threads: number) {
    this.#library = library;
    this.threads = threads;
  }

  describe(): string[] {
    return [`ONNX Runtime ${this.#library.version}, C interface, CPU, up to ${this.threads} threads`];
  }

  async load(model: OnnxModel): Promise<Session> {
    const ort = this.#library;
    const options = ort.create((out) => ort.call.CreateSessionOptions(out));
    try {
      ort.check(ort.call.SetSessionGraphOptimizationLevel(options, OPTIMIZE_ALL));
      ort.check(ort.call.SetIntraOpNumThreads(options, this.threads));
      const pointer = await createSession(ort, model.bytes, options);
      const session = new NativeSession(ort, model, pointer, () => this.#sessions.delete(session));
      this.#sessions.add(session);
      return session;
    } finally {
      ort.call.ReleaseSessionOptions(options);
    }
  }

  dispose(): void {
    for (const session of this.#sessions) session.dispose();
  }
}

function createSession(ort: OrtLibrary, bytes: Uint8Array, options: Pointer): Promise<Pointer> {
  return new Promise((resolve, reject) => {
    const out = new BigUint64Array(1);
    const done = (error: Error | null, status: Pointer) => {
      try {
        if (error) throw error;
        ort.check(status);
        resolve(out[0]);
      } catch (failure) {
        reject(failure);
      }
    };
    ort.call.CreateSessionFromArray.async(ort.environment, bytes, bytes.length, options, out, done);
  });
}

class NativeSession implements Session {
  readonly kind = "native";
  readonly #ort: OrtLibrary;
  readonly #model: OnnxModel;
  readonly #pointer: Pointer;
  readonly #released: () => void;
  readonly #bindings = new Set<NativeBinding>();

  constructor(ort: OrtLibrary, model: OnnxModel, pointer: Pointer, released: () => void) {
    this.#ort = ort;
    this.#model = model;
    this.#pointer = pointer;
    this.#released = released;
  }

  bind(feeds: Arrays, fetches: Arrays): Binding {
    const { inputs, outputs } = checkArrays(this.#model, feeds, fetches);
    const binding = new NativeBinding(this.#ort, this.#pointer, inputs, outputs, feeds, fetches);
    this.#bindings.add(binding);
    return binding;
  }

  dispose(): void {
    for (const binding of this.#bindings) binding.dispose();
    this.#ort.call.ReleaseSession(this.#pointer);
    this.#released();
  }
}

class NativeBinding implements Binding {
  readonly #ort: OrtLibrary;
  readonly #session: Pointer;
  readonly #values: Pointer[] = [];
  readonly #keep: unknown[] = [];
  readonly #arguments: Pointer[];

  constructor(
    ort: OrtLibrary,
    session: Pointer,
    inputs: OnnxValue[],
    outputs: OnnxValue[],
    feeds: Arrays,
    fetches: Arrays,
  ) {
    this.#ort = ort;
    this.#session = session;
    const inputValues = inputs.map((value) => this.#createValue(value, feeds[value.name]));
    const outputValues = outputs.map((value) => this.#createValue(value, fetches[value.name]));
    this.#arguments = [
      this.#list(inputs.map(({ name }) => this.#text(name))),
      this.#list(inputValues),
      inputs.length,
      this.#list(outputs.map(({ name }) => this.#text(name))),
      outputs.length,
      this.#list(outputValues),
    ];
  }

  run(): void | Promise<void> {
    const [inputNames, inputs, inputCount, outputNames, outputCount, outputs] = this.#arguments;
    const { Run } = this.#ort.call;
    const status = Run(this.#session, 0, inputNames, inputs, inputCount, outputNames, outputCount, outputs);
    if (status !== 0) this.#ort.check(status);
  }

  dispose(): void {
    for (const value of this.#values) this.#ort.call.ReleaseValue(value);
    this.#values.length = 0;
  }

  #createValue({ dtype, shape }: OnnxValue, array: TypedArray): Pointer {
    const ort = this.#ort;
    // Small typed arrays live on the movable heap of V8 until their buffer is asked for.
    this.#keep.push(array, array.buffer);
    const dimensions = BigInt64Array.from(shape, BigInt);
    const value = ort.create((out) =>
      ort.call.CreateTensorWithDataAsOrtValue(
        ort.cpuMemory,
        array,
        array.byteLength,
        dimensions,
        dimensions.length,
        ELEMENT_TYPES[dtype],
        out,
      ),
    );
    this.#values.push(value);
    return value;
  }

  #text(text: string): Pointer {
    return this.#address(new TextEncoder().encode(`${text}\0`));
  }

  #list(pointers: Pointer[]): Pointer {
    return this.#address(BigUint64Array.from(pointers, BigInt));
  }

  #address(array: Uint8Array | BigUint64Array): Pointer {
    this.#keep.push(array, array.buffer);
    return Number(koffi.address(array));
  }
}
