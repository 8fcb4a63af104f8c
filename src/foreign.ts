/** koffi, the door to native libraries, set up once for everyone here who calls through it. */

import type * as Koffi from "koffi";

/**
 * koffi runs asynchronous calls on stacks of its own, 128 KiB unless told otherwise: numerical kernels that keep panels of matrices on
 * the stack need more. Memory is taken as it is touched.
 */
const STACK_BYTES = 2 * 2 ** 20;

let koffi: typeof Koffi | undefined;

/**
 * The one way to get koffi. It is not imported, so that bundlers for browsers look neither for it nor for Node's modules.
 *
 * @throws Error outside Node, before Node 20.16, and where koffi has no build for the platform
 */
export function loadKoffi(): typeof Koffi {
  if (koffi) return koffi;
  const { process } = globalThis as { process?: NodeJS.Process };
  const module = process?.getBuiltinModule?.("node:module");
  if (!module) throw new Error("native libraries need Node 20.16 or newer");
  const loaded: typeof Koffi = module.createRequire(import.meta.url)("koffi");
  try {
    loaded.config({ ...loaded.config(), async_stack_size: STACK_BYTES });
  } catch {
    // The program has opened a library with koffi before us, which settles the sizes: see hasAsyncStacks.
  }
  koffi = loaded;
  return koffi;
}

/** Whether asynchronous calls have room for numerical kernels. */
export function hasAsyncStacks(): boolean {
  return (loadKoffi().config().async_stack_size ?? 0) >= STACK_BYTES;
}

/** `RTLD_LAZY | RTLD_NODELETE` by platform. */
const NEVER_UNMAPPED: Partial<Record<NodeJS.Platform, number>> = { linux: 0x1 | 0x1000, darwin: 0x1 | 0x80 };

/**
 * Keeps a library that koffi has loaded in memory until the process is gone. koffi closes its libraries when Node ends; a thread of
 * the library's own that only then gets its turn, as on a busy machine in a short-lived process, would start in code that is no longer there.
 */
export function keepLoaded(path: string): void {
  const mode = NEVER_UNMAPPED[process.platform];
  if (mode === undefined) return;
  try {
    const itself = loadKoffi().load(null);
    itself.func("dlopen", "uintptr_t", ["const char *", "int"])(path, mode);
  } catch {
    // A C library without dlopen, such as a static one: the library is closed at the end, as it was.
  }
}
