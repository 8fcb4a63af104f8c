/** How much memory steps may take, and which batch does not take too much. */
import { MemoryError } from "../errors.ts";
import type { Optimizer, Problem } from "../optimizers/optimizer.ts";
import type { Runtime, Session } from "../runtime/session.ts";

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

/** A refusal that says which batch fits, found by halving; as it is where none does or nothing is refused for its memory. */
export async function explainMemory(
  error: unknown,
  optimizer: Optimizer,
  problem: Problem,
  samples: number,
): Promise<unknown> {
  if (!(error instanceof MemoryError)) return error;
  for (let batch = Math.floor(samples / 2); batch >= 1; batch = Math.floor(batch / 2)) {
    if (!(await fits(optimizer, problem, batch))) continue;
    return new MemoryError(`${error.message}; a batch of ${batch} fits in place of ${samples}`, {
      cause: error,
    });
  }
  return error;
}

/** Prepares a method for batches of a size, as if to run it. */
async function fits(optimizer: Optimizer, problem: Problem, samples: number): Promise<boolean> {
  const runtime = neverRun(problem.runtime);
  try {
    const method = await optimizer.start({ ...problem, runtime, onMemory: undefined });
    await method.prepare(samples).finally(() => method.dispose());
    return true;
  } catch (error) {
    if (error instanceof MemoryError) return false;
    throw error;
  }
}

/** A view of a runtime that compiles nothing. */
function neverRun({ kind, device, threads, describe }: Runtime): Runtime {
  const session: Session = { kind, bind: () => ({ run() {}, dispose() {} }), dispose() {} };
  return { kind, device, threads, describe, load: async () => session, dispose() {} };
}
