/** Lowered models by what was traced: what counts as the same computation. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { add, constant, input, lowerToOnnx, matmul, multiply, transpose } from "../../src/graph/index.ts";
import { lowered } from "../../src/graph/lowered.ts";

/** A small network of its own for every test: its name is that of an input. */
const traced = (name: string, { width = 3, factor = 2, output = "y" } = {}) => {
  const [x, w] = [input(name, [4, width], "float32"), input("w", [width, 2], "float32")];
  return { [output]: multiply(matmul(x, w), factor) };
};

describe("lowered models", () => {
  it("are those of lowerToOnnx, and the same object for the same computation", () => {
    const first = lowered(traced("a"));
    assert.deepEqual(first, lowerToOnnx(traced("a")));
    assert.equal(lowered(traced("a")), first, "traced again");
  });

  it("are others for other inputs, shapes, constants, names and orders", () => {
    const models = [
      traced("b"),
      traced("c"),
      traced("b", { width: 5 }),
      traced("b", { factor: 3 }),
      traced("b", { output: "z" }),
      { y: matmul(input("b", [4, 3], "float64"), input("w", [3, 2], "float64")) },
      { y: transpose(input("b", [3, 3], "float32")) },
      { y: transpose(transpose(input("b", [3, 3], "float32"))) },
    ].map((outputs) => lowered(outputs));
    assert.equal(new Set(models).size, models.length);
    const [x, w] = [input("x", [2, 2], "float32"), input("w", [2, 2], "float32")];
    assert.notEqual(lowered({ y: matmul(x, w) }), lowered({ y: matmul(w, x) }));
  });

  it("are others for other options", () => {
    const outputs = () => {
      const x = input("d", [3], "float32");
      return { next: add(x, x) };
    };
    const inPlace = [["next", "d"]] as const;
    const [plain, overwriting] = [lowered(outputs()), lowered(outputs(), { inPlace })];
    assert.deepEqual([plain.inPlace, overwriting.inPlace], [[], inPlace]);
    assert.notEqual(lowered(outputs(), { missing: new Set(["LogSoftmax"]) }), plain);
    assert.equal(lowered(outputs(), { inPlace }), overwriting);
  });

  it("with a large constant are lowered anew, for it is compared by nothing but its place in memory", () => {
    const outputs = (size: number) => {
      const table = constant(new Float32Array(size).fill(1.5), [size], "float32");
      return { y: multiply(input("e", [size], "float32"), table) };
    };
    assert.equal(lowered(outputs(64)), lowered(outputs(64)));
    assert.notEqual(lowered(outputs(65)), lowered(outputs(65)));
    assert.deepEqual(lowered(outputs(65)).bytes, lowered(outputs(65)).bytes);
  });

  it("that were not used for long go when there are too many", () => {
    const first = lowered(traced("f"));
    const used = lowered(traced("g"));
    // Names of 100,000 letters: models and keys of more than 16 MiB together, each small enough to be kept.
    for (let k = 0; k < 80; k++) {
      lowered(traced(`${"h".repeat(1e5)}${k}`));
      assert.equal(lowered(traced("g")), used, "used again and again");
    }
    assert.notEqual(lowered(traced("f")), first);
  });
});
