/** The memory that a computation's intermediate results take. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import {
  add,
  exp,
  input,
  lowerToOnnx,
  matmul,
  multiply,
  relu,
  reshape,
  sum,
  tanh,
} from "../../src/graph/index.ts";
import { workingBytes } from "../../src/graph/memory.ts";

/** 4096 bytes, which an arena does not round. */
const SIZE = 1024;
const x = input("x", [SIZE], "float32");
const matrix = input("matrix", [SIZE, SIZE], "float32");
const bytes = 4 * SIZE;

/** A new array, which cannot overwrite its operand. */
const moved = (v: typeof x) => reshape(matmul(reshape(v, [1, SIZE]), matrix), [SIZE]);

describe("working memory", () => {
  it("leaves out inputs, outputs and reshapes of them", () => {
    assert.equal(workingBytes([add(x, 1)]), 0);
    assert.equal(workingBytes([reshape(add(x, 1), [16, 64])]), 0);
  });

  it("counts results that are copied to outputs: products that ONNX Runtime fuses, reshapes that overwrite an input", () => {
    const [a, b] = ["a", "b"].map((name) => input(name, [2, 16, 32], "float32"));
    const product = matmul(a, b, { transposeB: true });
    assert.ok(lowerToOnnx({ rows: reshape(product, [2, 256]) }).workingBytes! >= 4 * product.size);
    const flat = { row: reshape(add(x, 1), [1, SIZE]) };
    assert.equal(lowerToOnnx(flat).workingBytes, 0);
    assert.equal(lowerToOnnx(flat, { inPlace: [["row", "x"]] }).workingBytes, bytes);
  });

  it("frees a result after its last reader", () => {
    assert.equal(workingBytes([moved(moved(moved(moved(x))))]), 2 * bytes);
    const first = moved(x);
    assert.equal(workingBytes([moved(add(moved(moved(first)), first))]), 3 * bytes);
  });

  it("overwrites operands that nobody else reads, where the kernel may", () => {
    assert.equal(workingBytes([sum(relu(tanh(moved(x))))]), bytes);
    assert.equal(workingBytes([sum(exp(exp(moved(x))))]), 2 * bytes);
    const kept = moved(x);
    assert.equal(workingBytes([sum(add(relu(kept), kept))]), 3 * bytes);
  });

  it("keeps memory for a later result of the same shape", () => {
    const other = input("other", [2, SIZE / 2], "float32");
    const between = (first: typeof x) => sum(add(x, sum(multiply(other, sum(first)))));
    assert.ok(workingBytes([between(exp(x))]) >= 2 * bytes);
    assert.ok(workingBytes([between(exp(reshape(x, [4, SIZE / 4])))]) < 2 * bytes);
  });

  it("runs the outputs nearest to the inputs first, in whatever order they are named", () => {
    const chain = [moved(x)];
    for (let k = 0; k < 4; k++) chain.push(moved(chain[k]));
    // A summary of each link: from the last link first, all of them would live at once.
    assert.equal(workingBytes(chain.map((link) => sum(link))), 2 * bytes);
    assert.equal(workingBytes(chain.map((link) => sum(link)).reverse()), 2 * bytes);
  });
});
