/** How much memory steps may take, and which batch does not take too much. */
import { MemoryError } from "../errors.ts";
import type { Optimizer, Problem } from "../optimizers/optimizer.ts";
import type { Runtime, Session } from "../runtime/session.ts";

export { availableMemory } from "../memory.ts";

/** A refusal that says which batch fits, found by halving, or that none does; any other error as it is. */
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
  return samples > 1
    ? new MemoryError(`${error.message}; no batch is small enough`, { cause: error })
    : error;
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
