/**
 * Sessions over `onnxruntime-web`: WebAssembly or WebGPU in a browser, WebAssembly in Node where nothing native runs.
 *
 * WebAssembly takes several threads only on pages that are cross-origin isolated (headers COOP and COEP) and that said where the
 * package's files are: its threads load the script that the package is in, which in a bundle is the page's own, and would wait
 * for ever. It takes their number once, with the first session.
 *
 * WebGPU knows float32, int32 and bool; an operation that it lacks is an error here, where the package by itself would compute it on
 * the CPU without a word.
 */

import type * as OrtWeb from "onnxruntime-web";
import { RunError, UsageError } from "../errors.ts";
import type { OnnxModel } from "../graph/onnx-model.ts";
import { type OrtPackage, PackageRuntime, Queue } from "./ort-package.ts";
import type { Runtime } from "./session.ts";
import { isNode } from "./threads.ts";
import { useWasmFolder } from "./wasm-folder.ts";

/** One instance of the package for the whole page or process. */
interface LoadedPackage {
  readonly ort: typeof OrtWeb;
  readonly queue: Queue;
  readonly threads: number;
}

const loaded = new Map<"wasm" | "webgpu", Promise<LoadedPackage>>();

/** @throws UsageError when WebGPU is asked for and this machine or page offers no adapter */
export async function openWebRuntime(
  device: "wasm" | "webgpu",
  threads: number,
  notes: readonly string[] = [],
): Promise<Runtime> {
  if (device === "webgpu" && !(await hasWebGpu())) {
    throw new UsageError(
      'device "webgpu": no WebGPU adapter here (use a browser with hardware acceleration on, or device "auto" or "cpu")',
    );
  }
  const { ort, queue, threads: actual } = await loadPackage(device, threads);
  return new PackageRuntime(ort as OrtPackage, {
    kind: "web",
    device,
    threads: actual,
    description: [
      `session web: onnxruntime-web ${ort.env.versions.web}, ${device === "wasm" ? "WebAssembly" : "WebGPU"}`,
      actual === threads ? `threads ${actual}` : `threads ${actual} (${whyFewer()})`,
      ...notes,
    ],
    fillsGivenOutputs: false,
    queue,
    sessionOptions: device === "wasm" ? wasmOptions : webGpuOptions,
  });
}

/** Whether this page or machine offers a WebGPU adapter. */
export async function hasWebGpu(): Promise<boolean> {
  const gpu = (globalThis as { navigator?: { gpu?: { requestAdapter(): Promise<unknown> } } }).navigator?.gpu;
  return Boolean(await gpu?.requestAdapter().catch(() => null));
}

function loadPackage(device: "wasm" | "webgpu", threads: number): Promise<LoadedPackage> {
  const known = loaded.get(device);
  if (known) return known;
  const loading = startPackage(device, threads);
  loaded.set(device, loading);
  return loading;
}

async function startPackage(device: "wasm" | "webgpu", threads: number): Promise<LoadedPackage> {
  const ort = await importPackage(device);
  const folder = useWasmFolder();
  const actual = isNode() || (isIsolated() && folder !== undefined) ? threads : 1;
  ort.env.wasm.numThreads = actual;
  ort.env.logLevel = "fatal";
  if (folder !== undefined && !isNode()) ort.env.wasm.wasmPaths = folder;
  return { ort, queue: new Queue(), threads: actual };
}

/** Whether WebAssembly may have shared memory, and so threads. */
function isIsolated(): boolean {
  return globalThis.crossOriginIsolated !== false;
}

function whyFewer(): string {
  if (!isIsolated()) return "more need a cross-origin isolated page";
  return isNode() || useWasmFolder() !== undefined
    ? "set by the first runtime opened"
    : "more need setWasmFolder";
}

/** Browsers take the smallest build for the device. Node takes the one that reads files, and not by an import: bundlers would add it. */
async function importPackage(device: "wasm" | "webgpu"): Promise<typeof OrtWeb> {
  if (device === "webgpu") return import("onnxruntime-web/webgpu");
  if (!isNode()) return import("onnxruntime-web/wasm");
  const { createRequire } = process.getBuiltinModule("node:module");
  return createRequire(import.meta.url)("onnxruntime-web");
}

function wasmOptions(): OrtWeb.InferenceSession.SessionOptions {
  return { executionProviders: ["wasm"] };
}

function webGpuOptions(model: OnnxModel): OrtWeb.InferenceSession.SessionOptions {
  const wide = [...model.inputs, ...model.outputs].find(({ dtype }) => dtype === "float64");
  if (wide) throw new RunError('WebGPU has no float64 (use dtype "float32", or device "cpu")');
  return { executionProviders: ["webgpu"], extra: { session: { disable_cpu_ep_fallback: "1" } } };
}
