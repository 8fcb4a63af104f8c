/**
 * Sessions over `onnxruntime-web`: WebAssembly or WebGPU in a browser, WebAssembly in Node where nothing native runs.
 *
 * WebAssembly takes several threads only on pages that are cross-origin isolated (headers COOP and COEP), and takes their
 * number once, with the first session. WebGPU knows float32, int32 and bool; an operation that it lacks is an error here, where
 * the package by itself would compute it on the CPU without a word.
 */

import type * as OrtWeb from "onnxruntime-web";
import { RunError, UsageError } from "../errors.ts";
import type { OnnxModel } from "../graph/onnx-model.ts";
import { type OrtPackage, PackageRuntime } from "./ort-package.ts";
import type { Runtime } from "./session.ts";
import { isNode } from "./threads.ts";

/** The package, loaded, with the number of threads it started with. */
const loaded = new Map<"wasm" | "webgpu", { ort: typeof OrtWeb; threads: number }>();

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
  const { ort, threads: actual } = await loadPackage(device, threads);
  const isolation = actual < threads ? [`threads ${actual} (more need a cross-origin isolated page)`] : [];
  return new PackageRuntime(ort as OrtPackage, {
    kind: "web",
    device,
    threads: actual,
    description: [
      `session web: onnxruntime-web ${ort.env.versions.web}, ${device === "wasm" ? "WebAssembly" : "WebGPU"}`,
      ...(isolation.length ? isolation : [`threads ${actual}`]),
      ...notes,
    ],
    fillsGivenOutputs: false,
    sessionOptions: device === "wasm" ? wasmOptions : webGpuOptions,
  });
}

/** Whether this page or machine offers a WebGPU adapter. */
export async function hasWebGpu(): Promise<boolean> {
  const gpu = (globalThis as { navigator?: { gpu?: { requestAdapter(): Promise<unknown> } } }).navigator?.gpu;
  return Boolean(await gpu?.requestAdapter().catch(() => null));
}

async function loadPackage(device: "wasm" | "webgpu", threads: number) {
  const known = loaded.get(device);
  if (known) return known;
  const ort = await importPackage(device);
  const isParallel = globalThis.crossOriginIsolated !== false;
  ort.env.wasm.numThreads = isParallel ? threads : 1;
  ort.env.logLevel = "fatal";
  const entry = { ort, threads: ort.env.wasm.numThreads };
  loaded.set(device, entry);
  return entry;
}

/** Browsers take the smallest build for the device; the package's default export is, in Node, the build that reads files. */
function importPackage(device: "wasm" | "webgpu"): Promise<typeof OrtWeb> {
  if (device === "webgpu") return import("onnxruntime-web/webgpu");
  return isNode() ? import("onnxruntime-web") : import("onnxruntime-web/wasm");
}

function wasmOptions(): OrtWeb.InferenceSession.SessionOptions {
  return { executionProviders: ["wasm"] };
}

function webGpuOptions(model: OnnxModel): OrtWeb.InferenceSession.SessionOptions {
  const wide = [...model.inputs, ...model.outputs].find(({ dtype }) => dtype === "float64");
  if (wide) throw new RunError('WebGPU has no float64 (use dtype "float32", or device "cpu")');
  return { executionProviders: ["webgpu"], extra: { session: { disable_cpu_ep_fallback: "1" } } };
}
