/** The Fisher matrix and what methods have for its inverse, as linear operators. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import {
  type Batch,
  batchNorm,
  categorical,
  conv2d,
  createOptimizer,
  dense,
  dropout,
  flatten as flattened,
  methods,
  type NamedTensors,
  Random,
  sequential,
  sgd,
  type Tensor,
  type Trainer,
  tanh,
} from "../../src/index.ts";
import { openRuntime } from "../../src/runtime/runtime.ts";
import type { Runtime } from "../../src/runtime/session.ts";
import {
  isOneLine,
  type Network,
  networkOf,
  normal,
  randomBatch,
  trainerOf,
} from "../conformance/networks.ts";
import { assertNear, dot, flatten, layoutOf } from "../conformance/reference.ts";

let runtime: Runtime;
before(async () => {
  runtime = await openRuntime();
});
after(() => runtime?.dispose());

const plan = { features: 3, hidden: [4], outputs: 2, bias: true, activation: "tanh", samples: 6 } as const;
const types = ["exact", "empirical", "improved-empirical", "monte-carlo"] as const;

/** A vector of standard normal numbers. */
function randomVector(trainer: Trainer, seed: number): NamedTensors {
  const random = new Random(seed);
  return new Map([...trainer.getParameters()].map(([name, { shape }]) => [name, normal(random, shape)]));
}

const numbers = (named: NamedTensors) =>
  Float64Array.from([...named.values()].flatMap(({ data }) => [...data]));

/** The (P, P) matrix times a vector, in the order of its rows: layer by layer, [W b] row by row. */
function timesMatrix(matrix: Tensor, v: Float64Array): Float64Array {
  const order = v.length;
  return v.map((_, row) => dot(matrix.data.subarray(row * order, (row + 1) * order) as Float64Array, v));
}

async function withTrainer(
  network: Network,
  name: string,
  options: Record<string, unknown>,
  use: (trainer: Trainer, batch: Batch) => Promise<void>,
): Promise<void> {
  const trainer = await trainerOf(runtime, network, createOptimizer(name, options));
  await use(trainer, randomBatch(network, network.samples, 3)).finally(() => trainer.dispose());
}

describe("the Fisher matrix as a linear operator", () => {
  for (const likelihood of ["gaussian", "categorical", "bernoulli", "poisson"] as const) {
    for (const type of types) {
      it(`is the dense matrix: ${likelihood}, ${type}`, () => {
        const network = networkOf({ ...plan, likelihood, seed: 2 });
        return withTrainer(network, "sgd", { learningRate: 0.1 }, async (trainer, batch) => {
          const draws = [7, 8].map((seed) => randomBatch(network, network.samples, seed).targets);
          const options = type === "monte-carlo" ? { sampledTargets: draws } : {};
          const operator = trainer.fisherOperator(batch, type, options);
          const matrix = await trainer.fisher(batch, type, options);
          const layout = layoutOf(trainer.getParameters());
          for (const seed of [1, 2]) {
            const v = randomVector(trainer, seed);
            const expected = timesMatrix(matrix, flatten(layout, v));
            assertNear(flatten(layout, await operator.apply(v)), expected, 1e-12, `vector ${seed}`);
          }
          operator.dispose();
        });
      });
    }
  }

  it("of a convolutional network, by conv and dense parameters", async () => {
    const network: Network = {
      model: sequential([conv2d(2, { kernel: 2 }), tanh(), flattened(), dense(3)]),
      ...{ likelihood: categorical(), inputShape: [2, 3, 3], outputs: 3, samples: 4, seed: 1 },
    };
    await withTrainer(network, "sgd", { learningRate: 0.1 }, async (trainer, batch) => {
      const operator = trainer.fisherOperator(batch, "exact");
      const matrix = await trainer.fisher(batch, "exact");
      const v = randomVector(trainer, 1);
      // Filters are rows of [W b], too.
      const rows = (named: NamedTensors) =>
        ["0", "3"].flatMap((layer) => {
          const [{ shape, data }, bias] = [named.get(`${layer}.weight`)!, named.get(`${layer}.bias`)!];
          const features = data.length / shape[0];
          return [...bias.data].flatMap((b, o) => [...data.slice(o * features, (o + 1) * features), b]);
        });
      const expected = timesMatrix(matrix, Float64Array.from(rows(v)));
      assertNear(Float64Array.from(rows(await operator.apply(v))), expected, 1e-12, "product");
      operator.dispose();
    });
  });

  it("takes parts of vectors, follows the parameters, and is symmetric under normalization and dropped units", async () => {
    const network: Network = {
      model: sequential([conv2d(3, { kernel: 2 }), batchNorm(), tanh(), flattened(), dropout(0.3), dense(2)]),
      ...{ likelihood: categorical(), inputShape: [1, 3, 3], outputs: 2, samples: 5, seed: 1 },
    };
    await withTrainer(network, "sgd", { learningRate: 0.5 }, async (trainer, batch) => {
      const operator = trainer.fisherOperator(batch, "exact");
      const [v, w] = [randomVector(trainer, 1), randomVector(trainer, 2)];
      const [fv, fw] = [await operator.apply(v), await operator.apply(w)];
      const [one, other] = [dot(numbers(w), numbers(fv)), dot(numbers(v), numbers(fw))];
      assert.ok(Math.abs(one - other) < 1e-12 * Math.abs(one), `${one} and ${other}`);
      assert.ok(dot(numbers(v), numbers(fv)) > 0);
      const name = "5.weight";
      const part = await operator.apply({ [name]: v.get(name)! });
      const rest = await operator.apply(new Map([...v].filter(([other]) => other !== name)));
      const joined = numbers(part).map((value, k) => value + numbers(rest)[k]);
      assertNear(joined, numbers(fv), 1e-12, "sum of the parts");
      await trainer.step(batch);
      assert.notDeepEqual(numbers(await operator.apply(v)), numbers(fv), "other parameters");
      operator.dispose();
    });
  });

  it("refuses in one line what does not fit", () => {
    const network = networkOf({ ...plan, likelihood: "gaussian", seed: 1 });
    return withTrainer(network, "sgd", { learningRate: 0.1 }, async (trainer, batch) => {
      assert.throws(() => trainer.fisherOperator(batch, "monte-carlo"), /invalid sampledTargets: "0 draws"/);
      assert.throws(() => trainer.fisherOperator(batch, "extact" as never), /invalid fisher: "extact"/);
      const narrow = { ...batch, inputs: normal(new Random(1), [6, 2]) };
      assert.throws(() => trainer.fisherOperator(narrow, "exact"), /invalid inputs/);
      const operator = trainer.fisherOperator(batch, "exact");
      const vector = normal(new Random(1), [2, 4]);
      for (const [given, message] of [
        [{ "1.weigth": vector }, /unknown parameter 1.weigth \(the model has 0.weight/],
        [{ "2.bias": vector }, /invalid 2.bias: shape \(2, 4\) \(must be \(2\)\)/],
      ] as const) {
        await assert.rejects(
          operator.apply(given),
          (error: Error) => isOneLine(error) && message.test(error.message),
        );
      }
      operator.dispose();
    });
  });
});

describe("a method's preconditioner", () => {
  for (const { name, options } of methods) {
    if (!options.includes("refreshEvery") || ["muon", "shampoo", "soap"].includes(name)) continue;
    it(`of ${name} takes the gradient to its direction`, () => {
      const network = networkOf({ ...plan, likelihood: "categorical", seed: 4 });
      const fisher = options.includes("fisher") ? { fisher: "exact" } : {};
      return withTrainer(network, name, { damping: 0.1, ...fisher }, async (trainer, batch) => {
        const preconditioner = await trainer.preconditioner(batch);
        assert.equal(preconditioner.damping, 0.1);
        assert.ok(preconditioner.curvature.length > 0);
        const direction = await preconditioner.apply(await trainer.gradient(batch));
        assertNear(numbers(direction), numbers(await trainer.direction(batch)), 1e-8, name);
        preconditioner.dispose();
      });
    });
  }

  it("is the inverse of F + λI where the structure is the whole matrix", () => {
    const network = networkOf({ ...plan, likelihood: "bernoulli", seed: 5 });
    const [damping, fisher] = [0.05, "exact" as const];
    return withTrainer(network, "exactNgd", { damping, fisher }, async (trainer, batch) => {
      const inverse = await trainer.preconditioner(batch);
      const operator = trainer.fisherOperator(batch, fisher);
      const v = randomVector(trainer, 9);
      const x = await inverse.apply(v);
      const back = numbers(await operator.apply(x)).map((value, k) => value + damping * numbers(x)[k]);
      assertNear(back, numbers(v), 1e-9, "there and back");
      inverse.dispose();
      operator.dispose();
    });
  });

  it("is refused in words by methods without curvature", async () => {
    const network = networkOf({ ...plan, likelihood: "gaussian", seed: 1 });
    const trainer = await trainerOf(runtime, network, sgd({ learningRate: 0.1 }));
    await assert.rejects(trainer.preconditioner(randomBatch(network, 6, 1)), {
      name: "UsageError",
      message: "sgd has no curvature to precondition with",
    });
    trainer.dispose();
  });
});
