import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { describe, it } from "node:test";
import { borrow, release } from "../../src/linalg/kernels.ts";

describe("the WebAssembly kernels", () => {
  it("nothing here imports Node or koffi, so that a browser can load it", () => {
    const folder = "src/linalg";
    const sources = readdirSync(folder).filter((file) => file.endsWith(".ts"));
    assert.ok(sources.length > 10);
    for (const file of sources) {
      const imports = [
        ...readFileSync(`${folder}/${file}`, "utf8").matchAll(/\bfrom "([^"]+)"|import\("([^"]+)"\)/g),
      ];
      for (const [, from, dynamic] of imports)
        assert.match(from ?? dynamic, /^(\.\/|\.\.\/(breathe|foreign)\.ts$)/, file);
    }
  });

  it("the committed bytes are what their source compiles to", () => {
    // Without the test runner's own loader, through which the compiler would take ten times as long.
    const env = { ...process.env, NODE_OPTIONS: "" };
    execFileSync(process.execPath, ["scripts/build-kernels.mjs", "--check"], { stdio: "pipe", env });
  });

  it("a workspace belongs to one borrower at a time and is lent again afterwards", () => {
    const first = borrow(100);
    const second = borrow(100);
    assert.notEqual(first, second);
    release(first);
    const third = borrow(100);
    assert.equal(third, first);
    release(second);
    release(third);
  });

  it("memory that grew large is not kept", () => {
    const large = borrow(10e6);
    assert.ok(large.numbers.length >= 10e6);
    release(large);
    const next = borrow(10);
    assert.notEqual(next, large);
    release(next);
  });

  it("more memory than WebAssembly has is refused in words", () => {
    assert.throws(() => borrow(2 ** 30), /not enough memory: 8\.0 GiB needed.*install OpenBLAS/);
  });
});
