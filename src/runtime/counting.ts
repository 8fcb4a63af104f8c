/** A runtime that counts what its programs compute, whoever compiles them: the same on every machine, where times are not. */
import type { Binding, Runtime, Session } from "./session.ts";

/** What the runs of all programs add up to so far. */
export interface OperationCount {
  /** Floating-point operations: two for each product of a matrix product, one for each number of any other result. */
  readonly flops: number;
  readonly runs: number;
}

/**
 * Wraps a runtime. What the host computes between two programs (factorizations, above all) is not counted.
 *
 * @returns the runtime to use in its place, and its count, which goes on
 */
export function countOperations(runtime: Runtime): { runtime: Runtime; count: OperationCount } {
  const count = { flops: 0, runs: 0 };
  const countBinding = (binding: Binding, flops: number): Binding => ({
    run() {
      count.flops += flops;
      count.runs++;
      return binding.run();
    },
    dispose: () => binding.dispose(),
  });
  const countSession = (session: Session, flops: number): Session => ({
    kind: session.kind,
    bind: (feeds, fetches) => countBinding(session.bind(feeds, fetches), flops),
    dispose: () => session.dispose(),
  });
  const counting: Runtime = {
    ...{ kind: runtime.kind, device: runtime.device, threads: runtime.threads },
    describe: () => runtime.describe(),
    load: async (model) => countSession(await runtime.load(model), model.flops),
    dispose: () => runtime.dispose(),
  };
  return { runtime: counting, count };
}
