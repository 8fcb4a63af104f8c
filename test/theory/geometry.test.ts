import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { ballBoundary, dot, squaredLength, steepestDescent, times } from "../../src/theory/geometry.ts";
import { angleBetween, ballAround, leastOnBoundary, walkBoundary } from "../../src/theory/geometry-balls.ts";
import {
  type Family,
  gaussianFamily,
  logisticFamily,
  meanAndVariance,
  reparameterize,
} from "../../src/theory/geometry-families.ts";
import { directionOf, orderOf, plus, quadraticErrors, stepGaps } from "../../src/theory/geometry-order.ts";

const moderate = fc.double({ min: -2, max: 2, noNaN: true });
const vector = fc.tuple(moderate, moderate).map((pair) => Float64Array.from(pair));

/** M = RᵀR + ½I. */
const metric = fc.array(moderate, { minLength: 4, maxLength: 4 }).map(([a, b, c, d]) => {
  return Float64Array.of(a * a + c * c + 0.5, a * b + c * d, a * b + c * d, b * b + d * d + 0.5);
});

const data = Float64Array.of(0.3, 1.4, -0.7, 0.9, 2.1);
const inputs = Float64Array.of(1, 0.8, -0.4, -0.6, 1.3, 0.9, 0.2, -0.5, -1.1, -1.4);
const targets = Float64Array.of(1, 0, 1, 1, 0);
const families: [string, Family][] = [
  ["gaussian", gaussianFamily(data)],
  ["logistic", logisticFamily(inputs, targets)],
];

function near(actual: ArrayLike<number>, expected: ArrayLike<number>, tolerance: number, message?: string) {
  assert.equal(actual.length, expected.length);
  for (let k = 0; k < expected.length; k++) {
    const gap = Math.abs(actual[k] - expected[k]);
    assert.ok(
      gap <= tolerance * Math.max(1, Math.abs(expected[k])),
      `${message ?? ""}[${k}]: ${actual[k]}, ${expected[k]}`,
    );
  }
}

describe("steepest descent in a metric", () => {
  it("is on the ball's surface, parallel to −M⁻¹g, and better than any other point of it", () => {
    fc.assert(
      fc.property(metric, vector, fc.double({ min: 1e-3, max: 10, noNaN: true }), (m, g, radius) => {
        fc.pre(Math.hypot(...g) > 1e-3);
        const { direction, change } = steepestDescent(m, g, radius);
        near([squaredLength(m, direction)], [radius], 1e-9);
        const back = times(m, direction).map((value) => (value * dot(g, g)) / dot(times(m, direction), g));
        near(back, g, 1e-8);
        near([dot(g, direction)], [change], 1e-9);
        const boundary = ballBoundary(m, radius, 60);
        for (let k = 0; k < boundary.length; k += 2) {
          const step = boundary.subarray(k, k + 2);
          near([squaredLength(m, step)], [radius], 1e-9);
          assert.ok(dot(g, step) >= change - 1e-9 * Math.abs(change));
        }
      }),
    );
  });

  it("is the gradient's direction in the Euclidean metric, in any number of parameters", () => {
    const g = Float64Array.of(3, 0, -4);
    const identity = Float64Array.of(1, 0, 0, 0, 1, 0, 0, 0, 1);
    const { direction, change } = steepestDescent(identity, g, 0.5);
    near(direction, [-0.6, 0, 0.8], 1e-15);
    near([change], [-5], 1e-15);
    assert.deepEqual([...steepestDescent(identity, new Float64Array(3), 1).direction], [0, 0, 0]);
  });

  it("refuses bad values in words", () => {
    const g = Float64Array.of(1, 1);
    assert.throws(
      () => steepestDescent(Float64Array.of(1, 0, 0, 1), g, 0),
      /invalid radius: 0 \(must be > 0/,
    );
    assert.throws(
      () => steepestDescent(Float64Array.of(1, 2, 2, 1), g, 1),
      /invalid metric: not positive definite/,
    );
    assert.throws(
      () => steepestDescent(Float64Array.of(1, 0), g, 1),
      /invalid metric: 2 numbers \(must be 4\)/,
    );
    assert.throws(() => ballBoundary(Float64Array.of(1, 0, 0, 1), 1, 2), /invalid count: 2/);
    assert.throws(() => gaussianFamily(new Float64Array(0)), /invalid data/);
    assert.throws(() => logisticFamily(Float64Array.of(1, 2, 3), Float64Array.of(0, 1)), /invalid inputs/);
    const family = gaussianFamily(data);
    assert.throws(() => ballAround(family, Float64Array.of(0, 0), "kl", -1), /invalid radius: -1/);
    assert.throws(() => orderOf([{ scale: 1, size: 1 }]), /invalid points: 1 \(must be at least two/);
  });
});

describe("families of distributions", () => {
  const all: [string, Family, Float64Array][] = [
    ...families.map(
      ([name, family]) => [name, family, Float64Array.of(0.4, -0.3)] as [string, Family, Float64Array],
    ),
    [
      "gaussian in mean and variance",
      reparameterize(gaussianFamily(data), meanAndVariance),
      Float64Array.of(0.4, 0.7),
    ],
  ];
  for (const [name, family, theta] of all) {
    it(`${name}: gradients and Fisher matrices are derivatives of loss and divergence`, () => {
      const h = 1e-4;
      const unit = (k: number) => Float64Array.from({ length: 2 }, (_, j) => (j === k ? 1 : 0));
      const gradient = [0, 1].map(
        (k) => (family.loss(plus(theta, unit(k), h)) - family.loss(plus(theta, unit(k), -h))) / (2 * h),
      );
      near(family.gradient(theta), gradient, 1e-6);
      const divergence = (a: number, b: number) =>
        family.divergence(theta, plus(plus(theta, unit(0), a), unit(1), b));
      const second = (i: number, j: number) => {
        const at = (s: number, t: number) =>
          divergence((i === 0 ? s : 0) + (j === 0 ? t : 0), (i === 1 ? s : 0) + (j === 1 ? t : 0));
        return (at(h, h) - at(h, -h) - at(-h, h) + at(-h, -h)) / (4 * h * h);
      };
      near(family.fisher(theta), [second(0, 0), second(0, 1), second(1, 0), second(1, 1)], 1e-5);
      assert.equal(family.divergence(theta, theta), 0);
    });

    it(`${name}: KL is ½ tᵀF t up to the third order`, () => {
      const scales = [0.1, 0.05, 0.02, 0.01, 0.005];
      const checks = quadraticErrors(family, theta, Float64Array.of(0.6, 0.8), scales);
      assert.ok(Math.abs(orderOf(checks) - 3) < 0.2, `${orderOf(checks)}`);
    });
  }

  it("gaussian: the divergence is an expectation, by quadrature", () => {
    const family = gaussianFamily(data);
    const [theta, other] = [Float64Array.of(0.2, -0.1), Float64Array.of(-0.3, 0.4)];
    const log = ([mean, logDeviation]: Float64Array, x: number) =>
      -0.5 * Math.log(2 * Math.PI) - logDeviation - 0.5 * ((x - mean) * Math.exp(-logDeviation)) ** 2;
    let sum = 0;
    const step = 1e-3;
    for (let x = -12; x < 12; x += step)
      sum += Math.exp(log(theta, x)) * (log(theta, x) - log(other, x)) * step;
    near([family.divergence(theta, other)], [sum], 1e-9);
  });
});

describe("balls without approximation", () => {
  for (const [name, family] of families) {
    const theta = Float64Array.of(0.9, 0.6);

    it(`${name}: their boundaries are where they should be, and small ones are ellipses`, () => {
      for (const ball of ["kl", "euclidean"] as const) {
        const around = ballAround(family, theta, ball, 0.01);
        const boundary = walkBoundary(around, 24);
        for (let k = 0; k < boundary.length; k += 2) {
          const step = boundary.slice(k, k + 2);
          const size = ball === "kl" ? family.divergence(theta, plus(theta, step)) : dot(step, step) / 2;
          near([size], [0.01], 1e-9);
        }
        near([angleBetween(around.angleOf(around.at(1.2)), 1.2)], [0], 1e-12);
      }
      const tiny = walkBoundary(ballAround(family, theta, "kl", 1e-8), 24);
      near(tiny, ballBoundary(family.fisher(theta), 1e-8, 24), 1e-7);
    });

    it(`${name}: their best points go to steepest descent as they shrink`, () => {
      for (const ball of ["kl", "euclidean"] as const) {
        const m = ball === "kl" ? family.fisher(theta) : Float64Array.of(1, 0, 0, 1);
        const gaps = [1e-4, 1e-6].map((radius) => {
          const around = ballAround(family, theta, ball, radius);
          const { direction } = steepestDescent(m, family.gradient(theta), radius);
          return angleBetween(leastOnBoundary(family, theta, around).angle, around.angleOf(direction));
        });
        assert.ok(gaps[1] < 5e-3 && gaps[1] < gaps[0] / 5, `${ball}: ${gaps}`);
      }
    });
  }
});

describe("other parameters of the same model", () => {
  const family = gaussianFamily(data);
  const other = reparameterize(family, meanAndVariance);
  const theta = Float64Array.of(-0.6, 0.4);
  const phi = meanAndVariance.fromOriginal(theta);

  it("have the same natural gradient as a tangent, and another gradient", () => {
    const jacobian = meanAndVariance.jacobian(phi);
    near(meanAndVariance.toOriginal(phi), theta, 1e-15);
    near(times(jacobian, directionOf(other, phi, "natural")), directionOf(family, theta, "natural"), 1e-13);
    const gradient = times(jacobian, directionOf(other, phi, "gradient"));
    assert.ok(Math.abs(gradient[1] - directionOf(family, theta, "gradient")[1]) > 0.1);
  });

  it("lead natural gradient steps apart by the second order, gradient steps by the first", () => {
    const scales = [0.1, 0.03, 0.01, 0.003, 0.001];
    const order = (rule: "natural" | "gradient") =>
      orderOf(stepGaps(family, other, meanAndVariance, theta, rule, scales));
    assert.ok(Math.abs(order("natural") - 2) < 0.1, `${order("natural")}`);
    assert.ok(Math.abs(order("gradient") - 1) < 0.1, `${order("gradient")}`);
  });
});
