/** Sessions over `onnxruntime-node`'s own binding, for platforms where the C interface cannot be called. A run blocks the event loop. */

import { type OrtPackage, PackageRuntime, Queue } from "./ort-package.ts";
import type { Runtime } from "./session.ts";
import { spinMicroseconds, threadsFor } from "./threads.ts";

/** @throws Error when the package's binding cannot be loaded on this platform */
export function openNodeRuntime(threads: number, notes: readonly string[]): Runtime {
  // Not an import: a bundler for browsers must not look for the package.
  const { createRequire } = process.getBuiltinModule("node:module");
  const ort: OrtPackage = createRequire(import.meta.url)("onnxruntime-node");
  return new PackageRuntime(ort, {
    kind: "node",
    device: "cpu",
    threads,
    description: ["session node: onnxruntime-node's own binding", `threads ${threads}`, ...notes],
    fillsGivenOutputs: true,
    queue: new Queue(),
    sessionOptions: (model) => ({
      executionProviders: ["cpu"],
      intraOpNumThreads: threadsFor(model.flops, threads),
      extra: { session: { intra_op: { spin_duration_us: spinMicroseconds(model.flops) } } },
    }),
  });
}
