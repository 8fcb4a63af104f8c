/** Where a page's copies of onnxruntime-web's WebAssembly files are. */

import { UsageError } from "../errors.ts";

let folder: string | undefined;
let isInUse = false;

/**
 * Says where the page finds `ort-wasm-simd-threaded.wasm` and `.mjs` (for WebGPU: `ort-wasm-simd-threaded.asyncify.*`), copied from
 * `onnxruntime-web/dist`. Without it the first is looked for beside the script, and there is one thread only. In Node it has no
 * effect.
 *
 * @param url of the folder, absolute or relative to the page
 * @throws UsageError once a trainer has been made: the files are loaded by then
 */
export function setWasmFolder(url: string | URL): void {
  if (isInUse) throw new UsageError("setWasmFolder must come before the first trainer");
  const { location } = globalThis;
  const absolute = location === undefined ? String(url) : new URL(url, location.href).href;
  folder = absolute.endsWith("/") ? absolute : `${absolute}/`;
}

/** The folder, from now on fixed. */
export function useWasmFolder(): string | undefined {
  isInUse = true;
  return folder;
}
