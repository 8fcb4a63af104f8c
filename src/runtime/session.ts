/** What every platform's runtime provides, and the checks they share. */

import type { OnnxModel, OnnxValue } from "../graph/onnx-model.ts";
import { dtypeOf, formatShape, sizeOf, type TypedArray } from "../tensor.ts";

export type Device = "cpu" | "wasm" | "webgpu" | "auto";
export type SessionKind = "native" | "node" | "web";

/** Arrays by the name of the model's input or output. */
export type Arrays = Readonly<Record<string, TypedArray>>;

/** One compiled model. */
export interface Session {
  readonly kind: SessionKind;
  /**
   * Ties arrays that the caller owns to inputs and outputs. Every run reads the numbers the feeds then hold and overwrites
   * the fetches, so a training loop binds once per set of buffers. All inputs are needed; outputs may be a subset.
   *
   * @throws Error when a name, a dtype or a length disagrees with the model, or an output shares memory with an array other
   *   than the input that the model lets it overwrite (only native sessions do it in place)
   */
  bind(feeds: Arrays, fetches: Arrays): Binding;
  /** Releases the compiled model and its bindings, after the runs that are under way. */
  dispose(): void;
}

export interface Binding {
  /** Runs the model once; returns nothing when it ran synchronously, a promise when it is still running. */
  run(): void | Promise<void>;
  dispose(): void;
}

export interface Runtime {
  readonly kind: SessionKind;
  /** Where operations run. */
  readonly device: "cpu" | "wasm" | "webgpu";
  /** Most threads one operation is spread over. */
  readonly threads: number;
  /** The choices made, one line each, for people. */
  describe(): string[];
  load(model: OnnxModel): Promise<Session>;
  /** Disposes every session that is still loaded. */
  dispose(): void;
}

/** Checks the arrays of a binding against the model; the order of the result is the model's. */
export function checkArrays(
  model: OnnxModel,
  feeds: Arrays,
  fetches: Arrays,
): { inputs: OnnxValue[]; outputs: OnnxValue[] } {
  const inputs = select(model.inputs, feeds, "input");
  for (const { name } of model.inputs) {
    if (!feeds[name]) throw new Error(`missing input ${name} (model inputs: ${names(model.inputs)})`);
  }
  const outputs = select(model.outputs, fetches, "output");
  const others = inputs.map(({ name }) => [name, feeds[name]] as const);
  for (const { name } of outputs) {
    const allowed = model.inPlace?.find(([output]) => output === name)?.[1];
    const overlap = others.find(([other, array]) => {
      return sharesMemory(array, fetches[name]) && !(other === allowed && array === fetches[name]);
    });
    if (overlap) throw new Error(`invalid output ${name}: it shares memory with ${overlap[0]}`);
    others.push([name, fetches[name]]);
  }
  return { inputs, outputs };
}

function select(values: readonly OnnxValue[], arrays: Arrays, role: string): OnnxValue[] {
  const selected = values.filter(({ name }) => arrays[name] !== undefined);
  const known = new Set(values.map(({ name }) => name));
  for (const name of Object.keys(arrays)) {
    if (!known.has(name)) throw new Error(`unknown ${role} ${name} (model ${role}s: ${names(values)})`);
  }
  for (const { name, dtype, shape } of selected) {
    const array = arrays[name];
    const given = dtypeOf(array);
    if (given !== dtype) throw new Error(`invalid ${role} ${name}: ${given} (must be ${dtype})`);
    if (array.length !== sizeOf(shape)) {
      throw new Error(
        `invalid ${role} ${name}: ${array.length} numbers (must be ${sizeOf(shape)}, shape ${formatShape(shape)})`,
      );
    }
  }
  return selected;
}

function names(values: readonly OnnxValue[]): string {
  return values.map(({ name }) => name).join(", ") || "none";
}

function sharesMemory(a: TypedArray, b: TypedArray): boolean {
  return (
    a.buffer === b.buffer &&
    a.byteOffset < b.byteOffset + b.byteLength &&
    b.byteOffset < a.byteOffset + a.byteLength
  );
}

export function disposedError(what: "session" | "binding" | "runtime"): Error {
  return new Error(`this ${what} is disposed and cannot be used any more`);
}
