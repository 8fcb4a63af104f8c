/** Opens the runtime of the platform. Everything that only one platform has is imported when it is chosen. */

import { RunError, requireOption } from "../errors.ts";
import type { Device, Runtime, SessionKind } from "./session.ts";
import { shareSessions } from "./session-cache.ts";
import { isNode, physicalCores } from "./threads.ts";

export type { Arrays, Binding, Device, Runtime, Session, SessionKind } from "./session.ts";

export interface RuntimeOptions {
  /**
   * Where operations run (default `"cpu"`): `"cpu"` is native in Node and WebAssembly in a browser; `"auto"` is WebGPU where there
   * is an adapter and `"cpu"` elsewhere.
   */
  device?: Device;
  /** Most threads one operation is spread over (default: the physical cores). Results are equal bit by bit for equal threads. */
  threads?: number;
  /** The implementation (default: the fastest that loads); the environment variable `NATGRAD_SESSION` overrides it. */
  session?: SessionKind;
}

const DEVICES: readonly string[] = ["cpu", "wasm", "webgpu", "auto"];
const KINDS: readonly string[] = ["native", "node", "web"];

/**
 * The runtime; models of equal bytes that it loads share one session.
 *
 * @throws UsageError when an option is not valid, or asks for what this platform does not have
 * @throws RunError when no implementation can be loaded
 */
export async function openRuntime(options: RuntimeOptions = {}): Promise<Runtime> {
  const { device = "cpu" } = options;
  requireOption(DEVICES.includes(device), "device", device, DEVICES.join(", "));
  const chosen = environmentSession() ?? options.session;
  if (chosen !== undefined) requireOption(KINDS.includes(chosen), "session", chosen, KINDS.join(", "));
  const threads = options.threads ?? physicalCores();
  requireOption(Number.isInteger(threads) && threads >= 1, "threads", threads, "a whole number >= 1");

  return shareSessions(await open(device, threads, chosen));
}

async function open(device: Device, threads: number, chosen: string | undefined): Promise<Runtime> {
  if (device === "wasm" || device === "webgpu") return openWeb(device, threads, chosen);
  const notes: string[] = [];
  if (device === "auto") {
    const { hasWebGpu, openWebRuntime } = await import("./web.ts");
    if ((chosen ?? "web") === "web" && (await hasWebGpu())) return openWebRuntime("webgpu", threads);
    notes.push('device "auto": no WebGPU adapter, so the CPU');
  }
  return openCpu(threads, chosen, notes);
}

async function openWeb(device: "wasm" | "webgpu", threads: number, chosen: string | undefined) {
  requireOption(chosen === undefined || chosen === "web", "session", chosen, `web for device "${device}"`);
  const { openWebRuntime } = await import("./web.ts");
  return openWebRuntime(device, threads);
}

/** The implementation asked for, or the fastest that loads; what did not load is noted in the description. */
async function openCpu(threads: number, chosen: string | undefined, notes: string[]): Promise<Runtime> {
  const candidates = chosen ? [chosen] : isNode() ? KINDS : ["web"];
  for (const kind of candidates) {
    try {
      return await openKind(kind, threads, notes);
    } catch (error) {
      const reason = (error instanceof Error ? error.message : String(error)).split("\n")[0];
      notes.push(`session ${kind} is not available: ${reason}`);
    }
  }
  throw new RunError(`ONNX Runtime cannot be loaded (${notes.join("; ")})`);
}

async function openKind(kind: string, threads: number, notes: string[]): Promise<Runtime> {
  switch (kind) {
    case "native":
      return (await import("./native.ts")).openNativeRuntime(threads, notes);
    case "node":
      return (await import("./node.ts")).openNodeRuntime(threads, notes);
    default:
      return (await import("./web.ts")).openWebRuntime("wasm", threads, notes);
  }
}

function environmentSession(): string | undefined {
  return (isNode() && process.env.NATGRAD_SESSION) || undefined;
}
