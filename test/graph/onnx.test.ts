/** Lowering to ONNX: names, odd outputs, missing operators, the work estimate. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import {
  add,
  constant,
  exp,
  input,
  logSoftmax,
  lowerToOnnx,
  matmul,
  multiply,
  reshape,
  scalar,
  sum,
  tanh,
  transpose,
} from "../../src/graph/index.ts";
import { apply, type Operation } from "../../src/graph/symbolic.ts";
import { openRuntime } from "../../src/runtime/runtime.ts";
import type { Runtime } from "../../src/runtime/session.ts";
import { operators, readModel } from "./read-model.ts";
import { assertClose, run, valuesOf } from "./support.ts";

let runtime: Runtime;
before(async () => {
  runtime = await openRuntime({ threads: 1 });
});
after(() => runtime.dispose());

const x = input("x", [2], "float64");
const values = { x: [0.5, -1] };
const numbers = async (outputs: Parameters<typeof lowerToOnnx>[0], feeds = {}) => {
  const results = await run(runtime, outputs, { ...values, ...feeds });
  return Object.fromEntries(Object.entries(results).map(([name, { data }]) => [name, [...data]]));
};

describe("outputs", () => {
  it("may be inputs, constants, copies of one another and parts of one another", async () => {
    const doubled = multiply(x, 2);
    const outputs = {
      given: x,
      again: x,
      fixed: constant([7, 8], [2], "float64"),
      doubled,
      copy: doubled,
      more: add(doubled, 1),
      number: scalar(3, "float64"),
      same: multiply(x, 2),
    };
    assert.deepEqual(await numbers(outputs), {
      given: [0.5, -1],
      again: [0.5, -1],
      fixed: [7, 8],
      doubled: [1, -2],
      copy: [1, -2],
      more: [2, -1],
      number: [3],
      same: [1, -2],
    });
    assert.deepEqual(readModel(lowerToOnnx(outputs)).outputs, Object.keys(outputs));
  });

  it("of one node cost a copy only from the second on", () => {
    const y = tanh(x);
    assert.deepEqual(operators(lowerToOnnx({ y })), ["Tanh"]);
    assert.deepEqual(operators(lowerToOnnx({ y, again: y })), ["Tanh", "Identity"]);
  });

  it("in another shape than they are computed in cost no copy", async () => {
    const y = tanh(x);
    const row = reshape(y, [1, 2]);
    const outputs = { row, column: reshape(reshape(row, [2]), [2, 1]), given: reshape(x, [1, 2]) };
    assert.deepEqual(operators(lowerToOnnx({ row })), ["Tanh"]);
    assert.deepEqual(operators(lowerToOnnx({ row, more: add(row, 1) })), ["Tanh", "Reshape", "Add"]);
    assert.deepEqual(operators(lowerToOnnx(outputs)), ["Tanh", "Identity", "Reshape"]);
    const results = await run(runtime, outputs, values);
    const shapes = Object.entries(results).map(([name, { shape }]) => [name, shape]);
    assert.deepEqual(Object.fromEntries(shapes), { row: [1, 2], column: [2, 1], given: [1, 2] });
    assertClose(results.column.data, [Math.tanh(0.5), Math.tanh(-1)], "column");
    assert.deepEqual([...results.given.data], values.x);
  });

  it("keep shape and dtype, int32, bool and rank 0 included", async () => {
    const count = input("count", [2, 1], "int32");
    const flag = input("flag", [1], "bool");
    const model = lowerToOnnx({
      total: sum(add(count, 1)),
      flag2: reshape(flag, []),
      shape: transpose(count),
    });
    const described = model.outputs.map(({ name, dtype, shape }) => [name, dtype, shape]);
    assert.deepEqual(described, [
      ["total", "int32", []],
      ["flag2", "bool", []],
      ["shape", "int32", [1, 2]],
    ]);
    const results = await numbers(
      { total: sum(add(count, 1)), flag2: reshape(flag, []) },
      { count: [3, 4], flag: [1] },
    );
    assert.deepEqual(results, { total: [9], flag2: [1] });
  });
});

describe("names", () => {
  it("of inputs and outputs are free: those the lowering gives cannot clash", async () => {
    const t0 = input("t0", [2], "float64");
    const c1 = input("c1", [2], "float64");
    const y = add(exp(multiply(t0, 2)), c1);
    const results = await numbers({ t1: y, c0: tanh(y), "0.weight": x }, { t0: [0, 0], c1: [1, 2] });
    assertClose(results.t1, [2, 3], "t1");
    assertClose(results.c0, [Math.tanh(2), Math.tanh(3)], "c0");
  });

  it("two inputs of one name need one shape and dtype", () => {
    const other = input("x", [2, 1], "float64");
    const single = input("x", [2], "float32");
    assert.throws(() => lowerToOnnx({ y: add(x, other) }), {
      message: "two inputs are named x: float64 (2) and float64 (2, 1)",
    });
    assert.throws(() => lowerToOnnx({ a: tanh(x), b: tanh(single) }), {
      message: "two inputs are named x: float64 (2) and float32 (2)",
    });
    assert.deepEqual(readModel(lowerToOnnx({ y: add(x, input("x", [2], "float64")) })).inputs, ["x"]);
  });

  it("an output may not be named as an input that is used", async () => {
    assert.throws(() => lowerToOnnx({ x: tanh(x) }), { message: "an input and an output are both named x" });
    assert.throws(() => lowerToOnnx({ x }), { message: "an input and an output are both named x" });
    assert.deepEqual(await numbers({ x: scalar(1, "float64") }), { x: [1] });
  });
});

describe("inputs", () => {
  it("that no output needs are dropped, the rest come in order of first use", () => {
    const [a, b, c] = ["a", "b", "c"].map((name) => input(name, [2], "float64"));
    const model = lowerToOnnx({ y: add(c, multiply(a, 1)) });
    assert.deepEqual(
      model.inputs.map(({ name }) => name),
      ["c", "a"],
    );
    assert.deepEqual(readModel(model).inputs, ["c", "a"]);
    assert.deepEqual(lowerToOnnx({ y: multiply(add(b, 0), 1) }).inputs, [
      { name: "b", dtype: "float64", shape: [2] },
    ]);
  });
});

describe("missing operators", () => {
  it("logSoftmax without LogSoftmax has the same values", async () => {
    const logits = input("logits", [2, 3], "float32");
    const outputs = { y: logSoftmax(logits) };
    assert.deepEqual(operators(lowerToOnnx(outputs)), ["LogSoftmax"]);
    const model = lowerToOnnx(outputs, { missing: new Set(["LogSoftmax"]) });
    const used = operators(model);
    assert.ok(!used.includes("LogSoftmax"));
    assert.equal(used.filter((type) => type === "Exp").length, 1);

    const session = await runtime.load(model);
    const fed = Float32Array.of(1, 2, 3, 1000, -1000, 999);
    const y = new Float32Array(6);
    const binding = session.bind({ logits: fed }, { y });
    await binding.run();
    binding.dispose();
    session.dispose();
    const [expected] = await valuesOf(runtime, [outputs.y], { logits: fed });
    assertClose(y, expected, "logSoftmax", { relative: 1e-6 });
    assert.ok(y.every(Number.isFinite));
  });

  it("an operation without a lowering is named", () => {
    const mystery: Operation = { name: "mystery", infer: ([operand]) => operand };
    assert.throws(() => lowerToOnnx({ y: apply(mystery, [x], {}) }), { message: "mystery has no lowering" });
  });
});

describe("the work estimate", () => {
  it("counts 2·M·K·N for a product, fused or not, and one per element elsewhere", () => {
    const a = input("a", [2, 3], "float64");
    const b = input("b", [3, 4], "float64");
    const row = input("row", [4], "float64");
    assert.equal(lowerToOnnx({ y: matmul(a, b) }).flops, 48);
    assert.equal(lowerToOnnx({ y: matmul(b, a, { transposeA: true, transposeB: true }) }).flops, 48);
    assert.equal(lowerToOnnx({ y: add(matmul(a, b), row) }).flops, 48);
    assert.equal(lowerToOnnx({ y: tanh(matmul(a, b)) }).flops, 56);
    assert.equal(lowerToOnnx({ y: sum(reshape(a, [6])) }).flops, 6);
    const batched = input("batched", [5, 2, 3], "float64");
    assert.equal(lowerToOnnx({ y: matmul(batched, b) }).flops, 240);
  });
});
