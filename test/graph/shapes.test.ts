/** What every shape rule refuses, and the words it uses. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as graph from "../../src/graph/index.ts";
import { constant, input } from "../../src/graph/index.ts";

const of = (...shape: number[]) => input("x", shape, "float64");
const single = input("s", [2], "float32");
const integers = input("i", [2], "int32");
const flag = input("b", [2], "bool");

const REFUSED: [build: () => unknown, message: string][] = [
  [() => constant([1, 2, 3], [2], "float64"), "constant: 3 numbers for shape (2)"],
  [() => graph.add(of(2), of(3)), "shapes (2) and (3) do not broadcast"],
  [() => graph.maximum(of(2, 3), of(2)), "shapes (2, 3) and (2) do not broadcast"],
  [() => graph.multiply(of(2), single), "multiply: dtypes float64 and float32 differ"],
  [() => graph.less(integers, single), "less: dtypes int32 and float32 differ"],
  [() => graph.add(1, 2), "one operand must be a tensor"],
  [() => graph.where(of(2), of(2), 0), "where: the condition is float64, not bool"],
  [() => graph.where(flag, of(2), single), "where: dtypes float64 and float32 differ"],
  [() => graph.where(flag, of(3), 0), "shapes (2) and (3) do not broadcast"],
  [() => graph.matmul(of(2, 3), of(2, 3)), "matmul: (2, 3) and (2, 3) do not fit"],
  [
    () => graph.matmul(of(2, 3), of(4, 3), { transposeA: true, transposeB: true }),
    "matmul: (2, 3)ᵀ and (4, 3)ᵀ do not fit",
  ],
  [() => graph.matmul(of(3), of(3, 2)), "matmul: (3) and (3, 2) must have two axes or more"],
  [() => graph.matmul(of(2, 2), input("y", [2, 2], "float32")), "matmul: dtypes float64 and float32 differ"],
  [() => graph.matmul(of(2, 2, 2), of(3, 2, 2)), "shapes (2) and (3) do not broadcast"],
  [() => graph.reshape(of(2, 3), [4]), "reshape: (2, 3) to (4) changes the number of elements"],
  [() => graph.reshape(of(6), [4, -1]), "reshape: (6) to (4, 1) changes the number of elements"],
  [() => graph.transpose(of(2, 3), [0, 0]), "transpose: (0, 0) does not permute 2 axes"],
  [() => graph.transpose(of(2, 3), [1]), "transpose: (1) does not permute 2 axes"],
  [() => graph.transpose(of(2, 3), [0, 2]), "axis 2 is out of range for rank 2"],
  [() => graph.broadcastTo(of(2, 3), [3]), "broadcast: (2, 3) does not broadcast to (3)"],
  [() => graph.broadcastTo(of(2), [1]), "broadcast: (2) does not broadcast to (1)"],
  [() => graph.broadcastTo(of(2), [3]), "shapes (2) and (3) do not broadcast"],
  [() => graph.concatenate([]), "concatenate: no parts"],
  [() => graph.concatenate([of(2, 3), of(2, 2)]), "concatenate: (2, 3), (2, 2) on axis 0"],
  [() => graph.concatenate([of(2), of(2, 1)]), "concatenate: (2), (2, 1) on axis 0"],
  [() => graph.concatenate([of(2), single]), "concatenate: (2), (2) on axis 0"],
  [() => graph.concatenate([of(2), of(2)], 1), "axis 1 is out of range for rank 1"],
  [() => graph.slice(of(3), [1], [4]), "slice: (1) to (4) of (3)"],
  [() => graph.slice(of(3), [2], [1]), "slice: (2) to (1) of (3)"],
  [() => graph.slice(of(3), [-1], [3]), "slice: (-1) to (3) of (3)"],
  [() => graph.slice(of(3, 2), [1], [2]), "slice: (1) to (2) of (3, 2)"],
  [() => graph.sliceAxis(of(3, 2), 2, 0, 1), "axis 2 is out of range for rank 2"],
  [() => graph.pad(of(3), [1], [-1]), "pad: (1) and (-1) around (3)"],
  [() => graph.pad(of(3), [1, 1], [0]), "pad: (1, 1) and (0) around (3)"],
  [() => graph.sum(of(2, 3), [2]), "axis 2 is out of range for rank 2"],
  [() => graph.max(of(2, 3), [-3]), "axis -3 is out of range for rank 2"],
  [() => graph.mean(of(2, 3), [0.5]), "axis 0.5 is out of range for rank 2"],
  [() => graph.softmax(of()), "softmax: a tensor of rank 0 has no last axis"],
  [() => graph.logSoftmax(of()), "logSoftmax: a tensor of rank 0 has no last axis"],
  [() => graph.vjp([of(2)], [of(3)], []), "vjp: cotangent (3) for (2)"],
];

describe("shape rules refuse", () => {
  for (const [build, message] of REFUSED) {
    it(message, () => assert.throws(build, { message }));
  }
});

describe("trivial operations return their operand", () => {
  const x = of(2, 3);
  const trivial: [string, graph.SymbolicTensor][] = [
    ["reshape to the same shape", graph.reshape(x, [-1, 3])],
    ["transpose by the identity", graph.transpose(x, [0, -1])],
    ["broadcast to the same shape", graph.broadcastTo(x, [2, 3])],
    ["concatenate of one part", graph.concatenate([x])],
    ["slice of everything", graph.slice(x, [0, 0], [2, 3])],
    ["pad with nothing", graph.pad(x, [0, 0], [0, 0])],
    ["cast to its own dtype", graph.cast(x, "float64")],
    ["sum over no axes", graph.sum(x, [])],
    ["sumTo its own shape", graph.sumTo(x, [2, 3])],
  ];
  for (const [name, result] of trivial) {
    it(name, () => assert.equal(result, x));
  }
});

describe("a symbolic tensor", () => {
  it("knows its rank and size and prints its operation and shape", () => {
    const y = graph.matmul(of(2, 3), of(3, 4));
    assert.deepEqual([y.rank, y.size, `${y}`], [2, 8, "matmul(2, 4)"]);
  });

  it("keeps its own copy of a constant's numbers", () => {
    const numbers = Float64Array.of(1, 2);
    const fixed = constant(numbers, [2], "float64");
    numbers[0] = 9;
    assert.deepEqual([...(fixed.attributes as { data: Float64Array }).data], [1, 2]);
  });
});
