/** K-FAC and EKFAC against dense references that know only per-sample gradients. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import fc from "fast-check";
import {
  type Batch,
  createOptimizer,
  createTrainer,
  dense,
  ekfac,
  gaussian,
  kfac,
  type MethodInfo,
  sequential,
  sgd,
  type Trainer,
  tensor,
} from "../../src/index.ts";
import { symmetricEigen } from "../../src/linalg/index.ts";
import { openRuntime } from "../../src/runtime/runtime.ts";
import type { Runtime } from "../../src/runtime/session.ts";
import { type Network, networkOf, networkPlans, randomBatch, trainerOf } from "../conformance/networks.ts";
import {
  assertNear,
  dot,
  flatten,
  type Layout,
  layoutOf,
  type Matrix,
  project,
  solve,
} from "../conformance/reference.ts";

let runtime: Runtime;
before(async () => {
  runtime = await openRuntime();
});
after(() => runtime?.dispose());

/** One score row of a layer: the gradient is the outer product δ āᵀ. */
interface Row {
  readonly delta: Float64Array;
  readonly inputs: Float64Array;
}

/** The empirical score rows of each layer, each from the gradient of one sample; layers must have a bias. */
async function scoreRows(trainer: Trainer, batch: Batch, layout: Layout): Promise<Row[][]> {
  const [samples] = batch.inputs.shape;
  const rows: Row[][] = layout.layers.map(() => []);
  for (let n = 0; n < samples; n++) {
    const one = ({ shape, data }: Batch["inputs"]) => {
      const width = data.length / samples;
      return { shape: [1, ...shape.slice(1)], data: data.slice(n * width, (n + 1) * width) };
    };
    const sample = { inputs: one(batch.inputs), targets: one(batch.targets) };
    const gradient = flatten(layout, await trainer.gradient(sample));
    layout.layers.forEach(({ start, rows: outputs, columns }, l) => {
      const at = (o: number, i: number) => gradient[start + o * columns + i];
      const delta = Float64Array.from({ length: outputs }, (_, o) => at(o, columns - 1));
      const largest = delta.reduce((best, d, o) => (Math.abs(d) > Math.abs(delta[best]) ? o : best), 0);
      const inputs = Float64Array.from({ length: columns }, (_, i) => at(largest, i) / delta[largest]);
      rows[l].push({ delta, inputs });
    });
  }
  return rows;
}

/** (1/N) Σ x xᵀ. */
function covariance(rows: readonly Float64Array[]): Matrix {
  return Array.from(rows[0], (_, i) =>
    Float64Array.from(rows[0], (_, j) => rows.reduce((total, x) => total + x[i] * x[j], 0) / rows.length),
  );
}

const trace = (matrix: Matrix) => matrix.reduce((total, row, k) => total + row[k], 0);

/** G ⊗ A in the order of [W b] row-major. */
function kronecker(g: Matrix, a: Matrix): Matrix {
  const columns = a.length;
  return Array.from({ length: g.length * columns }, (_, p) =>
    Float64Array.from(
      { length: g.length * columns },
      (_, q) => g[Math.floor(p / columns)][Math.floor(q / columns)] * a[p % columns][q % columns],
    ),
  );
}

/** u ⊗ v. */
const outerProduct = (u: Float64Array, v: Float64Array): Float64Array =>
  Float64Array.from({ length: u.length * v.length }, (_, k) => u[Math.floor(k / v.length)] * v[k % v.length]);

const shifted = (matrix: Matrix, shift: number): Matrix =>
  matrix.map((row, k) => row.map((value, j) => (j === k ? value + shift : value)));

const mix = (old: Matrix | undefined, value: Matrix, epsilon: number): Matrix =>
  old ? value.map((row, i) => row.map((x, j) => epsilon * old[i][j] + (1 - epsilon) * x)) : value;

/** The matrix that K-FAC inverts. */
function kfacMatrix(g: Matrix, a: Matrix, damping: number): Matrix {
  const pi = Math.sqrt(trace(a) / a.length / (trace(g) / g.length));
  const root = Math.sqrt(damping);
  return kronecker(shifted(g, root / pi), shifted(a, pi * root));
}

/** The eigenvectors of a symmetric matrix as rows, and its eigenvalues. */
function eigen(matrix: Matrix): { vectors: Matrix; values: Float64Array } {
  const n = matrix.length;
  const result = symmetricEigen(Float64Array.from(matrix.flatMap((row) => [...row])), n);
  assert.equal(result.failure, undefined);
  const { vectors, values } = result as Exclude<typeof result, { failure: string }>;
  const rows = Array.from({ length: n }, (_, k) => Float64Array.from(matrix, (_, i) => vectors[i * n + k]));
  return { vectors: rows, values };
}

/** U diag(s) Uᵀ for U = U_G ⊗ U_A. */
function inBasis(outer: Matrix, inner: Matrix, s: Float64Array): Matrix {
  const basis = outer.flatMap((u) => inner.map((v) => outerProduct(u, v)));
  const size = s.length;
  return Array.from({ length: size }, (_, p) =>
    Float64Array.from({ length: size }, (_, q) => {
      let total = 0;
      for (let k = 0; k < size; k++) total += s[k] * basis[k][p] * basis[k][q];
      return total;
    }),
  );
}

const withBias = networkPlans().map((plan) => ({ ...plan, bias: true }));

/** The direction of one batch. */
async function directionOf(network: Network, batch: Batch, name: MethodInfo["name"], options: object) {
  const trainer = await trainerOf(runtime, network, createOptimizer(name, { ...options }));
  const direction = flatten(layoutOf(trainer.getParameters()), await trainer.direction(batch));
  trainer.dispose();
  return direction;
}

describe("moving averages of K-FAC and EKFAC", () => {
  /** Steps of a method, each against `expected`, which sees the step's number and the layer's averages and rows. */
  async function follows(
    name: "kfac" | "ekfac",
    options: Record<string, unknown>,
    decay: number,
    layerMatrix: (step: number, layer: number, g: Matrix, a: Matrix, rows: Row[]) => Matrix | undefined,
    tolerance: number,
  ): Promise<void> {
    const network = networkOf({
      ...{ features: 3, hidden: [4], outputs: 2, bias: true, activation: "tanh", samples: 6 },
      ...{ likelihood: "categorical", seed: 2 },
    });
    const [learningRate, damping] = [0.05, 0.1];
    const all = { learningRate, damping, decay, fisher: "empirical", ...options };
    const trainer = await trainerOf(runtime, network, createOptimizer(name, all));
    const layout = layoutOf(trainer.getParameters());
    const averages: { a?: Matrix; g?: Matrix }[] = layout.layers.map(() => ({}));
    const inverted: Matrix[] = [];
    for (const [step, samples] of [6, 4, 6, 3, 6, 6, 4].entries()) {
      const batch = randomBatch(network, samples, step);
      const rows = await scoreRows(trainer, batch, layout);
      const epsilon = Math.min(1 - 1 / (step + 1), decay);
      const gradient = flatten(layout, await trainer.gradient(batch));
      const before = flatten(layout, trainer.getParameters());
      assert.equal((await trainer.step(batch)).status, "ok");
      const after = flatten(layout, trainer.getParameters());
      layout.layers.forEach(({ start, end }, l) => {
        const average = averages[l];
        average.a = mix(average.a, covariance(rows[l].map(({ inputs }) => inputs)), epsilon);
        average.g = mix(average.g, covariance(rows[l].map(({ delta }) => delta)), epsilon);
        inverted[l] = layerMatrix(step, l, average.g, average.a, rows[l]) ?? inverted[l];
        const taken = before.slice(start, end).map((value, p) => (value - after[start + p]) / learningRate);
        assertNear(
          taken,
          solve(inverted[l], gradient.slice(start, end)),
          tolerance,
          `step ${step}, layer ${l}`,
        );
      });
    }
    trainer.dispose();
  }

  for (const refreshEvery of [1, 3]) {
    it(`K-FAC: averages on every step, inverses every ${refreshEvery}`, () =>
      follows(
        "kfac",
        { refreshEvery },
        0.7,
        (step, _, g, a) => (step % refreshEvery === 0 ? kfacMatrix(g, a, 0.1) : undefined),
        1e-9,
      ));

    it(`EKFAC: averages and scale on every step, bases every ${refreshEvery}`, () => {
      const bases: { outer: Matrix; inner: Matrix; s: Float64Array }[] = [];
      return follows(
        "ekfac",
        { refreshEvery },
        0.7,
        (step, l, g, a, rows) => {
          if (step % refreshEvery === 0) {
            const [outer, inner] = [eigen(g), eigen(a)];
            const s = outerProduct(outer.values, inner.values).map((value) => Math.max(0, value));
            bases[l] = { outer: outer.vectors, inner: inner.vectors, s };
          }
          const { outer, inner, s } = bases[l];
          const epsilon = Math.min(1 - 1 / (step + 1), 0.7);
          const measured = outer.flatMap((u) =>
            inner.map((v) => {
              const squares = rows.map(({ delta, inputs }) => (dot(u, delta) * dot(v, inputs)) ** 2);
              return squares.reduce((x, y) => x + y) / rows.length;
            }),
          );
          bases[l].s = s.map((value, k) => epsilon * value + (1 - epsilon) * measured[k]);
          return shifted(inBasis(outer, inner, bases[l].s), 0.1);
        },
        1e-6,
      );
    });
  }

  it("EKFAC with scaleEvery keeps basis, averages and scale between", async () => {
    const network = networkOf({
      ...{ features: 3, hidden: [4], outputs: 2, bias: true, activation: "tanh", samples: 6 },
      ...{ likelihood: "gaussian", seed: 2 },
    });
    const options = { learningRate: 0.1, damping: 0.1, fisher: "exact" } as const;
    const sparse = await trainerOf(runtime, network, ekfac({ ...options, refreshEvery: 4, scaleEvery: 2 }));
    const layout = layoutOf(sparse.getParameters());
    const steps: Float64Array[] = [];
    const batch = randomBatch(network, 6, 1);
    for (let k = 0; k < 2; k++) {
      const [fresh, before] = [await sparse.direction(batch), flatten(layout, sparse.getParameters())];
      await sparse.step(batch);
      const after = flatten(layout, sparse.getParameters());
      steps.push(before.map((value, p) => (value - after[p]) / 0.1));
      const same = () => assertNear(steps[k], flatten(layout, fresh), 1e-9, `step ${k}`);
      if (k === 0) same();
      else assert.throws(same);
    }
    sparse.dispose();
  });
});

describe("K-FAC is the exact block", () => {
  it("for one sample: A ⊗ G is the block of the Fisher matrix", async () => {
    await fc.assert(
      fc.asyncProperty(withBias, async (plan) => {
        const network = networkOf({ ...plan, samples: 1 });
        const batch = randomBatch(network, 1, network.seed);
        const probe = await trainerOf(runtime, network, sgd({ learningRate: 1 }));
        const layout = layoutOf(probe.getParameters());
        const fisher = project(await probe.fisher(batch, "empirical"), layout, "block-diagonal");
        const rows = await scoreRows(probe, batch, layout);
        layout.layers.forEach(({ start, end }, l) => {
          const [a, g] = [covariance([rows[l][0].inputs]), covariance([rows[l][0].delta])];
          const block = fisher.slice(start, end).flatMap((row) => [...row.slice(start, end)]);
          assertNear(
            kronecker(g, a).flatMap((row) => [...row]),
            block,
            1e-9,
            "A ⊗ G",
          );
        });
        const gradient = flatten(layout, await probe.gradient(batch));
        const actual = await directionOf(network, batch, "kfac", { damping: 0.03, fisher: "empirical" });
        layout.layers.forEach(({ start, end }, l) => {
          const [a, g] = [covariance([rows[l][0].inputs]), covariance([rows[l][0].delta])];
          const expected = solve(kfacMatrix(g, a, 0.03), gradient.slice(start, end));
          assertNear(actual.slice(start, end), expected, 1e-8, `layer ${l}`);
        });
        probe.dispose();
      }),
      { numRuns: 12, seed: 1 },
    );
  });

  it("and so is EKFAC, damped alike", async () => {
    await fc.assert(
      fc.asyncProperty(withBias, async (plan) => {
        const network = networkOf({ ...plan, samples: 1 });
        const batch = randomBatch(network, 1, network.seed);
        const options = { damping: 0.03, fisher: "empirical" };
        const expected = await directionOf(network, batch, "blockDiagonalNgd", options);
        assertNear(await directionOf(network, batch, "ekfac", options), expected, 1e-6, "EKFAC");
      }),
      { numRuns: 12, seed: 1 },
    );
  });

  for (const bias of [true, false]) {
    it(`for a linear layer with a gaussian likelihood, ${bias ? "with" : "without"} bias`, async () => {
      for (const seed of [1, 2, 3]) {
        const network: Network = {
          ...{ model: sequential([dense(2, { bias })]), likelihood: gaussian(), inputShape: [4] },
          ...{ outputs: 2, samples: 20, seed },
        };
        const batch = randomBatch(network, 20, seed);
        const undamped = { damping: 0, fisher: "exact" };
        const expected = await directionOf(network, batch, "exactNgd", { ...undamped, solver: "dense" });
        assertNear(await directionOf(network, batch, "kfac", undamped), expected, 1e-10, "K-FAC");
        assertNear(await directionOf(network, batch, "ekfac", undamped), expected, 1e-6, "EKFAC");
        const damped = { damping: 0.2, fisher: "exact" };
        const other = await directionOf(network, batch, "exactNgd", damped);
        assertNear(await directionOf(network, batch, "ekfac", damped), other, 1e-6, "EKFAC, damped");
      }
    });
  }

  it("of order above 256, where the host lets the event loop breathe", async () => {
    const network: Network = {
      ...{ model: sequential([dense(2)]), likelihood: gaussian(), inputShape: [270] },
      ...{ outputs: 2, samples: 40, seed: 1 },
    };
    const batch = randomBatch(network, 40, 1);
    const exact = { damping: 0.2, fisher: "exact" };
    const expected = await directionOf(network, batch, "exactNgd", exact);
    assertNear(await directionOf(network, batch, "ekfac", exact), expected, 1e-6, "EKFAC");
    // G = I: with π = 1 K-FAC's matrix is (1 + √λ)(A + √λ I), the exact one with damping √λ but for the factor.
    const root = Math.sqrt(0.2);
    const similar = await directionOf(network, batch, "exactNgd", { damping: root, fisher: "exact" });
    const actual = await directionOf(network, batch, "kfac", { ...exact, piDamping: false });
    assertNear(
      actual.map((value) => value * (1 + root)),
      similar,
      1e-9,
      "K-FAC",
    );
  });
});

it("EKFAC in the parameters' own basis is the diagonal", async () => {
  // Each sample has one input, each size once: A is diagonal with distinct entries; G = I.
  const network: Network = {
    ...{ model: sequential([dense(2, { bias: false })]), likelihood: gaussian(), inputShape: [3] },
    ...{ outputs: 2, samples: 3, seed: 1 },
  };
  const { targets } = randomBatch(network, 3, 1);
  const batch = { inputs: tensor([1, 0, 0, 0, 2, 0, 0, 0, 3], [3, 3]), targets };
  const options = { damping: 0.1, fisher: "exact" };
  const expected = await directionOf(network, batch, "diagonalNgd", options);
  assertNear(await directionOf(network, batch, "ekfac", options), expected, 1e-12, "direction");
});

describe("K-FAC", () => {
  it("goes through the gradient's factors on small batches, to the same direction", async () => {
    for (const bias of [true, false]) {
      const network = networkOf({
        ...{ features: 8, hidden: [8], outputs: 6, bias, activation: "tanh", samples: 2 },
        ...{ likelihood: "bernoulli", seed: 3 },
      });
      const batch = randomBatch(network, 2, 3);
      // The same rows many times over: the same A, G and gradient.
      const many = ({ shape: [samples, width], data }: Batch["inputs"]) =>
        tensor(
          Float64Array.from({ length: 10 * data.length }, (_, k) => data[k % data.length]),
          [10 * samples, width],
        );
      const repeated = { inputs: many(batch.inputs), targets: many(batch.targets) };
      const options = { damping: 0.01, fisher: "exact" };
      const expected = await directionOf(network, repeated, "kfac", options);
      assertNear(await directionOf(network, batch, "kfac", options), expected, 1e-10, `bias: ${bias}`);
    }
  });

  it("inverts at once when the damping was raised, and waits when it was lowered", async () => {
    const network: Network = {
      ...{ model: sequential([dense(1)]), likelihood: gaussian(), inputShape: [2] },
      ...{ outputs: 1, samples: 8, seed: 1 },
    };
    const batch = randomBatch(network, 8, 1);
    // A linear model: the quadratic model is right, so that the damping falls at each measurement.
    const policy = { policy: "levenberg-marquardt", initial: 1, every: 1, factor: 0.5 } as const;
    const falling = await trainerOf(
      runtime,
      network,
      kfac({ learningRate: 0.1, damping: policy, fisher: "exact", refreshEvery: 3 }),
    );
    const used = [];
    for (let k = 0; k < 6; k++) used.push((await falling.step(batch)).damping);
    assert.deepEqual(used, [1, 1, 1, 1 / 8, 1 / 8, 1 / 8]);
    falling.dispose();
    // Steps far too long: the loss would rise, each is taken back with more damping, which the next has to use.
    const rising = await trainerOf(
      runtime,
      network,
      kfac({ learningRate: 40, damping: policy, fisher: "exact", refreshEvery: 100 }),
    );
    let last = 0;
    for (let k = 0; k < 4; k++) {
      const { damping, status } = await rising.step(batch);
      assert.match(status, /^rejected: the loss would rise/);
      assert.ok(damping! > last, `${damping} after ${last}`);
      last = damping!;
    }
    rising.dispose();
  });

  it("refuses a layer beyond the memory limit, with the number", async () => {
    const model = sequential([dense(4)]);
    for (const [optimizer, message] of [
      [
        kfac(),
        "the kfac block of 0.weight needs 1.8 KiB, the limit is 1000 B (use a narrower layer or tengrad)",
      ],
      [
        ekfac(),
        "the ekfac block of 0.weight needs 2.1 KiB, the limit is 1000 B (use a narrower layer or tengrad)",
      ],
    ] as const) {
      const trainer = await createTrainer(
        { model, likelihood: gaussian(), inputShape: [5], optimizer, memoryLimit: 1000 },
        { runtime },
      );
      const batch = {
        inputs: tensor(new Float64Array(15), [3, 5]),
        targets: tensor(new Float64Array(12), [3, 4]),
      };
      await assert.rejects(trainer.step(batch), { name: "UsageError", message });
      trainer.dispose();
    }
  });

  it("names an option out of range", () => {
    const refused = (create: () => unknown, message: string) =>
      assert.throws(create, { name: "UsageError", message });
    refused(() => kfac({ decay: 1 }), "invalid decay: 1 (must be in [0, 1))");
    refused(() => ekfac({ decay: -0.1 }), "invalid decay: -0.1 (must be in [0, 1))");
    refused(() => kfac({ piDamping: 1 as never }), "invalid piDamping: 1 (must be true or false)");
    refused(() => kfac({ refreshEvery: 0 }), "invalid refreshEvery: 0 (must be a positive integer)");
    refused(() => ekfac({ refreshEvery: 1.5 }), "invalid refreshEvery: 1.5 (must be a positive integer)");
    const divisor = "invalid scaleEvery: 3 (must be a divisor of refreshEvery, which is 4)";
    refused(() => ekfac({ refreshEvery: 4, scaleEvery: 3 }), divisor);
  });
});
