/** Losses, their derivatives, square roots of the output Fisher and samplers, against plain arithmetic. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import fc from "fast-check";
import * as graph from "../../src/graph/index.ts";
import {
  bernoulli,
  categorical,
  exponentialFamily,
  gaussian,
  type Likelihood,
  poisson,
} from "../../src/nn/index.ts";
import { Random } from "../../src/random.ts";
import { evaluate } from "../../src/runtime/program.ts";
import { openRuntime } from "../../src/runtime/runtime.ts";
import type { Runtime } from "../../src/runtime/session.ts";
import { type FloatDType, type Tensor, tensor } from "../../src/tensor.ts";
import { assertNear } from "../conformance/reference.ts";

let runtime: Runtime;
before(async () => {
  runtime = await openRuntime();
});
after(() => runtime?.dispose());

/** The gaussian and the bernoulli likelihood by their log-partition functions, which know nothing of their derivatives. */
const families = {
  gaussian: exponentialFamily({
    name: "gaussian",
    logPartition: (f) => graph.multiply(graph.square(f), 0.5),
  }),
  bernoulli: exponentialFamily({ name: "bernoulli", logPartition: graph.softplus, targets: [0, 1] }),
};
const likelihoods = [gaussian(), categorical(), bernoulli(), poisson()];

/** Element by element, relative to the larger of 1 and the value: p − y loses what is below 1's own rounding. */
function assertClose(
  actual: ArrayLike<number>,
  expected: readonly number[],
  tolerance: number,
  what: string,
) {
  expected.forEach((value, k) => {
    const error = Math.abs(actual[k] - value) / Math.max(1, Math.abs(value));
    assert.ok(error < tolerance, `${what}: ${actual[k]}, not ${value}`);
  });
}

/** Everything a likelihood says of outputs f (N, C) and targets y. */
async function describeAt(likelihood: Likelihood, f: readonly number[][], y: Tensor, dtype: FloatDType) {
  const [samples, outputs] = [f.length, f[0].length];
  const logits = graph.constant(f.flat(), [samples, outputs], dtype);
  const targets = graph.constant(y.data, y.shape, likelihood.name === "categorical" ? "int32" : dtype);
  const columns = likelihood.squareRoot(logits, targets);
  const results = await evaluate(runtime, {
    loss: likelihood.loss(logits, targets),
    derivative: graph.gradient(graph.sum(likelihood.loss(logits, targets)), [logits])[0],
    gradient: likelihood.outputGradient(logits, targets),
    ...Object.fromEntries(columns.map(({ column }, c) => [`column ${c}`, column])),
    ...Object.fromEntries(columns.map(({ residual }, c) => [`residual ${c}`, residual])),
  });
  /** B of a sample, by rows, and ρ. */
  const root = (n: number) =>
    Array.from({ length: outputs }, (_, i) =>
      columns.map((_, c) => results[`column ${c}`].data[n * outputs + i]),
    );
  const residual = (n: number) => columns.map((_, c) => results[`residual ${c}`].data[n]);
  const { loss, derivative, gradient } = results;
  return { loss, derivative, gradient, root, residual };
}

const sigmoid = (x: number) => (x >= 0 ? 1 / (1 + Math.exp(-x)) : Math.exp(x) / (1 + Math.exp(x)));
const softplus = (x: number) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));
function softmax(logits: readonly number[]): number[] {
  const powers = logits.map((value) => Math.exp(value - Math.max(...logits)));
  return powers.map((power) => power / powers.reduce((a, b) => a + b, 0));
}

/** ℓ, ∂ℓ/∂f and F_out of one sample, by their formulas in docs/mathematics.md. */
function byHand(name: Likelihood["name"], f: readonly number[], y: readonly number[]) {
  const diagonal = (values: readonly number[]) =>
    values.map((v, i) => values.map((_, j) => (i === j ? v : 0)));
  switch (name) {
    case "gaussian":
      return {
        loss: f.reduce((sum, value, c) => sum + 0.5 * (value - y[c]) ** 2, 0),
        gradient: f.map((value, c) => value - y[c]),
        fisher: diagonal(f.map(() => 1)),
      };
    case "categorical": {
      const p = softmax(f);
      const top = Math.max(...f);
      return {
        loss: top + Math.log(f.reduce((sum, value) => sum + Math.exp(value - top), 0)) - f[y[0]],
        gradient: p.map((value, c) => value - (c === y[0] ? 1 : 0)),
        fisher: p.map((a, i) => p.map((b, j) => (i === j ? a : 0) - a * b)),
      };
    }
    case "bernoulli": {
      const p = f.map(sigmoid);
      return {
        loss: f.reduce((sum, value, c) => sum + softplus(value) - y[c] * value, 0),
        gradient: p.map((value, c) => value - y[c]),
        fisher: diagonal(p.map((value) => value * (1 - value))),
      };
    }
    case "poisson": {
      const rates = f.map(Math.exp);
      return {
        loss: f.reduce((sum, value, c) => sum + rates[c] - y[c] * value, 0),
        gradient: rates.map((value, c) => value - y[c]),
        fisher: diagonal(rates),
      };
    }
    default:
      throw new Error(`no formulas of ${name}`);
  }
}

function targetsOf(name: Likelihood["name"], outputs: number, random: Random): number[] {
  if (name === "categorical") return [random.integer(outputs)];
  if (name === "gaussian") return Array.from({ length: outputs }, () => random.normal());
  return Array.from({ length: outputs }, () => random.integer(name === "poisson" ? 9 : 2));
}

const toTargets = (name: Likelihood["name"], rows: readonly number[][]) =>
  name === "categorical"
    ? tensor(Int32Array.from(rows.flat()))
    : tensor(rows.flat(), [rows.length, rows[0].length]);

for (const likelihood of likelihoods) {
  const { name } = likelihood;
  describe(name, () => {
    it("loss, ∂ℓ/∂f, BBᵀ = F_out and Bρ = ∂ℓ/∂f", async () => {
      await fc.assert(
        fc.asyncProperty(fc.integer({ min: 2, max: 4 }), fc.integer(), async (outputs, seed) => {
          const random = new Random(seed);
          const f = Array.from({ length: 3 }, () =>
            Array.from({ length: outputs }, () => 3 * random.normal()),
          );
          const y = f.map(() => targetsOf(name, outputs, random));
          const actual = await describeAt(likelihood, f, toTargets(name, y), "float64");
          for (let n = 0; n < f.length; n++) {
            const expected = byHand(name, f[n], y[n]);
            const row = (values: ArrayLike<number>) =>
              Array.from(values).slice(n * outputs, (n + 1) * outputs);
            assertNear([actual.loss.data[n]], [expected.loss], 1e-12, "loss");
            assertNear(row(actual.gradient.data), expected.gradient, 1e-12, "gradient");
            assertNear(row(actual.derivative.data), expected.gradient, 1e-12, "derivative of the loss");
            const b = actual.root(n);
            const square = b.map((u) => b.map((v) => u.reduce((sum, value, c) => sum + value * v[c], 0)));
            assertNear(square.flat(), expected.fisher.flat(), 1e-12, "BBᵀ");
            const along = b.map((u) => u.reduce((sum, value, c) => sum + value * actual.residual(n)[c], 0));
            assertNear(along, expected.gradient, 1e-12, "Bρ");
          }
        }),
        { numRuns: 15, seed: 1 },
      );
    });

    for (const dtype of ["float32", "float64"] as const) {
      it(`stays right at extreme outputs (${dtype})`, async () => {
        const tolerance = dtype === "float32" ? 1e-5 : 1e-12;
        const f = [
          [100, -100],
          [-100, 100],
          [-100, -100],
          [1000, 0],
          [0, -1000],
        ].filter((row) => name !== "poisson" || Math.max(...row) < 88); // e⁸⁸ is the largest rate of float32
        for (const y of [
          [0, 1],
          [1, 0],
        ]) {
          const targets = f.map(() => (name === "categorical" ? y.slice(0, 1) : y));
          const actual = await describeAt(likelihood, f, toTargets(name, targets), dtype);
          for (let n = 0; n < f.length; n++) {
            const expected = byHand(name, f[n], targets[n]);
            const row = (values: ArrayLike<number>) => Array.from(values).slice(2 * n, 2 * n + 2);
            assertClose([actual.loss.data[n]], [expected.loss], tolerance, `loss at ${f[n]}`);
            assertClose(row(actual.gradient.data), expected.gradient, tolerance, `gradient at ${f[n]}`);
            const [b, rho] = [actual.root(n), actual.residual(n)];
            for (const value of [...b.flat(), ...rho]) assert.ok(Number.isFinite(value), `${f[n]}: ${value}`);
            const along = b.map((u) => u.reduce((sum, value, c) => sum + value * rho[c], 0));
            assertClose(along, expected.gradient, tolerance, `Bρ at ${f[n]}`);
          }
        }
      });
    }

    const normalDraws = name === "poisson" && "its draws are normal, of the counts' mean and variance";
    const itself = name === "poisson" ? "numbers of its mean and variance" : "from itself";
    it(`samples ${itself} (within 5σ)`, async () => {
      const count = 20_000;
      const f = [0.8, -1.2, 0.3];
      const random = new Random(11);
      const { kind, shape } = likelihood.noise(count, 3);
      const noise = Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () =>
        kind === "normal" ? random.normal() : random.uniform(),
      );
      const many = graph.constant(
        Float64Array.from({ length: 3 * count }, (_, k) => f[k % 3]),
        [count, 3],
        "float64",
      );
      const { drawn } = await evaluate(runtime, {
        drawn: likelihood.sample(many, graph.constant(noise, shape, "float64")),
      });
      if (name !== "poisson") assert.doesNotThrow(() => likelihood.check(drawn, count, 3));
      const within = (actual: number, expected: number, variance: number) => {
        const sigma = Math.sqrt(variance / count);
        assert.ok(Math.abs(actual - expected) < 5 * sigma, `${actual}, not ${expected} ± ${sigma}`);
      };
      const mean = (g: (row: number, c: number) => number, c: number) => {
        let total = 0;
        for (let row = 0; row < count; row++) total += g(row, c);
        return total / count;
      };
      for (let c = 0; c < 3; c++) {
        if (name === "gaussian") {
          const deviation = (row: number) => drawn.data[3 * row + c] - f[c];
          within(mean(deviation, c), 0, 1);
          within(
            mean((row) => deviation(row) ** 2, c),
            1,
            2,
          );
          within(
            mean((row) => deviation(row) * (drawn.data[3 * row + ((c + 1) % 3)] - f[(c + 1) % 3]), c),
            0,
            1,
          );
        } else if (name === "poisson") {
          const [rate, deviation] = [
            Math.exp(f[c]),
            (row: number) => drawn.data[3 * row + c] - Math.exp(f[c]),
          ];
          within(mean(deviation, c), 0, rate);
          within(
            mean((row) => deviation(row) ** 2, c),
            rate,
            2 * rate ** 2,
          );
        } else {
          const p = name === "categorical" ? softmax(f)[c] : sigmoid(f[c]);
          const hit = (row: number) =>
            name === "categorical" ? (drawn.data[row] === c ? 1 : 0) : drawn.data[3 * row + c];
          within(mean(hit, c), p, p * (1 - p));
        }
      }
    });

    it("samples only what exists, even at the ends of the noise", { skip: normalDraws }, async () => {
      const f = graph.constant([100, -100, 0, -100, 100, 0], [2, 3], "float32");
      const { shape } = likelihood.noise(2, 3);
      for (const end of [0, 1 - 2 ** -24, 1]) {
        const noise = graph.constant(new Array(shape.reduce((a, b) => a * b, 1)).fill(end), shape, "float32");
        const { drawn } = await evaluate(runtime, { drawn: likelihood.sample(f, noise) });
        assert.doesNotThrow(() => likelihood.check(drawn, 2, 3));
      }
    });
  });
}

describe("targets are checked in one line", () => {
  const cases: [Likelihood, Tensor, string][] = [
    [gaussian(), tensor([1, 2], [2, 1]), "invalid targets: shape (2, 1) (must be (2, 3))"],
    [gaussian(), tensor([1, 2, 3, 4, 5, Number.NaN], [2, 3]), "invalid target NaN (must be a finite number)"],
    [categorical(), tensor([0, 1], [2, 1]), "invalid targets: shape (2, 1) (must be (2))"],
    [categorical(), tensor([0, -1]), "invalid class -1 (must be an integer from 0 to 2)"],
    [categorical(), tensor([0, 0.5]), "invalid class 0.5 (must be an integer from 0 to 2)"],
    [categorical(), tensor([0, Number.NaN]), "invalid class NaN (must be an integer from 0 to 2)"],
    [
      categorical(),
      tensor([0, 3]),
      "invalid class 3: the model has 3 outputs (give its last layer at least 4 units)",
    ],
    [bernoulli(), tensor([0, 1, 0, 1, 0, 2], [2, 3]), "invalid target 2 (must be between 0 and 1)"],
    [bernoulli(), tensor([0, 1, 0, 1, 0, -1], [2, 3]), "invalid target -1 (must be between 0 and 1)"],
    [bernoulli(), tensor([0, 1]), "invalid targets: shape (2) (must be (2, 3))"],
    [poisson(), tensor([0, 1, 2, 3, 4, -5], [2, 3]), "invalid target -5 (must be at least 0)"],
    [families.bernoulli, tensor([0, 1, 0, 1, 0, 2], [2, 3]), "invalid target 2 (must be between 0 and 1)"],
  ];
  for (const [likelihood, targets, message] of cases) {
    it(message, () => {
      assert.throws(() => likelihood.check(targets, 2, 3), { name: "UsageError", message });
    });
  }

  it("a categorical model needs two outputs", () => {
    const message = "invalid outputs of a categorical model: 1 (must be at least 2, one for every class)";
    assert.throws(() => categorical().check(tensor([0, 0]), 2, 1), { name: "UsageError", message });
  });
});

describe("exponential families by their log-partition function", () => {
  for (const known of [gaussian(), bernoulli()]) {
    it(`say of ${known.name} what it says of itself`, async () => {
      const family = families[known.name as keyof typeof families];
      const random = new Random(3);
      const f = Array.from({ length: 5 }, () => [3 * random.normal(), 3 * random.normal()]);
      const y = toTargets(
        known.name,
        f.map(() => targetsOf(known.name, 2, random)),
      );
      const [ours, theirs] = [
        await describeAt(family, f, y, "float64"),
        await describeAt(known, f, y, "float64"),
      ];
      assertNear([...ours.gradient.data], [...theirs.gradient.data], 1e-12, "gradient");
      for (let n = 0; n < f.length; n++) {
        assertNear(ours.root(n).flat(), theirs.root(n).flat(), 1e-12, "B");
        assertNear(ours.residual(n), theirs.residual(n), 1e-12, "ρ");
      }
    });
  }

  it("need a function of each element", () => {
    const family = exponentialFamily({ name: "none", logPartition: (f) => graph.sum(graph.exp(f), [1]) });
    const f = graph.constant([1, 2, 3, 4], [2, 2], "float64");
    const message = 'invalid logPartition of none: "(2, 2) to (2)" (must be element by element)';
    assert.throws(() => family.loss(f, f), { name: "UsageError", message });
  });

  it("need a range of targets", () => {
    const message = "invalid targets of none: [1,0] (must be the least and the largest one)";
    const family = { name: "none", logPartition: graph.exp, targets: [1, 0] } as const;
    assert.throws(() => exponentialFamily(family), { name: "UsageError", message });
  });
});
