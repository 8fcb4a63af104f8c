import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { describe, it } from "node:test";
import { promisify } from "node:util";
import { UsageError } from "../../src/errors.ts";
import { openRuntime, type RuntimeOptions } from "../../src/runtime/runtime.ts";
import { physicalCores, threadsFor } from "../../src/runtime/threads.ts";
import { allocate } from "../../src/tensor.ts";
import { matrix } from "./conformance.ts";
import { addition, chain } from "./models.ts";

describe("openRuntime", () => {
  it("takes the C interface and the physical cores by default", async () => {
    const runtime = await openRuntime();
    assert.equal(runtime.kind, "native");
    assert.equal(runtime.device, "cpu");
    assert.equal(runtime.threads, physicalCores());
    runtime.dispose();
  });

  it("checks its options in one line", async () => {
    const refuse = (options: object, message: string) =>
      assert.rejects(openRuntime(options as RuntimeOptions), (error) => {
        assert.ok(error instanceof UsageError);
        assert.equal(error.message, message);
        return true;
      });
    await refuse({ device: "gpu" }, 'invalid device: "gpu" (must be cpu, wasm, webgpu, auto)');
    await refuse({ session: "c" }, 'invalid session: "c" (must be native, node, web)');
    await refuse({ threads: 0 }, "invalid threads: 0 (must be a whole number >= 1)");
    await refuse(
      { device: "wasm", session: "native" },
      'invalid session: "native" (must be web for device "wasm")',
    );
  });

  it("says what to do without a WebGPU adapter, and takes the CPU when that was allowed", async () => {
    await assert.rejects(
      openRuntime({ device: "webgpu" }),
      /no WebGPU adapter here \(use .* or device "auto" or "cpu"\)/,
    );
    const runtime = await openRuntime({ device: "auto" });
    assert.equal(runtime.device, "cpu");
    assert.ok(runtime.describe().includes('device "auto": no WebGPU adapter, so the CPU'));
  });

  it("follows NATGRAD_SESSION", async () => {
    process.env.NATGRAD_SESSION = "node";
    try {
      assert.equal((await openRuntime({ session: "native" })).kind, "node");
    } finally {
      delete process.env.NATGRAD_SESSION;
    }
  });

  it("agrees among implementations", async () => {
    const results = await Promise.all(
      (["native", "node", "web"] as const).map(async (session) => {
        const runtime = await openRuntime({ session, threads: 1 });
        const y = allocate("float32", 64 * 64);
        const loaded = await runtime.load(chain(64, 3));
        await loaded.bind({ x: matrix(64, 1), w: matrix(64, 0.1) }, { y }).run();
        runtime.dispose();
        return y;
      }),
    );
    assert.deepEqual(results[1], results[0]);
    const gap = Math.max(...results[2].map((number, index) => Math.abs(number - results[0][index])));
    assert.ok(gap < 1e-5, `WebAssembly differs by ${gap}`);
  });

  it("disposes its sessions", async () => {
    const runtime = await openRuntime({ session: "native", threads: 1 });
    const session = await runtime.load(addition("float32", [1]));
    runtime.dispose();
    assert.throws(() => session.bind({}, {}), /this session is disposed/);
    await assert.rejects(runtime.load(addition("float32", [1])), /this runtime is disposed/);
  });
});

describe("native runs", () => {
  it("are synchronous when short and leave the event loop free when long", async () => {
    const runtime = await openRuntime({ session: "native", threads: 1 });
    const small = await runtime.load(addition("float32", [1]));
    const [a, b, c] = [0, 1, 2].map(() => allocate("float32", 1));
    assert.equal(small.bind({ a, b }, { c }).run(), undefined);

    const large = await runtime.load(chain(700, 12));
    const arrays = { x: matrix(700, 1), w: matrix(700, 0.02) };
    let ended = false;
    const run = large.bind(arrays, { y: allocate("float32", 700 * 700) }).run();
    assert.ok(run instanceof Promise);
    const end = run.then(() => {
      ended = true;
    });
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(ended, false);
    await end;
    runtime.dispose();
  });

  it("learn how long a model takes", async () => {
    const runtime = await openRuntime({ session: "native", threads: 1 });
    const session = await runtime.load({ ...addition("float32", [1]), flops: 1e9 });
    const [a, b, c] = [0, 1, 2].map(() => allocate("float32", 1));
    const binding = session.bind({ a, b }, { c });
    const isAsync = [];
    for (let run = 0; run < 40; run++) {
      await new Promise((resolve) => setImmediate(resolve));
      const pending = binding.run();
      isAsync.push(pending instanceof Promise);
      await pending;
    }
    assert.deepEqual([isAsync[0], isAsync.at(-1)], [true, false]);
    runtime.dispose();
  });
});

describe("threadsFor", () => {
  it("spreads only large models", () => {
    assert.equal(threadsFor(1e6, 8), 1);
    assert.equal(threadsFor(1e9, 8), 8);
  });
});

describe("the end of the process", () => {
  const endings = {
    "with sessions still loaded": "",
    "after everything was disposed": "await last; binding.dispose(); session.dispose(); runtime.dispose();",
    "in the middle of a run": "process.exit(0);",
    "disposed in the middle of a run": "session.dispose(); process.exit(0);",
  };
  for (const [name, ending] of Object.entries(endings)) {
    it(`is clean ${name}`, async () => {
      const program = `
        import { openRuntime } from "./src/runtime/runtime.ts";
        import { chain } from "./test/runtime/models.ts";
        const runtime = await openRuntime({ session: "native", threads: 2 });
        const session = await runtime.load(chain(400, 8));
        const [x, w, y] = [0, 1, 2].map(() => new Float32Array(400 * 400));
        const binding = session.bind({ x, w }, { y });
        await binding.run();
        const last = binding.run();
        ${ending}`;
      const { stderr } = await promisify(execFile)(process.execPath, [
        "--import",
        "tsx",
        "--input-type=module",
        "-e",
        program,
      ]);
      assert.equal(stderr, "");
    });
  }

  const linux = process.platform === "linux" ? false : "reads /proc";
  it("finds the library where it was, though koffi has closed it", { skip: linux }, async () => {
    const program = `
      import { readFileSync } from "node:fs";
      import { keepLoaded, loadKoffi } from "./src/foreign.ts";
      import { findOrtLibrary } from "./src/runtime/ort-library.ts";
      const isMapped = () => readFileSync("/proc/self/maps", "utf8").includes("libonnxruntime");
      const path = findOrtLibrary();
      const states = [];
      for (const keep of [() => {}, keepLoaded]) {
        const library = loadKoffi().load(path);
        keep(path);
        library.unload();
        states.push(isMapped());
      }
      console.log(states.join());`;
    const { stdout } = await promisify(execFile)(process.execPath, [
      ...["--import", "tsx", "--input-type=module", "-e", program],
    ]);
    assert.equal(stdout.trim(), "false,true");
  });
});
