/** Which methods a comparison has, by what was asked for and by its data. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { leftOut, methodNames } from "../../src/cli/compared-methods.ts";
import { methods } from "../../src/optimizers/index.ts";

const regression = { likelihood: "gaussian", fullBatch: false } as const;
const long = {
  reason: "for they take long",
  methods: ["woodFisher", "layerwiseNgd", "blockTridiagonalNgd", "hessianFree", "customMetric"],
  remedy: "--optimizers all",
};
const full = { reason: "for they want full batches", methods: ["lbfgs", "levenbergMarquardt"] };
const squares = { reason: "made for regression", methods: ["levenbergMarquardt"], remedy: "" };

describe("the methods of a comparison", () => {
  it("are the quick ones where none is asked for", () => {
    const names = methodNames(undefined);
    for (const name of [...long.methods, ...full.methods]) assert.ok(!names.includes(name), name);
    assert.equal(names.length, methods.length - long.methods.length - full.methods.length);
    assert.deepEqual(leftOut(undefined, regression), [
      long,
      { ...full, remedy: "--optimizers all --batch-size all" },
    ]);
    assert.deepEqual(leftOut(undefined, { ...regression, fullBatch: true }), [
      long,
      { ...full, remedy: "--optimizers all" },
    ]);
  });

  it("are all where all are asked for, those for full batches on full batches", () => {
    assert.equal(methodNames(["all"]).length, methods.length);
    assert.deepEqual(leftOut(["all"], regression), [{ ...full, remedy: "--batch-size all" }]);
    assert.deepEqual(leftOut(["all"], { ...regression, fullBatch: true }), []);
  });

  it("are those named, whatever the batch and the data", () => {
    assert.deepEqual(methodNames(["adam", "lbfgs", "adam"]), ["adam", "lbfgs"]);
    assert.deepEqual(leftOut(["adam", "lbfgs", "levenbergMarquardt"], regression), []);
    assert.deepEqual(leftOut(["all", "lbfgs", "levenbergMarquardt"], regression), []);
    assert.throws(() => methodNames([]), { message: "invalid --optimizers: none (name some, or all)" });
    assert.throws(() => methodNames(["adma"]), /did you mean adam/);
  });

  it("are without those made for another likelihood, unless these are named", () => {
    for (const likelihood of ["categorical", "bernoulli"] as const) {
      assert.deepEqual(leftOut(["all"], { likelihood, fullBatch: false }), [
        { ...full, methods: ["lbfgs"], remedy: "--batch-size all" },
        squares,
      ]);
      assert.deepEqual(leftOut(["all", "levenbergMarquardt"], { likelihood, fullBatch: true }), []);
    }
  });
});
