import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { countBlock, countedMethods } from "../../src/experiments/block-costs.ts";

const size = { m: 32, dIn: 96, dOut: 48 };
const { m, dIn, dOut } = size;

describe("the costs of one layer's curvature", () => {
  it("are the products that K-FAC multiplies, to the last operation", () => {
    const { factors, inversion, preconditioning } = countBlock("kfac", size);
    const products = 2 * m * (dIn ** 2 + dOut ** 2);
    assert.ok(factors >= products && factors <= products + m * (dIn + dOut), "a factor 1/N beside them");
    assert.equal(inversion, dIn ** 3 + dOut ** 3);
    assert.equal(preconditioning, 2 * dOut * dIn * (dOut + dIn));
  });

  it("are TENGraD's Gram matrices of the batch's order, whatever the layer's is", () => {
    const { factors, inversion } = countBlock("tengrad", size);
    const products = 2 * m ** 2 * (dIn + dOut);
    assert.ok(factors >= products && factors <= products + 3 * m ** 2);
    assert.equal(inversion, m ** 3);
    assert.equal(countBlock("tengrad", { m, dIn: 4 * dIn, dOut: 4 * dOut }).inversion, m ** 3);
  });

  it("have no factorization for K-BFGS, which updates", () => {
    const { inversion } = countBlock("kbfgs", size);
    assert.ok(inversion > 2 * dIn ** 2 && inversion < 20 * dIn ** 2);
  });

  it("are there for every part of every method", () => {
    for (const method of countedMethods) {
      for (const [part, cost] of Object.entries(countBlock(method, size)))
        assert.ok(cost > 0, `${method}: ${part}`);
    }
  });
});
