import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { describe, it } from "node:test";
import { lapackInfo, setBackend } from "../../src/linalg/index.ts";

/** Runs a line in a process of its own with NATGRAD_LAPACK set, for the library is looked for once. */
function inProcess(environment: Record<string, string>, line: string): string {
  const code = `import * as linalg from "./src/linalg/index.ts"; ${line}`;
  return execFileSync(process.execPath, ["--import", "tsx", "--input-type=module", "-e", code], {
    encoding: "utf8",
    env: { ...process.env, ...environment },
  }).trim();
}

describe("the search for LAPACK", () => {
  it("says which library it found, or why none", () => {
    const info = lapackInfo();
    assert.ok((info.library === undefined) !== (info.reason === undefined));
    if (info.reason !== undefined) {
      assert.throws(() => setBackend("lapack"), { message: info.reason });
    }
  });

  it("NATGRAD_LAPACK=off turns it off, and the kernels do the work", () => {
    const line =
      "const a = Float64Array.of(4, 0, 2, 5); console.log(JSON.stringify([linalg.lapackInfo(), linalg.cholesky(a, 2), [...a]]))";
    assert.equal(
      inProcess({ NATGRAD_LAPACK: "off" }, line),
      JSON.stringify([{ reason: "turned off by NATGRAD_LAPACK=off" }, 0, [2, 0, 1, 2]]),
    );
  });

  it("a path that is no LAPACK is an error in words at first use, and reported", () => {
    const line =
      "console.log(linalg.lapackInfo().reason); try { linalg.cholesky(new Float64Array(1).fill(1), 1) } catch (error) { console.log(error.message) }";
    const [reported, thrown] = inProcess({ NATGRAD_LAPACK: "./no-such-library.so" }, line).split("\n");
    assert.match(reported, /^NATGRAD_LAPACK=\.\/no-such-library\.so cannot be used: /);
    assert.equal(thrown, reported);
  });

  it("without Node, as in a browser, the kernels do the work and the reason is told", () => {
    const line =
      "delete globalThis.process.versions; globalThis.process = undefined; globalThis.setImmediate = undefined;" +
      "const a = Float64Array.of(4, 0, 2, 5); const info = linalg.lapackInfo();" +
      "const code = await linalg.choleskyAsync(a, 2); console.log(info.reason, code, [...a].join())";
    assert.equal(inProcess({}, line), "LAPACK needs Node 0 2,0,1,2");
  });
});
