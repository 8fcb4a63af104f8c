import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { encodeModel, type OnnxAttribute } from "../../src/graph/onnx-model.ts";
import { openRuntime } from "../../src/runtime/runtime.ts";
import { allocate, type TypedArray } from "../../src/tensor.ts";
import { model, value } from "./models.ts";

describe("encodeModel", () => {
  it("writes the bytes of the format", () => {
    const graph = {
      nodes: [{ type: "Neg", inputs: ["x"], outputs: ["y"] }],
      inputs: [value("x", "float32", [2])],
      outputs: [],
      initializers: [],
    };
    const text = (string: string) => [string.length, ...Buffer.from(string)];
    const type = [0x0a, 8, 0x08, 1, 0x12, 4, 0x0a, 2, 0x08, 2];
    const node = [0x0a, ...text("x"), 0x12, ...text("y"), 0x1a, ...text("Neg_0"), 0x22, ...text("Neg")];
    const input = [0x0a, ...text("x"), 0x12, type.length, ...type];
    const body = [0x12, ...text("program"), 0x0a, node.length, ...node, 0x5a, input.length, ...input];
    assert.deepEqual(
      [...encodeModel(graph)],
      [0x08, 10, 0x12, ...text("natgrad"), 0x42, 4, 0x0a, 0, 0x10, 21, 0x3a, body.length, ...body],
    );
  });

  it("refuses an initializer whose numbers do not fill its shape", () => {
    const initializers = [{ name: "w", dtype: "float32", shape: [2, 2], data: [1, 2, 3] }] as const;
    assert.throws(() => model([], [], [], { initializers }), {
      message: "invalid initializer w: 3 numbers for shape (2, 2)",
    });
  });

  it("keeps every initializer's numbers, whatever array they come in", async () => {
    const runtime = await openRuntime({ session: "native", threads: 1 });
    const data = [0, 1, -3, 2 ** 30];
    const cases: ["float32" | "float64" | "int32" | "int64", readonly number[] | TypedArray][] = [
      ["float32", data],
      ["float64", Float64Array.from(data)],
      ["float32", Float64Array.from(data)],
      ["int32", new Int32Array(Int32Array.from([9, ...data]).buffer, 4)],
      ["int64", data],
      ["int64", Int32Array.from(data)],
    ];
    for (const [dtype, numbers] of cases) {
      const initializers = [{ name: "k", dtype, shape: [4], data: numbers }];
      const nodes = [{ type: "Cast", inputs: ["k"], outputs: ["y"], attributes: { to: { int: 11 } } }];
      const session = await runtime.load(model(nodes, [], [value("y", "float64", [4])], { initializers }));
      const y = allocate("float64", 4);
      session.bind({}, { y }).run();
      assert.deepEqual([...y], data, dtype);
    }
    runtime.dispose();
  });

  it("writes negative and large integers and every float", async () => {
    const runtime = await openRuntime({ session: "native", threads: 1 });
    const compute = async (type: string, attributes: Record<string, OnnxAttribute>, x: readonly number[]) => {
      const nodes = [{ type, inputs: ["x"], outputs: ["y"], attributes }];
      const shape = [1, x.length];
      const session = await runtime.load(
        model(nodes, [value("x", "float32", shape)], [value("y", "float32", shape)]),
      );
      const y = allocate("float32", x.length);
      session.bind({ x: Float32Array.from(x) }, { y }).run();
      return [...y];
    };
    assert.deepEqual(await compute("LeakyRelu", { alpha: { float: -0.25 } }, [-4, 4]), [1, 4]);
    assert.deepEqual(await compute("LogSoftmax", { axis: { int: -2 } }, [3, 5]), [0, 0]);
    assert.deepEqual(await compute("Transpose", { perm: { ints: [0, 1] } }, [3, 5]), [3, 5]);
    runtime.dispose();
  });
});
