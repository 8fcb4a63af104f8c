/** Graphs tens of thousands of nodes deep: no recursion, and no node visited again and again. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { fuse } from "../../src/graph/fuse.ts";
import {
  add,
  cast,
  gradient,
  input,
  jvp,
  lowerToOnnx,
  multiply,
  type SymbolicTensor,
  sine,
  softplus,
  stopGradient,
  tanh,
} from "../../src/graph/index.ts";
import { optimize } from "../../src/graph/optimize.ts";
import { apply, type Operation, topologicalOrder } from "../../src/graph/symbolic.ts";
import { readModel } from "./read-model.ts";

const DEPTH = 20_000;

/** A chain of DEPTH nodes; every third one is trivial and goes away. */
function chain(x: SymbolicTensor): SymbolicTensor {
  const steps = [
    tanh,
    (y: SymbolicTensor) => multiply(y, 1),
    sine,
    (y: SymbolicTensor) => add(y, 0.5),
    stopGradient,
    softplus,
  ];
  let y = x;
  for (let k = 0; k < DEPTH; k++) y = steps[k % steps.length](y);
  return y;
}

/** An identity whose expansion counts how often it is asked for. */
function countedIdentity(x: SymbolicTensor) {
  const count = { expanded: 0, visited: 0 };
  const operation: Operation = {
    name: "counted",
    infer: ([operand]) => operand,
    vjp: (_, cotangent) => [cotangent],
    expand() {
      count.expanded++;
      return undefined;
    },
    lower: (_, [name], emit) => emit.node("Identity", [name]),
  };
  const node = apply(operation, [x], {});
  const inputs = node.inputs;
  Object.defineProperty(node, "inputs", {
    get() {
      count.visited++;
      return inputs;
    },
  });
  return { node, count };
}

describe("a chain of 20,000 nodes", () => {
  const x = input("x", [2], "float64");

  it("is differentiated forwards and backwards with a bounded number of nodes for each step", () => {
    let y: SymbolicTensor = x;
    for (let k = 0; k < DEPTH; k++) y = k % 2 ? tanh(y) : multiply(y, 1.5);
    const [g] = gradient(y, [x]);
    const [v] = jvp([y], [x], [x]);
    assert.ok(topologicalOrder([g]).length < 6 * DEPTH);
    assert.ok(topologicalOrder([v]).length < 8 * DEPTH);
  });

  it("is optimized, fused and lowered, each node rewritten once and read a fixed number of times", () => {
    const { node, count } = countedIdentity(multiply(x, 1));
    const y = chain(node);
    const optimized = optimize([y, y, multiply(y, 1)]);
    assert.equal(optimized[0], optimized[2]);
    assert.equal(count.expanded, 1);
    assert.ok(count.visited < 20, `read ${count.visited} times`);
    fuse(optimized);
    assert.ok(count.visited < 40, `read ${count.visited} times`);

    const before = { ...count };
    const model = lowerToOnnx({ y });
    assert.equal(count.expanded - before.expanded, 1);
    assert.ok(count.visited - before.visited < 60);
    const nodes = readModel(model).nodes.length;
    assert.ok(nodes > DEPTH / 2 && nodes < 6 * DEPTH, `${nodes} nodes`);
  });

  it("has a gradient that lowers in as many ONNX nodes for each step at every depth", () => {
    const counts = [1000, 2000, 4000].map((depth) => {
      let y: SymbolicTensor = x;
      for (let k = 0; k < depth; k++) y = k % 2 ? tanh(y) : softplus(y);
      const [g] = gradient(y, [x]);
      return readModel(lowerToOnnx({ g })).nodes.length;
    });
    assert.equal(counts[2] - counts[1], 2 * (counts[1] - counts[0]));
  });

  it("that is wide as well as deep is visited once for each edge", () => {
    const { node, count } = countedIdentity(x);
    let y: SymbolicTensor = node;
    for (let k = 0; k < DEPTH; k++) y = add(y, y);
    assert.equal(topologicalOrder([y]).length, DEPTH + 2);
    assert.ok(count.visited < 10);
    const [g] = gradient(y, [x]);
    assert.ok(topologicalOrder([g]).length < 3 * DEPTH);
  });

  it("of casts there and back collapses to its start", () => {
    const single = input("single", [2], "float32");
    let y: SymbolicTensor = single;
    for (let k = 0; k < DEPTH; k++) y = cast(y, k % 2 ? "float32" : "float64");
    assert.equal(optimize([y])[0], single);
  });
});
