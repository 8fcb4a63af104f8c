/**
 * OpenBLAS's choice of kernels on x86 processors younger than itself.
 *
 * A library built for many processors asks the one it runs on for its model. One that it has not heard of gets the kernels of Prescott, of 2004: a Cholesky
 * factorization of order 2048 then takes 2.6 times as long as it could, an eigendecomposition of order 1024 twice (docs/performance.md). What the processor
 * can do is no secret, so where that happens the library is loaded once more with the kernels named.
 */
import type { Library } from "./lapack.ts";

/** What OpenBLAS reads, when it is loaded, to be told which kernels to take. */
const VARIABLE = "OPENBLAS_CORETYPE";

/** The kernels that OpenBLAS takes when it knows no others. */
const LAST_RESORT = /\bPrescott\b/;

/** Instruction sets that kernels take for granted, the best kernels first. */
const KERNELS = [
  { name: "SkylakeX", needs: ["avx512f", "avx512cd", "avx512bw", "avx512dq", "avx512vl", "fma"] },
  { name: "Haswell", needs: ["avx2", "fma"] },
] as const;

/**
 * The kernels that a processor can do with.
 *
 * @param configuration what OpenBLAS says of itself, the kernels in use included
 * @param flags the processor's, as Linux lists them
 * @returns none where those in use are not those of last resort
 */
export function betterKernels(configuration: string, flags: ReadonlySet<string>): string | undefined {
  if (!/\bDYNAMIC_ARCH\b/.test(configuration) || !LAST_RESORT.test(configuration)) return undefined;
  return KERNELS.find(({ needs }) => needs.every((flag) => flags.has(flag)))?.name;
}

export interface LoadedBlas {
  readonly library: Library;
  /** What the library says of itself, where it does. */
  readonly version?: string;
}

/** Loads a library, OpenBLAS with kernels for this processor. `OPENBLAS_CORETYPE` in the environment settles the choice beforehand. */
export function loadBlas(load: (path: string) => Library, path: string, process: NodeJS.Process): LoadedBlas {
  const library = load(path);
  const version = configurationOf(library);
  if (version === undefined) return { library };
  const { env } = process;
  const better = env[VARIABLE] === undefined ? betterKernels(version, processorFlags(process)) : undefined;
  if (!better) return { library, version };
  library.unload();
  env[VARIABLE] = better;
  try {
    const again = load(path);
    const reloaded = configurationOf(again)!;
    // Where others hold the library, or in a worker, whose environment is its own, it is the same as before.
    const remark = LAST_RESORT.test(reloaded)
      ? `${VARIABLE}=${better} would be faster`
      : "kernels by natgrad's choice";
    return { library: again, version: `${reloaded} (${remark}: this OpenBLAS does not know the processor)` };
  } finally {
    delete env[VARIABLE];
  }
}

function configurationOf(library: Library): string | undefined {
  try {
    return String(library.func("const char *openblas_get_config()")()).trim();
  } catch {
    return undefined;
  }
}

/** Names of the instruction sets that all processors share; none where the system does not list them. */
export function processorFlags(process: NodeJS.Process): ReadonlySet<string> {
  try {
    const { readFileSync } = process.getBuiltinModule("node:fs");
    const line = /^flags\s*:(.*)$/m.exec(readFileSync("/proc/cpuinfo", "utf8"));
    return new Set(line?.[1].trim().split(/\s+/));
  } catch {
    return new Set();
  }
}
