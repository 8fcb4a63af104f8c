/** How much memory the machine has left for what is about to be built. */

/** Where the machine cannot be asked: in browsers, whose WebAssembly has no more. */
const UNKNOWN_MEMORY = 4 * 2 ** 30;

/**
 * The part of the free memory that a step may take. Estimates leave out kernels, programs and data, and are low where ONNX Runtime's own fusions
 * put off what would free derivatives: MobileNetV2 by K-FAC, 3.5 GiB by estimate, took 6.6.
 */
const SHARE = 0.75;

/** Bytes that a step may take where nobody sets a limit: three quarters of what the machine has left. */
export function availableMemory(): number {
  const { process } = globalThis as { process?: { availableMemory?(): number } };
  const available = process?.availableMemory?.();
  return available ? Math.floor(SHARE * available) : UNKNOWN_MEMORY;
}
