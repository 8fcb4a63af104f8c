/** In which order outputs are computed, and which nodes ONNX Runtime would move to the front. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { add, exp, input, lowerToOnnx, sum } from "../../src/graph/index.ts";
import type { OnnxNode } from "../../src/graph/onnx-model.ts";
import { deepestFirst, isRenumbered } from "../../src/graph/run-order.ts";

describe("run order", () => {
  it("emits the deepest outputs first, equals as they come", () => {
    const x = input("x", [4], "float32");
    const [shallow, deep, beside] = [exp(x), exp(exp(exp(x))), add(x, 1)];
    assert.deepEqual(deepestFirst([shallow, deep, beside]), [deep, shallow, beside]);
    assert.deepEqual(deepestFirst([sum(shallow)]).length, 1);
  });

  it("copies a second output where the first is made, not after all other nodes", () => {
    const x = input("x", [4], "float32");
    const model = lowerToOnnx({ first: exp(x), second: exp(x), deepest: exp(exp(exp(x))) });
    const nodes = new TextDecoder("latin1").decode(model.bytes);
    assert.ok(nodes.indexOf("second") < nodes.indexOf("deepest"));
  });

  it("knows which outputs ONNX Runtime would number anew", () => {
    const nodes: OnnxNode[] = [
      { type: "Transpose", inputs: ["a"], outputs: ["transposed"] },
      { type: "MatMul", inputs: ["b", "transposed"], outputs: ["product"] },
      { type: "MatMul", inputs: ["a", "b"], outputs: ["bare"] },
      { type: "Mul", inputs: ["bare", "c"], outputs: ["scaled"] },
      { type: "Mul", inputs: ["a", "c"], outputs: ["elementwise"] },
      { type: "Add", inputs: ["product", "bare"], outputs: ["total"] },
    ];
    const producers = new Map(nodes.map((node) => [node.outputs[0], node]));
    const renumbered = nodes
      .map(({ outputs: [name] }) => name)
      .filter((name) => isRenumbered(name, producers));
    assert.deepEqual(renumbered, ["product", "scaled"]);
    assert.equal(isRenumbered("a", producers), false); // an input of the model
  });
});
