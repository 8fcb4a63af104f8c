import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { dualActivation } from "../../src/theory/index.ts";
import { quadratures } from "./support.ts";

const correlations = [-1, -0.95, -0.5, -0.1, 0, 0.2, 0.7, 0.99, 1];

describe("dual activations", () => {
  for (const name of ["relu", "erf"] as const) {
    const dual = dualActivation(name);
    const expected = quadratures[name];

    it(`${name}: closed forms equal quadratures within 1e-10`, () => {
      for (const [q, other] of [
        [1, 1],
        [0.3, 2.5],
        [4, 0.01],
      ]) {
        for (const c of correlations) {
          const s = c * Math.sqrt(q * other);
          for (const kind of ["covariance", "derivative"] as const) {
            const difference = dual[kind](q, other, s) - expected[kind](q, other, c);
            assert.ok(
              Math.abs(difference) < 1e-10,
              `${kind} at q ${q}, q' ${other}, c ${c}: off by ${difference}`,
            );
          }
        }
      }
    });

    it(`${name}: symmetric, finite and bounded by the variances`, () => {
      // Products of smaller numbers than these underflow in the test's own √(qq').
      const variance = fc.oneof(fc.constant(0), fc.double({ min: 1e-60, max: 1e6, noNaN: true }));
      fc.assert(
        fc.property(
          variance,
          variance,
          fc.double({ min: -1.001, max: 1.001, noNaN: true }),
          (q, other, c) => {
            const s = c * Math.sqrt(q * other);
            for (const kind of ["covariance", "derivative"] as const) {
              const value = dual[kind](q, other, s);
              assert.ok(Number.isFinite(value));
              assert.ok(Math.abs(value - dual[kind](other, q, s)) <= 1e-12 * Math.abs(value) + 1e-300);
            }
            const bound =
              Math.sqrt(dual.covariance(q, q, q)) * Math.sqrt(dual.covariance(other, other, other));
            assert.ok(Math.abs(dual.covariance(q, other, s)) <= bound * (1 + 1e-12));
          },
        ),
      );
    });
  }

  it("relu: equal points are exact, and a correlation above 1 by rounding is 1", () => {
    const relu = dualActivation("relu");
    for (const q of [0.1, 1 / 3, 7.7, 1e-200, 1e200]) {
      assert.equal(relu.derivative(q, q, q), 0.5);
      assert.equal(relu.derivative(q, q, q * (1 + Number.EPSILON)), 0.5);
      assert.ok(Math.abs(relu.covariance(q, q, q) / (q / 2) - 1) < 1e-15);
    }
  });

  it("relu: a pre-activation that is always zero passes nothing on", () => {
    const relu = dualActivation("relu");
    assert.equal(relu.covariance(0, 1, 0), 0);
    assert.equal(relu.derivative(0, 1, 0), 0);
    assert.equal(relu.derivative(0, 0, 0), 0);
  });

  it("erf at zero variance has the slope of erf at 0", () => {
    assert.ok(Math.abs(dualActivation("erf").derivative(0, 0, 0) - 4 / Math.PI) < 1e-15);
    assert.equal(dualActivation("erf").covariance(0, 1, 0), 0);
  });

  it("refuses activations without closed forms", () => {
    assert.throws(
      () => dualActivation("tanh" as "erf"),
      /invalid activation: "tanh" \(must be relu \| erf\)/,
    );
  });
});
