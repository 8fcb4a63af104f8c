/** Kernels for processors that OpenBLAS does not know. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { describe, it } from "node:test";
import { lapackInfo } from "../../src/linalg/index.ts";
import { betterKernels, processorFlags } from "../../src/linalg/openblas.ts";

const flags = (list: string) => new Set(list.split(" "));
const AVX512 = "sse3 fma avx2 avx512f avx512dq avx512cd avx512bw avx512vl";
const FALLEN_BACK = "OpenBLAS 0.3.21 NO_LAPACKE DYNAMIC_ARCH NO_AFFINITY Prescott MAX_THREADS=64";

describe("OpenBLAS's kernels", () => {
  it("of last resort are replaced by the best that the processor can do with", () => {
    assert.equal(betterKernels(FALLEN_BACK, flags(AVX512)), "SkylakeX");
    assert.equal(betterKernels(FALLEN_BACK, flags("sse3 fma avx2 avx512f")), "Haswell");
  });

  it("stay on a processor that can do no better, on one whose abilities are unknown, and where OpenBLAS chose others", () => {
    assert.equal(betterKernels(FALLEN_BACK, flags("sse3 ssse3")), undefined);
    assert.equal(betterKernels(FALLEN_BACK, new Set()), undefined);
    assert.equal(betterKernels(FALLEN_BACK.replace("Prescott", "Zen"), flags(AVX512)), undefined);
    assert.equal(
      betterKernels(FALLEN_BACK.replace("DYNAMIC_ARCH ", ""), flags(AVX512)),
      undefined,
      "a build for one",
    );
  });

  const { version = "" } = lapackInfo();
  const absent = version.includes("DYNAMIC_ARCH") ? false : "no OpenBLAS for several processors";

  it("are those of OPENBLAS_CORETYPE where it is set", { skip: absent }, () => {
    const code = `import { lapackInfo } from "./src/linalg/index.ts"; console.log(lapackInfo().version);`;
    const said = execFileSync(process.execPath, ["--import", "tsx", "--input-type=module", "-e", code], {
      encoding: "utf8",
      env: { ...process.env, OPENBLAS_CORETYPE: "Prescott" },
    });
    assert.match(said, /Prescott MAX_THREADS=\d+\n$/);
  });

  it("are not those of last resort, and the environment is left as it was", { skip: absent }, (t) => {
    const before = process.env.OPENBLAS_CORETYPE;
    if (before !== undefined) return t.skip("OPENBLAS_CORETYPE is set");
    if (!processorFlags(process).has("avx2")) return t.skip("the processor knows no AVX2, or nobody says so");
    assert.doesNotMatch(version, /Prescott/);
    assert.equal(process.env.OPENBLAS_CORETYPE, before);
  });
});
