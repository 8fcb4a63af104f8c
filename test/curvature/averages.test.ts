/** Moving averages of K-FAC and EKFAC: when they are updated, what reads them, and what a rejected step does to them. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { createOptimizer, ekfac, type NamedTensors, type Trainer, tensor } from "../../src/index.ts";
import { openRuntime } from "../../src/runtime/runtime.ts";
import type { Runtime } from "../../src/runtime/session.ts";
import { bytesInMemory, decodeSafetensors } from "../../src/training/safetensors.ts";
import { assertSameBits, networkOf, randomBatch, trainerOf } from "../conformance/networks.ts";
import { assertNear, dot, flatten, layoutOf, type Matrix, solve } from "../conformance/reference.ts";
import {
  covariance,
  eigen,
  inBasis,
  kfacMatrix,
  kronecker,
  mix,
  outerProduct,
  type Row,
  scoreRows,
  shifted,
} from "./kronecker-reference.ts";

let runtime: Runtime;
before(async () => {
  runtime = await openRuntime();
});
after(() => runtime?.dispose());

/** Wider than its batches, so that directions go through the gradient's factors in the first layer and not in the last. */
const network = networkOf({
  ...{ features: 5, hidden: [6], outputs: 2, bias: true, activation: "tanh", samples: 6 },
  ...{ likelihood: "categorical", seed: 2 },
});

/** What the matrix of a layer is made of. */
interface Seen {
  readonly step: number;
  readonly layer: number;
  readonly g: Matrix;
  readonly a: Matrix;
  readonly rows: readonly Row[];
  /** ε of the update that the step makes. */
  readonly epsilon: number;
}

/**
 * Steps of a method, each against a dense matrix.
 *
 * @param every steps between updates of the averages
 * @param layerMatrix the matrix that the step's gradient is divided by; none: the last one
 */
async function follows(
  name: "kfac" | "ekfac",
  options: Record<string, unknown>,
  every: number,
  layerMatrix: (seen: Seen) => Matrix | undefined,
  tolerance: number,
): Promise<void> {
  const [learningRate, damping] = [0.05, 0.1];
  const all = { learningRate, damping, fisher: "empirical", ...options };
  const trainer = await trainerOf(runtime, network, createOptimizer(name, all));
  const layout = layoutOf(trainer.getParameters());
  const averages: { a?: Matrix; g?: Matrix }[] = layout.layers.map(() => ({}));
  const used: Matrix[] = [];
  for (const [step, samples] of [6, 4, 2, 3, 6, 6, 4].entries()) {
    const batch = randomBatch(network, samples, step);
    const rows = await scoreRows(trainer, batch, layout);
    const epsilon = Math.min(1 - 1 / (Math.floor(step / every) + 1), options.decay as number);
    const gradient = flatten(layout, await trainer.gradient(batch));
    const before = flatten(layout, trainer.getParameters());
    assert.equal((await trainer.step(batch)).status, "ok");
    const after = flatten(layout, trainer.getParameters());
    layout.layers.forEach(({ start, end }, layer) => {
      const average = averages[layer];
      if (step % every === 0) {
        average.a = mix(average.a, covariance(rows[layer].map(({ inputs }) => inputs)), epsilon);
        average.g = mix(average.g, covariance(rows[layer].map(({ delta }) => delta)), epsilon);
      }
      const seen = { step, layer, g: average.g!, a: average.a!, rows: rows[layer], epsilon };
      used[layer] = layerMatrix(seen) ?? used[layer];
      const taken = before.slice(start, end).map((value, p) => (value - after[start + p]) / learningRate);
      const expected = solve(used[layer], gradient.slice(start, end));
      assertNear(taken, expected, tolerance, `step ${step}, layer ${layer}`);
    });
  }
  trainer.dispose();
}

describe("moving averages of K-FAC and EKFAC", () => {
  for (const [refreshEvery, statisticsEvery, decay] of [
    [1, 1, 0.7],
    [3, 1, 0.7],
    [4, 2, 0.7],
    [3, 3, 0],
  ]) {
    const options = { refreshEvery, statisticsEvery, decay };
    const due = (step: number) => step % refreshEvery === 0;
    const title = `averages every ${statisticsEvery}, refreshed every ${refreshEvery}, decay ${decay}`;

    it(`K-FAC: ${title}`, () =>
      follows(
        "kfac",
        options,
        statisticsEvery,
        ({ step, g, a }) => (due(step) ? kfacMatrix(g, a, 0.1) : undefined),
        1e-8,
      ));

    it(`K-FAC's eigen form: ${title}`, () =>
      follows(
        "kfac",
        { ...options, form: "eigen" },
        statisticsEvery,
        ({ step, g, a }) => (due(step) ? shifted(kronecker(g, a), 0.1) : undefined),
        1e-8,
      ));

    it(`EKFAC: ${title}`, () => {
      const bases: { outer: Matrix; inner: Matrix; s: Float64Array }[] = [];
      return follows(
        "ekfac",
        { refreshEvery, scaleEvery: statisticsEvery, decay },
        statisticsEvery,
        ({ step, layer, g, a, rows, epsilon }) => {
          if (step % statisticsEvery !== 0) return undefined;
          if (due(step)) {
            const [outer, inner] = [eigen(g), eigen(a)];
            const s = outerProduct(outer.values, inner.values).map((value) => Math.max(0, value));
            bases[layer] = { outer: outer.vectors, inner: inner.vectors, s };
          }
          const { outer, inner, s } = bases[layer];
          const measured = outer.flatMap((u) =>
            inner.map((v) => {
              const squares = rows.map(({ delta, inputs }) => (dot(u, delta) * dot(v, inputs)) ** 2);
              return squares.reduce((x, y) => x + y) / rows.length;
            }),
          );
          bases[layer].s = s.map((value, k) => epsilon * value + (1 - epsilon) * measured[k]);
          return shifted(inBasis(outer, inner, bases[layer].s), 0.1);
        },
        1e-6,
      );
    });
  }

  it("EKFAC between two scales takes the direction of the last one", async () => {
    const options = { learningRate: 0.1, damping: 0.1, fisher: "exact" } as const;
    const sparse = await trainerOf(runtime, network, ekfac({ ...options, refreshEvery: 4, scaleEvery: 2 }));
    const layout = layoutOf(sparse.getParameters());
    const batch = randomBatch(network, 6, 1);
    for (let k = 0; k < 2; k++) {
      const [fresh, before] = [await sparse.direction(batch), flatten(layout, sparse.getParameters())];
      await sparse.step(batch);
      const after = flatten(layout, sparse.getParameters());
      const step = before.map((value, p) => (value - after[p]) / 0.1);
      const same = () => assertNear(step, flatten(layout, fresh), 1e-9, `step ${k}`);
      if (k === 0) same();
      else assert.throws(same);
    }
    sparse.dispose();
  });
});

describe("a rejected step leaves the averages as they were", () => {
  const contenders = {
    "K-FAC": ["kfac", { refreshEvery: 3 }],
    "K-FAC's eigen form": ["kfac", { refreshEvery: 3, form: "eigen" }],
    EKFAC: ["ekfac", { refreshEvery: 3 }],
  } as const;
  const base = { learningRate: 0.2, fisher: "exact" };

  async function averagesOf(trainer: Trainer): Promise<NamedTensors> {
    const { tensors } = await decodeSafetensors(await bytesInMemory(trainer.toBytes(), "here"));
    // EKFAC's scale begins anew with the refresh that follows a rejection.
    const kept = ([name]: [string, unknown]) => /^curvature\/average\/\d+\/(in|out)put/.test(name);
    const averages = new Map([...tensors].filter(kept));
    assert.ok(averages.size > 0);
    return averages;
  }

  for (const [title, [name, options]] of Object.entries(contenders)) {
    it(`${title}, where the loss would rise`, async () => {
      const policy = { policy: "levenberg-marquardt", initial: 0.01, every: 1 };
      const optimizer = createOptimizer(name, { ...base, ...options, refreshEvery: 50, damping: policy });
      const regression = networkOf({
        ...{ features: 3, hidden: [], outputs: 2, bias: true, activation: "tanh", samples: 6 },
        ...{ likelihood: "gaussian", seed: 1 },
      });
      const trainer = await trainerOf(runtime, regression, optimizer);
      const batch = randomBatch(regression, 6, 1);
      const larger = {
        ...batch,
        inputs: tensor(
          batch.inputs.data.map((x) => 100 * x),
          batch.inputs.shape,
        ),
      };
      for (let k = 0; k < 20; k++) assert.equal((await trainer.step(batch)).status, "ok");
      const averages = await averagesOf(trainer);
      // Between refreshes: a step by curvature of inputs a hundred times smaller, or nineteen parts in twenty of it.
      assert.match((await trainer.step(larger)).status, /^rejected: the loss would rise/);
      assertSameBits(await averagesOf(trainer), averages);
      // What follows is what follows for a trainer that knows only the averages.
      const other = await trainerOf(runtime, regression, optimizer);
      await other.load(trainer.toBytes());
      for (let k = 0; k < 4; k++) assert.ok((await trainer.step(batch)).accepted);
      for (let k = 0; k < 4; k++) assert.ok((await other.step(batch)).accepted);
      assertSameBits(other.getParameters(), trainer.getParameters());
      trainer.dispose();
      other.dispose();
    });

    it(`${title}, where a covariance overflows and the step does not`, async () => {
      const optimizer = createOptimizer(name, { ...base, ...options, damping: 0.1 });
      const trainer = await trainerOf(runtime, network, optimizer, { dtype: "float32" });
      const batch = randomBatch(network, 6, 1);
      const huge = {
        ...batch,
        inputs: tensor(
          batch.inputs.data.map(() => 1e25),
          batch.inputs.shape,
        ),
      };
      await trainer.step(batch);
      const averages = await averagesOf(trainer);
      const status = "rejected: the covariance of the inputs of 0 is not finite";
      assert.equal((await trainer.step(huge)).status.slice(0, status.length), status); // by kept inverses
      assert.equal((await trainer.step(huge)).status.slice(0, status.length), status); // a refresh
      assertSameBits(await averagesOf(trainer), averages);
      assert.equal((await trainer.step(batch)).status, "ok");
      trainer.dispose();
    });
  }

  it("with a refresh on every step, as if the rejected one had not been", async () => {
    for (const [name, options] of Object.values(contenders)) {
      const optimizer = createOptimizer(name, { ...base, ...options, refreshEvery: 1, damping: 0.1 });
      const [interrupted, whole] = [
        await trainerOf(runtime, network, optimizer),
        await trainerOf(runtime, network, optimizer),
      ];
      const bad = randomBatch(network, 6, 9);
      bad.inputs.data[0] = Number.NaN;
      for (let k = 0; k < 4; k++) {
        const batch = randomBatch(network, 6, k);
        await whole.step(batch);
        await interrupted.step(batch);
        assert.equal((await interrupted.step(bad)).accepted, false);
      }
      assertSameBits(interrupted.getParameters(), whole.getParameters());
      interrupted.dispose();
      whole.dispose();
    }
  });
});
