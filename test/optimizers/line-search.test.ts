/** Line searches on the test functions of Moré & Thuente 1994, and on functions that end badly. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import {
  armijo,
  type LineFunction,
  type LineSearchOptions,
  strongWolfe,
} from "../../src/optimizers/step-rules/line-search.ts";

type Function1 = (x: number) => { value: number; slope: number };

/** Yanai, Ozawa & Kaneko's, functions 4 to 6 of Moré & Thuente. */
function yanai(beta1: number, beta2: number): Function1 {
  const gamma = (beta: number) => Math.sqrt(1 + beta * beta) - beta;
  return (x) => {
    const [left, right] = [Math.hypot(1 - x, beta2), Math.hypot(x, beta1)];
    return {
      value: gamma(beta1) * left + gamma(beta2) * right,
      slope: (gamma(beta1) * (x - 1)) / left + (gamma(beta2) * x) / right,
    };
  };
}

/** Function 3, with a kink of width β at 1 and l oscillations. */
const oscillating: Function1 = (x) => {
  const [beta, l] = [0.01, 39];
  const wave = (l * Math.PI) / 2;
  const smooth =
    x <= 1 - beta
      ? { value: 1 - x, slope: -1 }
      : x >= 1 + beta
        ? { value: x - 1, slope: 1 }
        : { value: (x - 1) ** 2 / (2 * beta) + beta / 2, slope: (x - 1) / beta };
  const size = (2 * (1 - beta)) / (l * Math.PI);
  return {
    value: smooth.value + size * Math.sin(wave * x),
    slope: smooth.slope + size * wave * Math.cos(wave * x),
  };
};

/** Name, function, c₁ and c₂ as in tables I to VI of the paper. */
const moreThuente: [string, Function1, number, number][] = [
  [
    "1: concave far out",
    (x) => ({ value: -x / (x * x + 2), slope: (x * x - 2) / (x * x + 2) ** 2 }),
    1e-3,
    0.1,
  ],
  [
    "2: flat at its minimum, steep before",
    (x) => ({
      value: (x + 0.004) ** 5 - 2 * (x + 0.004) ** 4,
      slope: 5 * (x + 0.004) ** 4 - 8 * (x + 0.004) ** 3,
    }),
    0.1,
    0.1,
  ],
  ["3: oscillating", oscillating, 0.1, 0.1],
  ["4: convex, steep at both ends", yanai(1e-3, 1e-3), 1e-3, 1e-3],
  ["5: convex, steep at the left", yanai(1e-2, 1e-3), 1e-3, 1e-3],
  ["6: convex, steep at the right", yanai(1e-3, 1e-2), 1e-3, 1e-3],
];

function counting(f: Function1): LineFunction & { calls: number } {
  const counted = async (step: number) => {
    counted.calls++;
    return f(step);
  };
  counted.calls = 0;
  return counted;
}

describe("strongWolfe", () => {
  for (const [name, f, sufficientDecrease, curvature] of moreThuente) {
    for (const initial of [1e-3, 1e-1, 1e1, 1e3]) {
      it(`function ${name}, from ${initial}`, async () => {
        const start = f(0);
        const phi = counting(f);
        const options = { initial, sufficientDecrease, curvature };
        const { step, value, slope, status, evaluations } = await strongWolfe(phi, start, options);
        assert.equal(status, "ok");
        assert.deepEqual({ value, slope }, f(step));
        assert.ok(value <= start.value + sufficientDecrease * step * start.slope, "sufficient decrease");
        assert.ok(Math.abs(slope) <= curvature * Math.abs(start.slope), "curvature");
        assert.equal(evaluations, phi.calls);
        assert.ok(evaluations <= 18, `${evaluations} evaluations`);
      });
    }
  }

  it("needs one evaluation where the first step is Newton's on a parabola", async () => {
    const f: Function1 = (x) => ({ value: (x - 1) ** 2, slope: 2 * (x - 1) });
    const { step, evaluations } = await strongWolfe(f, f(0));
    assert.deepEqual({ step, evaluations }, { step: 1, evaluations: 1 });
  });

  it("finds the minimum of any parabola by interpolation", async () => {
    const scale = fc.double({ min: -6, max: 6, noNaN: true });
    await fc.assert(
      fc.asyncProperty(scale, scale, scale, async (a, b, c) => {
        const [curvature, minimum, initial] = [10 ** a, 10 ** b, 10 ** c];
        const f: Function1 = (x) => ({
          value: (curvature * (x - minimum) ** 2) / 2,
          slope: curvature * (x - minimum),
        });
        const { step, status } = await strongWolfe(f, f(0), { initial, curvature: 0.1, evaluations: 40 });
        assert.equal(status, "ok");
        assert.ok(Math.abs(step - minimum) <= 0.1 * minimum * (1 + 1e-9), `${step} for ${minimum}`);
      }),
    );
  });

  it("comes back from steps where the function is not finite", async () => {
    for (const beyond of [Number.NaN, Infinity]) {
      const f: Function1 = (x) =>
        x < 1
          ? { value: -Math.log(1 - x) - 3 * x, slope: 1 / (1 - x) - 3 }
          : { value: beyond, slope: beyond };
      const { step, status } = await strongWolfe(f, f(0), { initial: 1e3, curvature: 0.1 });
      assert.equal(status, "ok");
      assert.ok(Math.abs(step - 2 / 3) < 0.1, `${step}`);
    }
  });

  it("tells progress by slopes where rounding hides it in the values", async () => {
    // Values rounded to 1e-6, a decrease of 5e-9.
    const f: Function1 = (x) => ({
      value: 1 + Math.round(1e6 * 1e-8 * ((x - 1) ** 2 / 2)) / 1e6,
      slope: 1e-8 * (x - 1),
    });
    const { step, status } = await strongWolfe(f, f(0), { initial: 0.3, rounding: 1e-6, curvature: 0.5 });
    assert.equal(status, "ok");
    assert.ok(step >= 0.5 && step <= 1.5, `${step}`);
  });

  const bad: [string, Function1, LineSearchOptions, string, number][] = [
    ["an ascent", (x) => ({ value: x, slope: 1 }), {}, "not a descent direction", 0],
    ["a stationary point", () => ({ value: 1, slope: 0 }), {}, "not a descent direction", 0],
    [
      "NaN",
      () => ({ value: Number.NaN, slope: -1 }),
      {},
      "the loss or its slope is not finite at the start",
      0,
    ],
    [
      "no lower bound",
      (x) => ({ value: -x, slope: -1 }),
      { maximum: 50 },
      "the longest step is not long enough",
      50,
    ],
    [
      "a slope that lies",
      (x) => ({ value: 1 + x, slope: -1 }),
      { evaluations: 200 },
      "no lower loss that rounding does not hide",
      0,
    ],
    [
      "too few evaluations",
      (x) => ({ value: (x - 1) ** 2, slope: 2 * (x - 1) }),
      { initial: 100, evaluations: 1 },
      "evaluation limit reached",
      0,
    ],
  ];
  for (const [name, f, options, status, step] of bad) {
    it(`says how it ended on ${name}`, async () => {
      const result = await strongWolfe(f, f(0), options);
      assert.equal(result.status, status);
      assert.equal(result.step, step);
      assert.ok(result.evaluations <= (options.evaluations ?? 25));
    });
  }

  it("returns the best step with sufficient decrease when evaluations run out", async () => {
    const f = moreThuente[3][1];
    const options = { initial: 1e-3, sufficientDecrease: 1e-3, curvature: 1e-6, evaluations: 3 };
    const { step, value, status } = await strongWolfe(f, f(0), options);
    assert.equal(status, "evaluation limit reached");
    assert.ok(step > 0 && value < f(0).value);
  });
});

describe("armijo", () => {
  for (const [name, f, sufficientDecrease] of moreThuente) {
    for (const initial of [1e-3, 1e-1, 1e1, 1e3]) {
      it(`function ${name}, from ${initial}`, async () => {
        const start = f(0);
        const values = (step: number) => ({ value: f(step).value });
        const { step, value, status } = await armijo(values, start, { initial, sufficientDecrease });
        assert.equal(status, "ok");
        assert.ok(step > 0 && step <= initial);
        assert.equal(value, f(step).value);
        assert.ok(value <= start.value + sufficientDecrease * step * start.slope);
      });
    }
  }

  it("takes the minimizer of the parabola where the first step is too long", async () => {
    const f: Function1 = (x) => ({ value: (x - 1) ** 2, slope: 2 * (x - 1) });
    const { step, evaluations } = await armijo(f, f(0), { initial: 4 });
    assert.deepEqual({ step, evaluations }, { step: 1, evaluations: 2 });
  });

  it("comes back from steps where the function is not finite", async () => {
    const f: Function1 = (x) => ({ value: x < 1e-3 ? -x : Number.NaN, slope: -1 });
    const { step, status } = await armijo(f, f(0), { initial: 1 });
    assert.equal(status, "ok");
    assert.ok(step < 1e-3);
  });

  it("stops where rounding hides every decrease", async () => {
    const f: Function1 = (x) => ({ value: 1 + (x > 0 ? 1e-9 : 0), slope: -1e-12 });
    const { step, status } = await armijo(f, f(0), { rounding: 1e-10, evaluations: 60 });
    assert.deepEqual({ step, status }, { step: 0, status: "no lower loss that rounding does not hide" });
  });
});

it("refuses options out of range in one line", async () => {
  const f: Function1 = (x) => ({ value: x * x - x, slope: 2 * x - 1 });
  for (const options of [
    { initial: 0 },
    { initial: Infinity },
    { maximum: -1 },
    { sufficientDecrease: 0 },
    { curvature: 1 },
    { evaluations: 0 },
    { evaluations: 1.5 },
    { rounding: -1 },
  ]) {
    const [[name, value]] = Object.entries(options);
    const message = new RegExp(`^invalid ${name}: ${value} \\(must be `);
    await assert.rejects(strongWolfe(f, f(0), options), { name: "UsageError", message });
    await assert.rejects(armijo(f, f(0), options), { name: "UsageError", message });
  }
});
