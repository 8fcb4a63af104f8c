/** Turning activations over: where it happens, where it must not, and that it never changes a value. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import fc from "fast-check";
import { fuse } from "../../src/graph/fuse.ts";
import {
  add,
  concatenate,
  input,
  lowerToOnnx,
  matmul,
  matrixTranspose,
  multiply,
  type NamedOutputs,
  relu,
  reshape,
  type SymbolicTensor,
  squaredNorm,
  sum,
  tanh,
  vjp,
} from "../../src/graph/index.ts";
import { optimize } from "../../src/graph/optimize.ts";
import { orient } from "../../src/graph/orient.ts";
import { openRuntime } from "../../src/runtime/runtime.ts";
import type { Runtime } from "../../src/runtime/session.ts";
import { arbitraryProgram, interpret } from "./programs.ts";
import { type ReadNode, readModel } from "./read-model.ts";
import { assertClose, run } from "./support.ts";

/** Every group that can be turned over is, whatever it costs. */
const ALWAYS = Number.NEGATIVE_INFINITY;

let runtime: Runtime;
before(async () => {
  runtime = await openRuntime({ threads: 1 });
});
after(() => runtime.dispose());

const prepared = (outputs: readonly SymbolicTensor[]) => fuse(optimize(outputs));

/** Two hidden layers: the loss and its gradients. */
function network(samples: number, width: number): NamedOutputs {
  const x = input("x", [samples, width], "float32");
  const weights = [0, 1, 2].map((l) => input(`w${l}`, [width, width], "float32"));
  const biases = [0, 1].map((l) => input(`b${l}`, [width], "float32"));
  const layer = (a: SymbolicTensor, l: number) =>
    relu(add(matmul(a, weights[l], { transposeB: true }), biases[l]));
  const logits = matmul(layer(layer(x, 0), 1), weights[2], { transposeB: true });
  const gradients = vjp([logits], [tanh(logits)], [...weights, ...biases]);
  return Object.fromEntries([["logits", logits], ...gradients.map((g, k) => [`g${k}`, g] as const)]);
}

const gemms = (outputs: NamedOutputs): ReadNode[] =>
  readModel(lowerToOnnx(outputs)).nodes.filter(({ type }) => type === "Gemm");

describe("orientation", () => {
  it("leaves the activations of small networks alone", () => {
    const outputs = prepared(Object.values(network(8, 16)));
    assert.deepEqual(orient(outputs), outputs);
  });

  it("turns the activations of wide layers over, without a single transposition", () => {
    const { nodes } = readModel(lowerToOnnx(network(128, 600)));
    assert.ok(!nodes.some(({ type }) => type === "Transpose"));
    const hidden = nodes.filter(({ type }) => type === "Relu").map(({ inputs }) => inputs[0]);
    assert.equal(hidden.length, 2);
    const weightsFirst = gemms(network(128, 600)).filter(({ inputs }) => /^w[01]$/.test(inputs[0]));
    assert.ok(weightsFirst.length >= 2, "W·x instead of x·Wᵀ in both hidden layers");
  });

  it("does not turn what an output, a reshape or another axis needs as it is", () => {
    const a = input("a", [3, 4], "float64");
    const b = input("b", [4, 5], "float64");
    const product = tanh(matmul(a, b));
    for (const user of [
      product,
      reshape(product, [15]),
      sum(product),
      add(product, input("c", [3, 5], "float64")),
    ]) {
      const outputs = prepared([user]);
      assert.deepEqual(orient(outputs, ALWAYS), outputs);
    }
  });

  it("makes nothing of a transposition and of a sum of squares of what it turns", async () => {
    const [a, b] = [input("a", [3, 4], "float64"), input("b", [4, 5], "float64")];
    const product = tanh(matmul(a, b));
    const outputs = {
      turned: matrixTranspose(product),
      squares: squaredNorm(product),
      rows: sum(product, [0]),
    };
    const oriented = orient(prepared(Object.values(outputs)), ALWAYS);
    const named = Object.fromEntries(Object.keys(outputs).map((name, k) => [name, oriented[k]]));
    assert.ok(readModel(lowerToOnnx(outputs)).nodes.some(({ type }) => type === "Transpose"));
    assert.ok(!readModel(lowerToOnnx(named)).nodes.some(({ type }) => type === "Transpose"));
    const values = Object.fromEntries(
      [a, b].map(({ size }, k) => ["ab"[k], Array.from({ length: size }, (_, i) => Math.cos(i + k))]),
    );
    const [expected, actual] = [await run(runtime, outputs, values), await run(runtime, named, values)];
    for (const name of Object.keys(outputs)) assertClose(actual[name].data, expected[name].data, name);
  });

  it("turns row and column operands with the matrix", async () => {
    const [a, b, c] = [
      input("a", [3, 4], "float64"),
      input("b", [4, 2], "float64"),
      input("c", [2, 3], "float64"),
    ];
    const [row, column] = [input("row", [2], "float64"), input("column", [3, 1], "float64")];
    const hidden = tanh(add(multiply(matmul(a, b), column), row));
    const outputs = { y: matmul(c, hidden), rows: sum(hidden, [0]), columns: sum(hidden, [1]) };
    const numbers = (count: number) => Array.from({ length: count }, (_, k) => Math.sin(1 + k));
    const values = { a: numbers(12), b: numbers(8), c: numbers(6), row: numbers(2), column: numbers(3) };
    const turned = orient(prepared(Object.values(outputs)), ALWAYS);
    assert.notDeepEqual(turned, prepared(Object.values(outputs)));
    const named = Object.fromEntries(Object.keys(outputs).map((name, k) => [name, turned[k]]));
    const [expected, actual] = [await run(runtime, outputs, values), await run(runtime, named, values)];
    for (const name of Object.keys(outputs)) assertClose(actual[name].data, expected[name].data, name);
  });

  it("turns concatenations with their parts, and transposes what comes from outside", async () => {
    const [a, b, kept] = [
      input("a", [3, 4], "float64"),
      input("b", [4, 2], "float64"),
      input("kept", [5, 2], "float64"),
    ];
    const rows = concatenate([tanh(matmul(a, b)), kept]);
    const weighted = multiply(rows, input("column", [8, 1], "float64"));
    const y = matmul(input("d", [3, 8], "float64"), weighted);
    const numbers = (count: number) => Array.from({ length: count }, (_, k) => Math.sin(1 + k));
    const values = { a: numbers(12), b: numbers(8), kept: numbers(10), d: numbers(24), column: numbers(8) };
    const [turned] = orient(prepared([y]), ALWAYS);
    const { nodes } = readModel(lowerToOnnx({ y: turned }));
    assert.deepEqual(
      nodes.filter(({ type }) => type === "Concat").map(({ attributes }) => attributes.axis),
      [1],
    );
    assert.equal(nodes.filter(({ type }) => type === "Transpose").length, 1);
    const [expected, actual] = [await run(runtime, { y }, values), await run(runtime, { y: turned }, values)];
    assertClose(actual.y.data, expected.y.data, "y");
  });

  it("never changes the value of a random program", async () => {
    let changed = 0;
    await fc.assert(
      fc.asyncProperty(arbitraryProgram, async (program) => {
        const { outputs, references, values, largest } = interpret(program);
        fc.pre(largest < 1e3);
        const before = prepared(Object.values(outputs));
        const turned = orient(before, ALWAYS);
        if (turned.some((node, k) => node !== before[k])) changed++;
        const named = Object.fromEntries(Object.keys(outputs).map((name, k) => [name, turned[k]]));
        const results = await run(runtime, named, values);
        const absolute = (program.dtype === "float64" ? 1e-12 : 3e-5) * largest;
        for (const [name, reference] of Object.entries(references)) {
          assertClose(results[name].data, reference.data, name, { relative: 0, absolute });
        }
      }),
      { numRuns: 500, seed: 23 },
    );
    assert.ok(changed >= 20, `only ${changed} programs were changed`);
  });
});
