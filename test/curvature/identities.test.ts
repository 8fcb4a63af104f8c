/** Identities of the Fisher matrix and of its inverses, over random networks. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import fc from "fast-check";
import * as graph from "../../src/graph/index.ts";
import {
  type Batch,
  createOptimizer,
  dense,
  gaussian,
  type NamedTensors,
  Random,
  sequential,
  sgd,
  type Trainer,
  tanh,
  tensor,
} from "../../src/index.ts";
import { compile } from "../../src/runtime/program.ts";
import { openRuntime } from "../../src/runtime/runtime.ts";
import type { Runtime } from "../../src/runtime/session.ts";
import { allocate, sizeOf } from "../../src/tensor.ts";
import {
  type LikelihoodName,
  type Network,
  type NetworkPlan,
  networkOf,
  networkPlans,
  randomBatch,
  trainerOf,
} from "../conformance/networks.ts";
import {
  assertNear,
  dot,
  flatten,
  type Layout,
  layoutOf,
  product,
  project,
  solve,
  unflatten,
} from "../conformance/reference.ts";

let runtime: Runtime;
before(async () => {
  runtime = await openRuntime();
});
after(() => runtime?.dispose());

interface Context {
  readonly network: Network;
  readonly batch: Batch;
  readonly trainer: Trainer;
  readonly layout: Layout;
}

/** A property of a network, its batch and a trainer on it. */
async function holds(
  plans: fc.Arbitrary<NetworkPlan>,
  property: (context: Context) => Promise<void>,
  numRuns = 12,
): Promise<void> {
  await fc.assert(
    fc.asyncProperty(plans, async (plan) => {
      const network = networkOf(plan);
      const trainer = await trainerOf(runtime, network, sgd({ learningRate: 1 }));
      const batch = randomBatch(network, network.samples, network.seed);
      try {
        await property({ network, batch, trainer, layout: layoutOf(trainer.getParameters()) });
      } finally {
        trainer.dispose();
      }
    }),
    { numRuns, seed: 1 },
  );
}

describe("solvers", () => {
  async function directionOf(network: Network, batch: Batch, name: string, options: object) {
    const trainer = await trainerOf(runtime, network, createOptimizer(name, { ...options }));
    const direction = flatten(layoutOf(trainer.getParameters()), await trainer.direction(batch));
    trainer.dispose();
    return direction;
  }

  for (const name of ["exactNgd", "blockDiagonalNgd"]) {
    it(`${name}: dense = push-through = conjugate gradients`, async () => {
      await holds(networkPlans(), async ({ network, batch }) => {
        for (const fisher of ["exact", "empirical"]) {
          const [dense, gram, cg] = await Promise.all(
            ["dense", "gram", "cg"].map((solver) =>
              directionOf(network, batch, name, { solver, fisher, damping: 0.03 }),
            ),
          );
          assertNear(gram, dense, 1e-9, `push-through, ${fisher}`);
          assertNear(cg, dense, 1e-7, `conjugate gradients, ${fisher}`);
        }
      });
    });

    it(`${name}: Woodbury = push-through = dense, as steps`, async () => {
      await holds(networkPlans(), (context) => stepsAgree(name, context));
    });
  }

  it("Woodbury = push-through = dense in wide layers, whose kept scores are laid out sample by sample", async () => {
    const wide = { features: 3, hidden: [66], outputs: 3, bias: true, samples: 5, seed: 1 } as const;
    const plan = fc.constant({ ...wide, activation: "tanh", likelihood: "categorical" } as const);
    for (const name of ["exactNgd", "blockDiagonalNgd", "blockTridiagonalNgd"]) {
      await holds(plan, (context) => stepsAgree(name, context), 1);
    }
  });

  /** Steps of a method by both solvers, fresh and between refreshes. */
  async function stepsAgree(
    name: string,
    { network, batch, layout }: Omit<Context, "trainer">,
  ): Promise<void> {
    const steps: Float64Array[] = [];
    for (const [solver, refreshEvery, which] of [
      ["dense", 1, 1],
      ["gram", 1, 1],
      ["gram", 2, 2],
      ["dense", 2, 2],
    ] as const) {
      // A first step of rate 0 refreshes the curvature; the second, at the same place, is by the Woodbury form.
      const learningRate =
        which === 1 ? 1 : { schedule: "piecewise", initial: 1e-150, milestones: [1], factor: 1e150 };
      const options = { learningRate, solver, refreshEvery, damping: 0.03 };
      const trainer = await trainerOf(runtime, network, createOptimizer(name, options));
      const before = flatten(layout, trainer.getParameters());
      for (let k = 0; k < which; k++) await trainer.step(batch);
      const after = flatten(layout, trainer.getParameters());
      steps.push(before.map((value, p) => value - after[p]));
      trainer.dispose();
    }
    for (const step of steps.slice(1)) assertNear(step, steps[0], 1e-8, "step");
  }

  it("block-diagonal with the empirical Fisher = TENGraD", async () => {
    await holds(networkPlans(), async ({ network, batch }) => {
      const options = { damping: 0.03, fisher: "empirical" };
      const [block, tengrad] = [
        await directionOf(network, batch, "blockDiagonalNgd", { ...options, solver: "dense" }),
        await directionOf(network, batch, "tengrad", { damping: 0.03, solver: "gram" }),
      ];
      assertNear(tengrad, block, 1e-9, "direction");
    });
  });

  it("exact = block-diagonal for one layer, and not for two", async () => {
    await holds(networkPlans(), async ({ network, batch, layout }) => {
      const [exact, block] = [
        await directionOf(network, batch, "exactNgd", { damping: 0.03 }),
        await directionOf(network, batch, "blockDiagonalNgd", { damping: 0.03 }),
      ];
      if (layout.layers.length === 1) assertNear(block, exact, 1e-10, "one layer");
      else assert.ok(block.some((value, p) => Math.abs(value - exact[p]) > 1e-12));
    });
  });

  it("damping that goes to 0 gives the pseudo-inverse: outputs follow their targets to first order", async () => {
    // More parameters than outputs of the batch: J δθ = f − y [Karakida20 eq. 9].
    const network: Network = {
      ...{ model: sequential([dense(12), tanh(), dense(2)]), likelihood: gaussian(), inputShape: [3] },
      ...{ outputs: 2, samples: 4, seed: 3 },
    };
    const batch = randomBatch(network, 4, 3);
    const learningRate = 1e-4;
    const options = { learningRate, damping: 1e-13, solver: "gram" };
    const trainer = await trainerOf(runtime, network, createOptimizer("exactNgd", options));
    const before = await trainer.predict(batch.inputs);
    assert.equal((await trainer.step(batch)).status, "ok");
    const after = await trainer.predict(batch.inputs);
    const change = Float64Array.from(before.data, (value, k) => (value - after.data[k]) / learningRate);
    const residual = Float64Array.from(before.data, (value, k) => value - batch.targets.data[k]);
    assertNear(change, residual, 1e-3, "change of the outputs");
    trainer.dispose();
  });
});

describe("the Fisher matrix", () => {
  const enumerable = networkPlans(["categorical", "bernoulli"]).map((plan) => ({ ...plan, samples: 1 }));

  it("E[score] = 0 and F = E[score scoreᵀ] over the model's own targets", async () => {
    await holds(enumerable, async ({ network, batch, trainer, layout }) => {
      const f = (await trainer.predict(batch.inputs)).data;
      const mean = new Float64Array(layout.size);
      const second = new Float64Array(layout.size ** 2);
      let total = 0;
      for (const { targets, probability } of outcomes(network.likelihood.name as LikelihoodName, f)) {
        const drawn = { inputs: batch.inputs, targets };
        const score = flatten(layout, await trainer.gradient(drawn));
        const { data } = await trainer.fisher(drawn, "empirical");
        score.forEach((value, p) => {
          mean[p] += probability * value;
        });
        data.forEach((value, k) => {
          second[k] += probability * value;
        });
        total += probability;
      }
      assert.ok(Math.abs(total - 1) < 1e-12);
      for (const value of mean) assert.ok(Math.abs(value) < 1e-12, `E[score] has ${value}`);
      assertNear(second, (await trainer.fisher(batch, "exact")).data, 1e-10, "F");
    });
  });

  it("F = −E[Hessian of log p]", async () => {
    const plans = networkPlans(["categorical", "bernoulli"]).map((plan) => ({ ...plan, samples: 2 }));
    await holds(
      plans,
      async ({ network, batch, trainer, layout }) => {
        const expected = await trainer.fisher(batch, "exact");
        const hessian = await expectedHessian(network, batch, trainer.getParameters(), layout);
        assertNear(hessian, expected.data, 1e-9, "Hessian");
      },
      8,
    );
  });

  it("is symmetric and positive semidefinite, and its exact form does not depend on the targets", async () => {
    await holds(networkPlans(), async ({ network, batch, trainer, layout }) => {
      const random = new Random(network.seed);
      const exact = await trainer.fisher(batch, "exact");
      for (const fisher of ["exact", "empirical"] as const) {
        const matrix = project(await trainer.fisher(batch, fisher), layout, "full");
        matrix.forEach((row, i) => {
          for (const [j, value] of row.entries()) assert.ok(Math.abs(value - matrix[j][i]) < 1e-12);
        });
        const v = Float64Array.from({ length: layout.size }, () => random.normal());
        assert.ok(dot(v, product(matrix, v)) >= -1e-12);
      }
      const other = { inputs: batch.inputs, targets: randomBatch(network, network.samples, 99).targets };
      assertNear((await trainer.fisher(other, "exact")).data, exact.data, 1e-13, "other targets");
    });
  });

  it("Monte-Carlo tends to exact with the number of draws", async () => {
    for (const likelihood of ["gaussian", "categorical", "bernoulli"] as const) {
      const network = networkOf({
        ...{ features: 2, hidden: [], outputs: 2, bias: true, activation: "tanh", samples: 3 },
        ...{ likelihood, seed: 5 },
      });
      const trainer = await trainerOf(runtime, network, sgd({ learningRate: 1 }));
      const { inputs, targets } = randomBatch(network, 3, 5);
      const exact = await trainer.fisher({ inputs, targets }, "exact");
      const f = await trainer.predict(inputs);
      // Draws by the likelihood's own sampler, on many copies of the batch at once.
      const draws = 3000;
      const random = new Random(6);
      const { kind, shape } = network.likelihood.noise(3 * draws, 2);
      const noise = Array.from({ length: sizeOf(shape) }, () =>
        kind === "normal" ? random.normal() : random.uniform(),
      );
      const repeat = (data: ArrayLike<number>) =>
        Float64Array.from({ length: data.length * draws }, (_, k) => data[k % data.length]);
      const many = graph.constant(repeat(f.data), [3 * draws, 2], "float64");
      const program = await compile(runtime, {
        drawn: network.likelihood.sample(many, graph.constant(noise, shape, "float64")),
      });
      const [output] = program.outputs;
      const drawn = allocate(output.dtype, sizeOf(output.shape));
      await program.bind({}, { drawn }).run();
      program.dispose();
      const batch = {
        inputs: tensor(repeat(inputs.data), [3 * draws, 2]),
        targets: { shape: output.shape, data: drawn },
      };
      // The empirical Fisher at targets from the model is the Monte-Carlo Fisher.
      const sampled = await trainer.fisher(batch, "empirical");
      assertNear(sampled.data, exact.data, 0.1, likelihood);
      trainer.dispose();
    }
  });

  it("KL(p_θ‖p_{θ+t}) = ½ tᵀFt + O(t³)", async () => {
    await holds(networkPlans(), async ({ network, batch, trainer, layout }) => {
      const matrix = project(await trainer.fisher(batch, "exact"), layout, "full");
      const parameters = flatten(layout, trainer.getParameters());
      const f = (await trainer.predict(batch.inputs)).data;
      const random = new Random(network.seed);
      const along = Float64Array.from(parameters, () => random.normal());
      for (const [size, tolerance] of [
        [1e-3, 0.05],
        [1e-4, 0.005],
      ]) {
        const t = along.map((value) => size * value);
        trainer.setParameters(
          unflatten(
            layout,
            parameters.map((value, p) => value + t[p]),
          ),
        );
        const moved = (await trainer.predict(batch.inputs)).data;
        const actual =
          divergence(network.likelihood.name as LikelihoodName, f, moved, network.outputs) / network.samples;
        assertNear([actual], [0.5 * dot(t, product(matrix, t))], tolerance, `‖t‖ ~ ${size}`);
      }
    });
  });

  it("refuses to be built beyond the memory limit, with the number", async () => {
    const network = networkOf({
      ...{ features: 3, hidden: [4], outputs: 2, bias: true, activation: "tanh", samples: 6 },
      ...{ likelihood: "gaussian", seed: 1 },
    });
    const exact = createOptimizer("exactNgd", { solver: "dense" });
    const limited = await trainerOf(runtime, network, exact, { dtype: "float32", memoryLimit: 5000 });
    const batch = randomBatch(network, 6, 1);
    const matrix = "the Fisher matrix of 26 parameters needs 7.7 KiB, the limit is 4.9 KiB";
    await assert.rejects(limited.fisher(batch, "exact"), { name: "UsageError", message: matrix });
    const block =
      "the exact block of 26 parameters needs 11.8 KiB, the limit is 4.9 KiB (use solver: gram or cg); no batch is small enough";
    await assert.rejects(limited.step(batch), { name: "UsageError", message: block });
    limited.dispose();
  });
});

describe("natural gradient", () => {
  it("is invariant to affine changes of the inputs; the gradient is not", async () => {
    // Reparameterization θ = Aθ' of layer 0 [Johnson17 §B]: on inputs x' = Ax + c, W' = WA⁻¹ and b' = b − WA⁻¹c.
    const model = sequential([dense(2), tanh(), dense(2)]);
    const network: Network = {
      ...{ model, likelihood: gaussian(), inputShape: [2], outputs: 2, samples: 30, seed: 2 },
    };
    const batch = randomBatch(network, 30, 2);
    const [a, b, c, d] = [2, 0.5, -1, 0.3];
    const shift = [0.7, -0.4];
    const determinant = a * d - b * c;
    const inverse = [d, -b, -c, a].map((value) => value / determinant);
    const changed: Batch = {
      targets: batch.targets,
      inputs: tensor(
        batch.inputs.data.map((_, k) => {
          const [x, y] = batch.inputs.data.subarray(k - (k % 2));
          return k % 2 === 0 ? a * x + b * y + shift[0] : c * x + d * y + shift[1];
        }),
        [30, 2],
      ),
    };
    const reparameterize = (parameters: NamedTensors) => {
      const weight = parameters.get("0.weight")!.data;
      const bias = parameters.get("0.bias")!.data;
      const moved = Float64Array.from(weight, (_, k) => {
        const [u, v] = weight.subarray(k - (k % 2));
        return k % 2 === 0 ? u * inverse[0] + v * inverse[2] : u * inverse[1] + v * inverse[3];
      });
      const biases = Float64Array.from(
        bias,
        (value, o) => value - dot(moved.subarray(2 * o, 2 * o + 2), shift),
      );
      return new Map([...parameters, ["0.weight", tensor(moved, [2, 2])], ["0.bias", tensor(biases)]]);
    };
    for (const [name, options, invariant] of [
      ["exactNgd", { damping: 0, solver: "dense" }, true],
      ["blockDiagonalNgd", { damping: 0, solver: "dense" }, true],
      ["kfac", { damping: 0, fisher: "exact" }, true],
      ["sgd", { momentum: 0 }, false],
    ] as const) {
      const optimizer = createOptimizer(name, { learningRate: 0.1, ...options });
      const [own, other] = [
        await trainerOf(runtime, network, optimizer),
        await trainerOf(runtime, network, optimizer),
      ];
      other.setParameters(reparameterize(own.getParameters()));
      for (let k = 0; k < 3; k++) {
        assert.equal((await own.step(batch)).status, "ok");
        assert.equal((await other.step(changed)).status, "ok");
      }
      const layout = layoutOf(own.getParameters());
      const expected = flatten(layout, reparameterize(own.getParameters()));
      const actual = flatten(layout, other.getParameters());
      if (invariant) assertNear(actual, expected, 1e-6, name);
      else assert.throws(() => assertNear(actual, expected, 1e-3, name));
      own.dispose();
      other.dispose();
    }
  });

  it("solves linear least squares in one step of rate 1 without damping", async () => {
    const network: Network = {
      ...{ model: sequential([dense(2)]), likelihood: gaussian(), inputShape: [3] },
      ...{ outputs: 2, samples: 20, seed: 8 },
    };
    const batch = randomBatch(network, 20, 8);
    for (const name of ["exactNgd", "blockDiagonalNgd"]) {
      const optimizer = createOptimizer(name, { learningRate: 1, damping: 0, solver: "dense" });
      const trainer = await trainerOf(runtime, network, optimizer);
      assert.equal((await trainer.step(batch)).status, "ok");
      const solution = trainer.getParameters();
      for (let output = 0; output < 2; output++) {
        const rows = Array.from({ length: 20 }, (_, n) =>
          Float64Array.from([...batch.inputs.data.subarray(3 * n, 3 * n + 3), 1]),
        );
        const normal = [0, 1, 2, 3].map((i) =>
          Float64Array.from([0, 1, 2, 3], (j) => rows.reduce((sum, row) => sum + row[i] * row[j], 0)),
        );
        const right = Float64Array.from([0, 1, 2, 3], (i) =>
          rows.reduce((sum, row, n) => sum + row[i] * batch.targets.data[2 * n + output], 0),
        );
        const own = [
          ...solution.get("0.weight")!.data.subarray(3 * output, 3 * output + 3),
          solution.get("0.bias")!.data[output],
        ];
        assertNear(own, solve(normal, right), 1e-12, `${name}, output ${output}`);
      }
      trainer.dispose();
    }
  });
});

/** All targets of one sample with their probabilities under the model. */
function outcomes(name: LikelihoodName, f: ArrayLike<number>) {
  const logits = Array.from(f);
  if (name === "categorical") {
    const p = softmax(logits);
    return p.map((probability, y) => ({ targets: tensor(Int32Array.of(y)), probability }));
  }
  return Array.from({ length: 2 ** logits.length }, (_, bits) => {
    const y = logits.map((_, c) => (bits >> c) & 1);
    const probability = y.reduce((all, value, c) => all * sigmoid(value ? logits[c] : -logits[c]), 1);
    return { targets: tensor(y, [1, logits.length]), probability };
  });
}

const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));

function softmax(logits: readonly number[]): number[] {
  const powers = logits.map((value) => Math.exp(value - Math.max(...logits)));
  const total = powers.reduce((a, b) => a + b, 0);
  return powers.map((power) => power / total);
}

/** Σ_n KL(p(·|f_n) ‖ p(·|g_n)). */
function divergence(
  name: LikelihoodName,
  f: ArrayLike<number>,
  g: ArrayLike<number>,
  outputs: number,
): number {
  let total = 0;
  for (let row = 0; row < f.length / outputs; row++) {
    const cut = (values: ArrayLike<number>) => Array.from(values).slice(row * outputs, (row + 1) * outputs);
    const [own, other] = [cut(f), cut(g)];
    const terms = {
      gaussian: () => own.map((value, c) => 0.5 * (value - other[c]) ** 2),
      categorical() {
        const [p, q] = [softmax(own), softmax(other)];
        return p.map((value, c) => value * Math.log(value / q[c]));
      },
      bernoulli: () =>
        own.map((value, c) => {
          const [p, q] = [sigmoid(value), sigmoid(other[c])];
          return p * Math.log(p / q) + (1 - p) * Math.log((1 - p) / (1 - q));
        }),
      poisson: () => own.map((value, c) => Math.exp(value) * (value - other[c] - 1) + Math.exp(other[c])),
    };
    total += terms[name]().reduce((a, b) => a + b, 0);
  }
  return total;
}

/** Hessian of the loss averaged over the model's own targets, column by column through the graph. */
async function expectedHessian(
  { model, likelihood, inputShape }: Network,
  { inputs }: Batch,
  values: NamedTensors,
  layout: Layout,
): Promise<Float64Array> {
  const parameters = new Map(
    [...values].map(([name, { shape }]) => [name, graph.input(name, shape, "float64")] as const),
  );
  const x = graph.constant(inputs.data, inputs.shape, "float64");
  const { outputs: f } = model.build(inputShape).forward(x, parameters);
  const losses =
    likelihood.name === "categorical"
      ? graph.negate(
          graph.sum(graph.multiply(graph.stopGradient(graph.softmax(f)), graph.logSoftmax(f)), [1]),
        )
      : likelihood.loss(f, graph.stopGradient(graph.sigmoid(f)));
  const nodes = [...parameters.values()];
  const first = graph.gradient(graph.mean(losses), nodes);
  const along = [...values].map(([name, { shape }]) => graph.input(`along ${name}`, shape, "float64"));
  const slope = first.map((g, k) => graph.sum(graph.multiply(g, along[k]))).reduce(graph.add);
  const second = graph.gradient(slope, nodes);
  const names = [...values.keys()];
  const program = await compile(
    runtime,
    Object.fromEntries(names.map((name, k) => [`column ${name}`, second[k]])),
  );
  const vectors = names.map((name) => values.get(name)!.data.slice().fill(0));
  const columns = names.map((name) => values.get(name)!.data.slice());
  const feeds = Object.fromEntries([
    ...names.map((name) => [name, values.get(name)!.data]),
    ...names.map((name, k) => [`along ${name}`, vectors[k]]),
  ]);
  const binding = program.bind(
    feeds,
    Object.fromEntries(names.map((name, k) => [`column ${name}`, columns[k]])),
  );
  const hessian = new Float64Array(layout.size ** 2);
  for (let p = 0; p < layout.size; p++) {
    const unit = unflatten(layout, new Float64Array(layout.size).fill(1, p, p + 1));
    for (const [k, name] of names.entries()) vectors[k].set(unit.get(name)!.data);
    await binding.run();
    const column = new Map(
      names.map((name, k) => [name, { shape: values.get(name)!.shape, data: columns[k] }]),
    );
    hessian.set(flatten(layout, column), p * layout.size);
  }
  program.dispose();
  return hessian;
}
