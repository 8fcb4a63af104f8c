/** What every implementation of `Runtime` must do; each has a test file of a few lines that calls this. */

import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { RunError } from "../../src/errors.ts";
import type { OnnxNode } from "../../src/graph/onnx-model.ts";
import { openRuntime, type Runtime, type SessionKind } from "../../src/runtime/runtime.ts";
import { allocate, type TypedArray } from "../../src/tensor.ts";
import { addition, chain, model, value } from "./models.ts";

export function conformance(kind: SessionKind): void {
  describe(`${kind} sessions`, () => {
    let runtime: Runtime;
    before(async () => {
      runtime = await openRuntime({ session: kind, threads: 2 });
    });
    after(() => runtime.dispose());

    it("say what they are", () => {
      assert.equal(runtime.kind, kind);
      assert.equal(runtime.threads, 2);
      assert.match(runtime.describe()[0], new RegExp(`^session ${kind}: `));
    });

    const samples = [
      [
        "float32",
        Float32Array.of(1.5, -2, 1e20),
        Float32Array.of(0.25, 2, 1e20),
        [1.75, 0, Math.fround(2e20)],
      ],
      ["float64", Float64Array.of(0.1, 1e-300, 1), Float64Array.of(0.2, 0, 1e-16), [0.1 + 0.2, 1e-300, 1]],
      ["int32", Int32Array.of(1, -7, 2 ** 30), Int32Array.of(1, 7, 1), [2, 0, 2 ** 30 + 1]],
    ] as const;
    for (const [dtype, a, b, expected] of samples) {
      it(`compute in ${dtype}`, async () => {
        const session = await runtime.load(addition(dtype, [3]));
        const c = allocate(dtype, 3);
        await session.bind({ a, b }, { c }).run();
        assert.deepEqual(
          [...c],
          [...expected].map((number) => (dtype === "float32" ? Math.fround(number) : number)),
        );
        session.dispose();
      });
    }

    it("take and give bool", async () => {
      const inputs = [value("p", "bool", [4]), value("x", "float32", [4])];
      const outputs = [value("q", "bool", [4]), value("positive", "bool", [4])];
      const nodes = [
        { type: "Not", inputs: ["p"], outputs: ["q"] },
        { type: "Greater", inputs: ["x", "zero"], outputs: ["positive"] },
      ];
      const zero = { name: "zero", dtype: "float32", shape: [], data: [0] } as const;
      const session = await runtime.load(model(nodes, inputs, outputs, { initializers: [zero] }));
      const q = allocate("bool", 4);
      const positive = allocate("bool", 4);
      const x = Float32Array.of(-1, 1, 0, 5);
      await session.bind({ p: Uint8Array.of(1, 0, 0, 1), x }, { q, positive }).run();
      assert.deepEqual([...q], [0, 1, 1, 0]);
      assert.deepEqual([...positive], [0, 1, 0, 1]);
    });

    it("take scalars, int64 constants, every kind of attribute and left-out inputs", async () => {
      const nodes: OnnxNode[] = [
        {
          type: "Gemm",
          inputs: ["x", "x", ""],
          outputs: ["g"],
          attributes: { alpha: { float: 0.5 }, transB: { int: 1 } },
        },
        { type: "Transpose", inputs: ["g"], outputs: ["t"], attributes: { perm: { ints: [1, 0] } } },
        { type: "Pad", inputs: ["t", "pads"], outputs: ["p"], attributes: { mode: { string: "edge" } } },
        { type: "Mul", inputs: ["p", "scale"], outputs: ["scaled"] },
        {
          type: "ReduceSum",
          inputs: ["scaled", "axes"],
          outputs: ["sum"],
          attributes: { keepdims: { int: 0 } },
        },
      ];
      const initializers = [
        { name: "pads", dtype: "int64", shape: [4], data: [0, 1, 0, 0] },
        { name: "axes", dtype: "int64", shape: [2], data: [0, -1] },
      ] as const;
      const inputs = [value("x", "float32", [2, 2]), value("scale", "float32", [])];
      const session = await runtime.load(
        model(nodes, inputs, [value("sum", "float32", [])], { initializers }),
      );
      const sum = allocate("float32", 1);
      await session.bind({ x: Float32Array.of(1, 2, 3, 4), scale: Float32Array.of(10) }, { sum }).run();
      // x xᵀ / 2 = [[2.5, 5.5], [5.5, 12.5]], its first column doubled by the padding.
      assert.equal(sum[0], 10 * (2.5 + 5.5 + 5.5 + 12.5 + 2.5 + 5.5));
    });

    it("give constants, inputs and one value under two names as outputs", async () => {
      const nodes = [
        { type: "Identity", inputs: ["constant"], outputs: ["k"] },
        { type: "Identity", inputs: ["x"], outputs: ["same"] },
        { type: "Neg", inputs: ["x"], outputs: ["n1"] },
        { type: "Identity", inputs: ["n1"], outputs: ["n2"] },
      ];
      const outputs = ["k", "same", "n1", "n2"].map((name) => value(name, "float32", [2]));
      const constant = { name: "constant", dtype: "float32", shape: [2], data: [7, 8] } as const;
      const session = await runtime.load(
        model(nodes, [value("x", "float32", [2])], outputs, { initializers: [constant] }),
      );
      const fetches = Object.fromEntries(outputs.map(({ name }) => [name, allocate("float32", 2)]));
      const binding = session.bind({ x: Float32Array.of(1, 2) }, fetches);
      for (let run = 0; run < 2; run++) {
        for (const array of Object.values(fetches)) array.fill(0);
        await binding.run();
        assert.deepEqual(
          Object.values(fetches).map((array) => [...array]),
          [
            [7, 8],
            [1, 2],
            [-1, -2],
            [-1, -2],
          ],
        );
      }
    });

    it("read the feeds anew in every run, however small and wherever they live", async () => {
      const session = await runtime.load(addition("float32", [2]));
      const a = new Float32Array(2);
      const b = new Float32Array(new ArrayBuffer(64), 8, 2).fill(1);
      const c = new Float32Array(2);
      const binding = session.bind({ a, b }, { c });
      for (let run = 0; run < 50; run++) {
        a.fill(run);
        const garbage = Array.from({ length: 2000 }, () => new Float32Array(4));
        await binding.run();
        assert.deepEqual([...c], [run + 1, run + 1]);
        assert.equal(garbage.length, 2000);
      }
    });

    it("update a state that lives in two swapped buffers", async () => {
      const session = await runtime.load(addition("float64", [3]));
      const buffers = [allocate("float64", 3), allocate("float64", 3)];
      const b = Float64Array.of(1, 2, 3);
      const bindings = [0, 1].map((from) => session.bind({ a: buffers[from], b }, { c: buffers[1 - from] }));
      for (let step = 0; step < 11; step++) await bindings[step % 2].run();
      assert.deepEqual([...buffers[1]], [11, 22, 33]);
      assert.deepEqual([...buffers[0]], [10, 20, 30]);
    });

    it("compute only the outputs asked for", async () => {
      const nodes = [
        { type: "Neg", inputs: ["x"], outputs: ["n"] },
        { type: "Abs", inputs: ["x"], outputs: ["m"] },
      ];
      const outputs = [value("n", "float32", [2]), value("m", "float32", [2])];
      const session = await runtime.load(model(nodes, [value("x", "float32", [2])], outputs));
      const m = allocate("float32", 2);
      await session.bind({ x: Float32Array.of(-1, 2) }, { m }).run();
      assert.deepEqual([...m], [1, 2]);
    });

    it("take tensors without elements", async () => {
      const session = await runtime.load(
        model(
          [
            {
              type: "ReduceSum",
              inputs: ["x", "axes"],
              outputs: ["sum"],
              attributes: { keepdims: { int: 0 } },
            },
          ],
          [value("x", "float32", [0, 3])],
          [value("sum", "float32", [3])],
          { initializers: [{ name: "axes", dtype: "int64", shape: [1], data: [0] }] },
        ),
      );
      const sum = allocate("float32", 3).fill(9);
      await session.bind({ x: allocate("float32", 0) }, { sum }).run();
      assert.deepEqual([...sum], [0, 0, 0]);
    });

    it("check names, dtypes, lengths and shared memory", async () => {
      const session = await runtime.load(addition("float32", [2]));
      const [a, b, c] = [0, 1, 2].map(() => allocate("float32", 2));
      const refuse = (
        feeds: Record<string, TypedArray>,
        fetches: Record<string, TypedArray>,
        message: string,
      ) => assert.throws(() => session.bind(feeds, fetches), { message });
      refuse({ a }, { c }, "missing input b (model inputs: a, b)");
      refuse({ a, b, z: b }, { c }, "unknown input z (model inputs: a, b)");
      refuse({ a, b }, { d: c }, "unknown output d (model outputs: c)");
      refuse({ a, b: new Float64Array(2) }, { c }, "invalid input b: float64 (must be float32)");
      refuse({ a, b: new Float32Array(3) }, { c }, "invalid input b: 3 numbers (must be 2, shape (2))");
      refuse({ a, b }, { c: new Float32Array(0) }, "invalid output c: 0 numbers (must be 2, shape (2))");
      refuse({ a, b }, { c: a }, "invalid output c: it shares memory with a");
      refuse({ a, b }, { c: new Float32Array(a.buffer, 0, 2) }, "invalid output c: it shares memory with a");
    });

    it("refuse bytes that are no model, and models that are not valid, in one line", async () => {
      const garbage = { ...addition("float32", [2]), bytes: Uint8Array.of(1, 2, 3, 4) };
      await assert.rejects(runtime.load(garbage), oneLine(/protobuf parsing failed/));
      const unknown = model(
        [{ type: "Nonsense", inputs: ["a"], outputs: ["c"] }],
        [value("a", "float32", [1])],
        [value("c", "float32", [1])],
      );
      await assert.rejects(runtime.load(unknown), oneLine(/Nonsense/));
    });

    it("report a run that fails, and go on", async () => {
      const nodes = [{ type: "Gather", inputs: ["x", "index"], outputs: ["y"] }];
      const inputs = [value("x", "float32", [3]), value("index", "int32", [1])];
      const session = await runtime.load(model(nodes, inputs, [value("y", "float32", [1])]));
      const index = Int32Array.of(7);
      const y = allocate("float32", 1);
      const binding = session.bind({ x: Float32Array.of(1, 2, 3), index }, { y });
      await assert.rejects(async () => binding.run(), oneLine(/out of (data )?bounds/));
      index[0] = 2;
      await binding.run();
      assert.equal(y[0], 3);
    });

    it("run bindings at the same time", async () => {
      const big = chain(256, 8);
      const session = await runtime.load({ ...big, flops: 1e12 });
      const weights = matrix(256, 0.05);
      const results = Array.from({ length: 4 }, () => allocate("float32", 256 * 256));
      const bindings = results.map((y, seed) =>
        session.bind({ x: matrix(256, 1 + seed), w: weights }, { y }),
      );
      await Promise.all(bindings.map((binding) => binding.run()));
      const together = results.map((y) => y.slice());
      for (const binding of bindings) await binding.run();
      assert.deepEqual(together, results);
      assert.notDeepEqual(results[0], results[1]);
    });

    it("refuse a second run of a binding that is running", async () => {
      const session = await runtime.load({ ...chain(128, 4), flops: 1e12 });
      const y = allocate("float32", 128 * 128);
      const binding = session.bind({ x: matrix(128, 1), w: matrix(128, 0.1) }, { y });
      const first = binding.run();
      await assert.rejects(async () => binding.run(), /is running: await its run/);
      await first;
    });

    it("give the same bits for the same number of threads", async () => {
      const weights = matrix(200, 0.1);
      const outputs = [];
      for (let repeat = 0; repeat < 3; repeat++) {
        const session = await runtime.load(chain(200, 6));
        const y = allocate("float32", 200 * 200);
        await session.bind({ x: matrix(200, 1), w: weights }, { y }).run();
        outputs.push(y);
        session.dispose();
      }
      assert.deepEqual(outputs[1], outputs[0]);
      assert.deepEqual(outputs[2], outputs[0]);
    });

    it("cannot be used once disposed, even while they run", async () => {
      const session = await runtime.load({ ...chain(256, 8), flops: 1e12 });
      const arrays = { x: matrix(256, 1), w: matrix(256, 0.05) };
      const binding = session.bind(arrays, { y: allocate("float32", 256 * 256) });
      const other = session.bind(arrays, { y: allocate("float32", 256 * 256) });
      other.dispose();
      await assert.rejects(async () => other.run(), /this binding is disposed/);
      const running = binding.run();
      session.dispose();
      session.dispose();
      await running;
      await assert.rejects(async () => binding.run(), /this session is disposed/);
      assert.throws(() => session.bind(arrays, {}), /this session is disposed/);
      binding.dispose();
    });

    it("give their memory back", async () => {
      const size = 1 << 18;
      const cycle = async () => {
        const session = await runtime.load(addition("float32", [size]));
        const arrays = { a: allocate("float32", size), b: allocate("float32", size) };
        const binding = session.bind(arrays, { c: allocate("float32", size) });
        await binding.run();
        session.dispose();
      };
      for (let warmUp = 0; warmUp < 20; warmUp++) await cycle();
      const before = process.memoryUsage.rss();
      for (let repeat = 0; repeat < 150; repeat++) await cycle();
      // 150 sessions with 3 MiB of arrays each would be 450 MiB.
      assert.ok(process.memoryUsage.rss() - before < 150 * 2 ** 20);
    });
  });
}

/** A (n, n) matrix of deterministic numbers. */
export function matrix(n: number, scale: number): TypedArray {
  const numbers = allocate("float32", n * n);
  for (let index = 0; index < numbers.length; index++) numbers[index] = scale * Math.sin(index * 0.7 + scale);
  return numbers;
}

function oneLine(pattern: RegExp): (error: unknown) => boolean {
  return (error) => error instanceof RunError && pattern.test(error.message) && !error.message.includes("\n");
}
