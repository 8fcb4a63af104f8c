import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { type CostPoint, extrapolate, fitPowerLaw, upperPart } from "../../src/experiments/power-law.ts";

const law = (factor: number, exponent: number, sizes: readonly number[]): CostPoint[] =>
  sizes.map((x) => ({ x, y: factor * x ** exponent }));

describe("the fit of a power law", () => {
  it("finds exponent and factor of exact powers, with no error", () => {
    fc.assert(
      fc.property(
        fc.double({ min: -3, max: 7, noNaN: true }),
        fc.integer({ min: 3, max: 9 }),
        (exponent, count) => {
          const sizes = Array.from({ length: count }, (_, k) => 16 * 2 ** k);
          const fit = fitPowerLaw(law(3e-6, exponent, sizes))!;
          assert.ok(Math.abs(fit.exponent - exponent) < 1e-9);
          assert.ok(Math.abs(fit.factor / 3e-6 - 1) < 1e-9);
          assert.ok(fit.standardError < 1e-7);
          assert.deepEqual([fit.from, fit.to, fit.points], [16, sizes.at(-1), count]);
        },
      ),
    );
  });

  it("has the standard error of a worked example", () => {
    // log₂ x = 0, 1, 2, 3 and log₂ y = 0, 2, 3, 5: slope 8/5, residuals −0.1, 0.3, −0.3, 0.1, so √(0.2 / 2 / 5).
    const fit = fitPowerLaw([
      { x: 1, y: 1 },
      { x: 2, y: 4 },
      { x: 4, y: 8 },
      { x: 8, y: 32 },
    ])!;
    assert.ok(Math.abs(fit.exponent - 1.6) < 1e-12);
    assert.ok(Math.abs(fit.standardError - Math.sqrt(0.02)) < 1e-12);
    assert.ok(Math.abs(fit.factor - 2 ** 0.1) < 1e-12);
  });

  it("is none for fewer than three points or for one size alone", () => {
    assert.equal(fitPowerLaw(law(1, 2, [1, 2])), undefined);
    assert.equal(fitPowerLaw(law(1, 2, [4, 4, 4])), undefined);
  });

  it("takes the upper half of the range, three points at least", () => {
    const sizes = (count: number) =>
      upperPart(law(1, 1, [1, 2, 4, 8, 16, 32, 64].slice(0, count))).map(({ x }) => x);
    assert.deepEqual(sizes(7), [8, 16, 32, 64]);
    assert.deepEqual(sizes(5), [4, 8, 16]);
    assert.deepEqual(sizes(2), [1, 2]);
    assert.deepEqual(
      upperPart([...law(1, 1, [8, 1, 4, 2])]).map(({ x }) => x),
      [2, 4, 8],
    );
  });

  it("extrapolates from the last two points, and never downwards", () => {
    assert.equal(extrapolate(law(5, 3, [1, 2, 4]), 8), 5 * 8 ** 3);
    assert.equal(extrapolate(law(5, -1, [1, 2]), 4), 2.5);
    assert.equal(extrapolate(law(5, 3, [1]), 4), undefined);
  });
});
