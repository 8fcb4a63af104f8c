/** How much memory the machine has left for what is about to be built. */

/** Where the machine cannot be asked: in browsers, whose WebAssembly has no more. */
const UNKNOWN_MEMORY = 4 * 2 ** 30;

/**
 * The part of the free memory that a step may take. Estimates leave out programs, data and what kernels take inside, and are low for deep networks
 * by Kronecker factors, at worst by half: WideResNet by K-FAC, 3.0 GiB by estimate, took 5.8 (`npm run bench:images`).
 */
const SHARE = 0.5;

/** Bytes that a step may take where nobody sets a limit: half of what the machine has left. */
export function availableMemory(): number {
  const { process } = globalThis as { process?: { availableMemory?(): number } };
  const available = process?.availableMemory?.();
  return available ? Math.floor(SHARE * available) : UNKNOWN_MEMORY;
}
