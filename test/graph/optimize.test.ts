/** Graph rewriting: what goes away, what stays, and that no value changes. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import fc from "fast-check";
import {
  add,
  broadcastTo,
  cast,
  constant,
  divide,
  erf,
  input,
  log1p,
  lowerToOnnx,
  matmul,
  multiply,
  type NamedOutputs,
  negate,
  reciprocal,
  reshape,
  type SymbolicTensor,
  scalar,
  sign,
  sine,
  softplus,
  stopGradient,
  subtract,
  sum,
  tanh,
  transpose,
} from "../../src/graph/index.ts";
import { optimize } from "../../src/graph/optimize.ts";
import { topologicalOrder } from "../../src/graph/symbolic.ts";
import { openRuntime } from "../../src/runtime/runtime.ts";
import type { Runtime } from "../../src/runtime/session.ts";
import { arbitraryProgram, interpret } from "./programs.ts";
import { operators, readModel } from "./read-model.ts";
import { assertClose, run, valuesOf } from "./support.ts";

let runtime: Runtime;
before(async () => {
  runtime = await openRuntime({ threads: 1 });
});
after(() => runtime.dispose());

const x = input("x", [2, 3], "float64");
const y = input("y", [2, 3], "float64");
const X = [1, -2, 3, -4, 0.5, 0];
const Y = [2, 7, -1, 0.25, 3, 1];

const lowered = (outputs: NamedOutputs) => operators(lowerToOnnx(outputs));

describe("simplification", () => {
  const one = constant([1], [1, 1], "float64");
  const identities: [string, SymbolicTensor][] = [
    ["x·1", multiply(x, 1)],
    ["1·x", multiply(1, x)],
    ["x·(1 broadcast)", multiply(x, broadcastTo(scalar(1, "float64"), [2, 3]))],
    ["x·(1) of rank 2", multiply(x, one)],
    ["x/1", divide(x, 1)],
    ["x + 0", add(x, 0)],
    ["0 + x", add(0, x)],
    ["x − 0", subtract(x, 0)],
    ["x + (−0)", add(x, -0)],
    ["transpose∘transpose", transpose(transpose(x))],
    ["reshape∘reshape", reshape(reshape(x, [6]), [2, 3])],
    ["stopGradient", stopGradient(stopGradient(x))],
    ["several at once", add(multiply(transpose(transpose(subtract(x, 0))), 1), 0)],
  ];
  for (const [name, tensor] of identities) {
    it(`${name} is x itself`, () => {
      const [result] = optimize([tensor]);
      assert.equal(result, optimize([x])[0]);
    });
  }

  it("a transposition of axes of one element alone moves nothing", () => {
    const row = input("row", [2, 1, 3], "float64");
    assert.deepEqual(lowered({ y: transpose(row, [1, 0, 2]) }), ["Reshape"]);
    assert.deepEqual(lowered({ y: transpose(row, [2, 1, 0]) }), ["Transpose"]);
  });

  it("a cyclic permutation of three axes goes with its inverse only", () => {
    const cube = input("cube", [2, 2, 2], "float64");
    const once = transpose(cube, [1, 2, 0]);
    assert.equal(optimize([transpose(once, [2, 0, 1])])[0], cube);
    assert.deepEqual(lowered({ y: transpose(once, [1, 2, 0]) }), ["Transpose", "Transpose"]);
  });

  it("float32 → float64 → float32 goes, every lossy cast stays", async () => {
    const single = input("single", [1], "float32");
    const double = input("double", [1], "float64");
    assert.equal(optimize([cast(cast(single, "float64"), "float32")])[0], single);
    const stay = [
      cast(cast(double, "float32"), "float64"),
      cast(cast(double, "int32"), "float64"),
      cast(cast(double, "bool"), "float64"),
    ];
    const values = await valuesOf(runtime, stay, { double: [2.7] });
    assert.deepEqual(values, [[Math.fround(2.7)], [2], [1]]);
  });

  it("keeps the shape when the trivial operand is the larger one", async () => {
    const row = input("row", [3], "float64");
    const ones = broadcastTo(scalar(1, "float64"), [2, 3]);
    const zeros = broadcastTo(scalar(0, "float64"), [2, 3]);
    const tensors = [multiply(row, ones), add(zeros, row), divide(row, ones), subtract(row, zeros)];
    for (const tensor of optimize(tensors)) assert.deepEqual(tensor.shape, [2, 3]);
    const values = await valuesOf(runtime, tensors, { row: [1, 2, 3] });
    for (const value of values) assert.deepEqual(value, [1, 2, 3, 1, 2, 3]);
    const high = optimize([multiply(row, constant([1], [1, 1, 1], "float64"))])[0];
    assert.deepEqual(high.shape, [1, 1, 3]);
  });

  it("leaves what only looks trivial", async () => {
    const tensors = [
      subtract(0, x),
      divide(1, y),
      multiply(x, 0),
      add(x, 1),
      multiply(x, -1),
      reshape(x, [3, 2]),
    ];
    const values = await valuesOf(runtime, tensors, { x: X, y: Y });
    const expected = [
      X.map((v) => 0 - v),
      Y.map((v) => 1 / v),
      X.map((v) => v * 0),
      X.map((v) => v + 1),
      X.map((v) => v * -1),
      X,
    ];
    expected.forEach((numbers, k) => {
      assertClose(values[k], numbers, `case ${k}`);
    });
  });

  it("keeps NaN and infinities", async () => {
    const tensors = [multiply(x, 0), multiply(multiply(x, 1), Number.NaN), add(x, Infinity)];
    const values = await valuesOf(runtime, tensors, { x: [NaN, Infinity, 1, 1, 1, 1] });
    assert.deepEqual(values[0].slice(0, 2), [NaN, NaN]);
    assert.ok(values[1].every(Number.isNaN));
    assert.deepEqual(values[2], [NaN, Infinity, Infinity, Infinity, Infinity, Infinity]);
  });
});

describe("common subexpressions", () => {
  it("equal expressions are one node", () => {
    const twice = add(tanh(multiply(x, y)), tanh(multiply(x, y)));
    assert.deepEqual(lowered({ twice }), ["Mul", "Tanh", "Add"]);
    const [a, b] = optimize([tanh(multiply(x, y)), tanh(multiply(x, y))]);
    assert.equal(a, b);
  });

  it("equal constants are one initializer, and inputs of one name are one input", () => {
    const same = input("x", [2, 3], "float64");
    const model = lowerToOnnx({ a: multiply(sine(x), 2.5), b: add(multiply(sine(same), 2.5), 2.5) });
    assert.deepEqual(operators(model), ["Sin", "Mul", "Add"]);
    assert.equal(readModel(model).initializers, 1);
    assert.deepEqual(readModel(model).inputs, ["x"]);
  });

  it("unlike expressions stay apart: operand order, attributes, dtypes", () => {
    const square = input("square", [2, 2], "float64");
    const unlike = [
      [subtract(x, y), subtract(y, x)],
      [sum(square, [0]), sum(square, [1])],
      [sum(square, [0]), sum(square, [0], true)],
      [scalar(1, "float32"), scalar(1, "float64")],
      [constant([1, 2], [2], "float64"), constant([1, 2], [1, 2], "float64")],
      [matmul(square, square), matmul(square, square, { transposeA: true })],
      [tanh(x), tanh(y)],
    ];
    for (const pair of unlike) {
      const [a, b] = optimize(pair);
      assert.notEqual(a, b);
    }
  });

  it("constants are told apart to the last bit: −0, NaN, neighbours", async () => {
    const special = [0, -0, NaN, 1, 1 + 2 ** -52, 0.1, 0.1 + 2 ** -56];
    const outputs = Object.fromEntries(
      special.map((value, k) => [`c${k}`, reciprocal(constant([value, 2], [2], "float64"))]),
    );
    const results = await run(runtime, outputs);
    special.forEach((value, k) => {
      assert.deepEqual([...results[`c${k}`].data], [1 / value, 0.5]);
    });
    assert.equal(readModel(lowerToOnnx(outputs)).initializers, special.length);
  });

  it("large constants are equal only when they are one node", () => {
    const numbers = Array.from({ length: 100 }, (_, k) => k);
    const large = constant(numbers, [100], "float64");
    const again = constant(numbers, [100], "float64");
    assert.equal(optimize([add(sine(large), sine(large))])[0].inputs[0].operation.name, "sine");
    assert.equal(topologicalOrder(optimize([sine(large), sine(large)])).length, 2);
    assert.equal(topologicalOrder(optimize([sine(large), sine(again)])).length, 4);
  });

  it("expansions share their parts with the rest of the graph", () => {
    const double = operators(lowerToOnnx({ a: sign(x), b: sign(x) }));
    assert.deepEqual(double, operators(lowerToOnnx({ a: sign(x) })).concat("Identity"));
  });
});

describe("expansion and dead code", () => {
  it("every operator that ONNX Runtime lacks in float64 is spelled out", () => {
    const used = new Set(lowered({ a: erf(x), b: softplus(x), c: log1p(x), d: sign(x) }));
    for (const operator of ["Erf", "Softplus", "Sign"]) assert.ok(!used.has(operator), operator);
    assert.deepEqual(lowered({ y: erf(input("s", [2], "float32")) }), ["Erf"]);
  });

  it("what no output reaches is gone, with its inputs", () => {
    const program = lowerToOnnx({ y: negate(x) });
    tanh(y);
    assert.deepEqual(operators(program), ["Neg"]);
    assert.deepEqual(readModel(program).inputs, ["x"]);
  });

  it("is idempotent", () => {
    const once = optimize([add(erf(x), multiply(softplus(x), 1)), transpose(transpose(y))]);
    const twice = optimize(once);
    assert.equal(topologicalOrder(twice).length, topologicalOrder(once).length);
  });
});

describe("random programs", () => {
  it("have the interpreter's values after optimization and fusion", async () => {
    let fused = 0;
    await fc.assert(
      fc.asyncProperty(arbitraryProgram, async (program) => {
        const { outputs, references, values, largest } = interpret(program);
        fc.pre(largest < 1e3);
        const results = await run(runtime, outputs, values);
        const { nodes } = readModel(lowerToOnnx(outputs));
        if (nodes.some(({ type, inputs }) => type === "Gemm" && inputs.length === 3)) fused++;
        const absolute = (program.dtype === "float64" ? 1e-12 : 3e-5) * largest;
        for (const [name, reference] of Object.entries(references)) {
          assert.deepEqual(results[name].shape, reference.shape);
          assertClose(results[name].data, reference.data, name, { relative: 0, absolute });
        }
      }),
      { numRuns: 400, seed: 17 },
    );
    assert.ok(fused >= 40, `only ${fused} programs were fused`);
  });
});
