/** Which of the two paths does the work. */
import { type Lapack, lapackInfo, systemLapack } from "./lapack.ts";

/** `auto`: LAPACK when the system has one, the embedded kernels otherwise. */
export type Backend = "auto" | "embedded" | "lapack";

let chosen: Backend = "auto";

/**
 * Chooses the path for every call that follows, in this process; for tests and benchmarks.
 *
 * @throws when `lapack` is asked for and there is none
 */
export function setBackend(backend: Backend): void {
  if (backend === "lapack" && systemLapack() === undefined) throw new Error(lapackInfo().reason);
  chosen = backend;
}

/** The LAPACK to use, or `undefined` where the embedded kernels are to do the work. */
export function activeLapack(): Lapack | undefined {
  return chosen === "embedded" ? undefined : systemLapack();
}
