/**
 * Compiled models that outlive the programs that asked for them: equal bytes under equal options are compiled once.
 *
 * Trainers that differ in learning rate, damping, seed or weights alone have the same programs, and compiling takes longer than
 * a short training of a small network. Arrays belong to bindings, not to sessions, so any number of programs can share one.
 */

import type { OnnxModel } from "../graph/onnx-model.ts";
import { bytesPerElement, sizeOf } from "../tensor.ts";
import { type Arrays, type Binding, disposedError, type Runtime, type Session } from "./session.ts";

/** How much is kept that nothing uses. */
export interface SessionCacheLimits {
  readonly sessions: number;
  /** Estimated; see {@link estimateBytes}. */
  readonly bytes: number;
}

/** A method has two to five programs for each batch size, so this is a dozen trainers' worth of small networks. */
const DEFAULT_LIMITS: SessionCacheLimits = { sessions: 64, bytes: 64 * 2 ** 20 };

/** A runtime whose `load` gives sessions that are shared; disposing one gives it back. */
export function shareSessions(runtime: Runtime, limits: SessionCacheLimits = DEFAULT_LIMITS): Runtime {
  return new SharingRuntime(runtime, limits);
}

interface Entry {
  readonly model: OnnxModel;
  readonly hash: number;
  readonly bytes: number;
  readonly compiled: Promise<Session>;
  /** Loads that have not been given back. */
  users: number;
}

class SharingRuntime implements Runtime {
  readonly kind: Runtime["kind"];
  readonly device: Runtime["device"];
  readonly threads: number;
  readonly #runtime: Runtime;
  readonly #limits: SessionCacheLimits;
  /** The one that was used least recently first. */
  readonly #entries = new Set<Entry>();
  #disposed = false;

  constructor(runtime: Runtime, limits: SessionCacheLimits) {
    this.kind = runtime.kind;
    this.device = runtime.device;
    this.threads = runtime.threads;
    this.#runtime = runtime;
    this.#limits = limits;
  }

  describe(): string[] {
    return this.#runtime.describe();
  }

  async load(model: OnnxModel): Promise<Session> {
    if (this.#disposed) throw disposedError("runtime");
    const hash = hashOf(model.bytes);
    const entry = this.#find(model, hash) ?? this.#compile(model, hash);
    entry.users++;
    const session = await entry.compiled;
    if (this.#disposed) {
      session.dispose();
      throw disposedError("runtime");
    }
    return new SharedSession(session, () => this.#giveBack(entry));
  }

  dispose(): void {
    this.#disposed = true;
    this.#entries.clear();
    this.#runtime.dispose();
  }

  #find(model: OnnxModel, hash: number): Entry | undefined {
    for (const entry of this.#entries) {
      if (entry.hash === hash && isSameModel(entry.model, model)) return entry;
    }
    return undefined;
  }

  #compile(model: OnnxModel, hash: number): Entry {
    const compiled = this.#runtime.load(model);
    const entry = { model, hash, bytes: estimateBytes(model), compiled, users: 0 };
    this.#entries.add(entry);
    compiled.catch(() => this.#entries.delete(entry)); // whoever waits for it gets the error
    return entry;
  }

  #giveBack(entry: Entry): void {
    entry.users--;
    if (!this.#entries.delete(entry)) return; // the runtime is disposed
    this.#entries.add(entry);
    this.#trim();
  }

  /** Drops sessions that nothing uses until the rest is within the limits. */
  #trim(): void {
    const idle = [...this.#entries].filter(({ users }) => users === 0);
    let count = idle.length;
    let bytes = idle.reduce((total, entry) => total + entry.bytes, 0);
    for (const entry of idle) {
      if (count <= this.#limits.sessions && bytes <= this.#limits.bytes) return;
      count--;
      bytes -= entry.bytes;
      this.#entries.delete(entry);
      void entry.compiled.then((session) => session.dispose());
    }
  }
}

/** One user's view of a session: bound and disposed as if nobody else had it. */
class SharedSession implements Session {
  readonly kind: Session["kind"];
  disposed = false;
  readonly #session: Session;
  readonly #giveBack: () => void;
  readonly #bindings = new Set<SharedBinding>();

  constructor(session: Session, giveBack: () => void) {
    this.kind = session.kind;
    this.#session = session;
    this.#giveBack = giveBack;
  }

  bind(feeds: Arrays, fetches: Arrays): Binding {
    if (this.disposed) throw disposedError("session");
    const binding = new SharedBinding(this, this.#session.bind(feeds, fetches));
    this.#bindings.add(binding);
    return binding;
  }

  forget(binding: SharedBinding): void {
    this.#bindings.delete(binding);
  }

  dispose(): void {
    if (this.disposed) return;
    this.disposed = true;
    for (const binding of this.#bindings) binding.dispose();
    this.#giveBack();
  }
}

class SharedBinding implements Binding {
  readonly #owner: SharedSession;
  readonly #binding: Binding;

  constructor(owner: SharedSession, binding: Binding) {
    this.#owner = owner;
    this.#binding = binding;
  }

  run(): void | Promise<void> {
    if (this.#owner.disposed) throw disposedError("session");
    return this.#binding.run();
  }

  dispose(): void {
    this.#owner.forget(this);
    this.#binding.dispose();
  }
}

/** The options of a session follow from the number of operations and the precision. */
function isSameModel(a: OnnxModel, b: OnnxModel): boolean {
  if (a === b) return true;
  return (
    a.flops === b.flops &&
    a.float64 === b.float64 &&
    String(a.inPlace ?? []) === String(b.inPlace ?? []) &&
    a.bytes.length === b.bytes.length &&
    a.bytes.every((byte, index) => byte === b.bytes[index])
  );
}

/** FNV-1a, 32 bits; it only has to be quick, for equal hashes are followed by a look at the bytes. */
function hashOf(bytes: Uint8Array): number {
  let hash = 0x811c9dc5;
  for (let index = 0; index < bytes.length; index++) hash = Math.imul(hash ^ bytes[index], 0x01000193);
  return hash >>> 0;
}

/** What a session may hold: the model, and for its working memory as much as its inputs and outputs take. */
function estimateBytes({ bytes, inputs, outputs }: OnnxModel): number {
  const values = [...inputs, ...outputs].map(({ shape, dtype }) => sizeOf(shape) * bytesPerElement(dtype));
  return values.reduce((total, size) => total + size, bytes.length);
}
