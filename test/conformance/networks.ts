/** Small random networks and batches, and bookkeeping that every test of a trainer needs. */
import assert from "node:assert/strict";
import fc from "fast-check";
import type { OnnxModel } from "../../src/graph/onnx-model.ts";
import {
  type Batch,
  bernoulli,
  categorical,
  createTrainer,
  dense,
  findMethod,
  gaussian,
  type Likelihood,
  type Model,
  type NamedTensors,
  type Optimizer,
  poisson,
  Random,
  sequential,
  sigmoid,
  softplus,
  type Trainer,
  tanh,
  tensor,
} from "../../src/index.ts";
import type { Runtime, Session } from "../../src/runtime/session.ts";
import { type FloatDType, sizeOf, type Tensor } from "../../src/tensor.ts";

export const likelihoods = { gaussian, categorical, bernoulli, poisson };
export type LikelihoodName = keyof typeof likelihoods;

/** A network small enough for dense reference computations. */
export interface Network {
  readonly model: Model;
  readonly likelihood: Likelihood;
  readonly inputShape: readonly number[];
  readonly outputs: number;
  readonly samples: number;
  readonly seed: number;
}

const activations = { tanh, sigmoid, softplus };

export interface NetworkPlan {
  readonly features: number;
  readonly hidden: readonly number[];
  readonly outputs: number;
  readonly bias: boolean;
  readonly activation: keyof typeof activations;
  readonly likelihood: LikelihoodName;
  readonly samples: number;
  readonly seed: number;
}

export function networkOf(plan: NetworkPlan): Network {
  const { features, hidden, outputs, bias, activation, likelihood, samples, seed } = plan;
  const between = hidden.flatMap((units) => [dense(units, { bias }), activations[activation]()]);
  return {
    model: sequential([...between, dense(outputs, { bias })]),
    likelihood: likelihoods[likelihood](),
    inputShape: [features],
    ...{ outputs, samples, seed },
  };
}

/** 3-4-2, tanh, six samples, cross-entropy. */
export function classifier(): Network {
  return networkOf({
    ...{ features: 3, hidden: [4], outputs: 2, bias: true, activation: "tanh", samples: 6 },
    ...{ likelihood: "categorical", seed: 1 },
  });
}

/** One dense layer under the squared error: the loss is a quadratic function of its 8 parameters, and F its Hessian matrix. */
export function linearRegression(): Network {
  return {
    ...{ model: sequential([dense(2)]), likelihood: gaussian(), inputShape: [3] },
    ...{ outputs: 2, samples: 12, seed: 4 },
  };
}

/** Networks of one to three layers, at most some 50 parameters. */
export function networkPlans(
  likelihood: readonly LikelihoodName[] = ["gaussian", "categorical", "bernoulli", "poisson"],
): fc.Arbitrary<NetworkPlan> {
  return fc.record({
    features: fc.integer({ min: 1, max: 4 }),
    hidden: fc.array(fc.integer({ min: 1, max: 4 }), { maxLength: 2 }),
    outputs: fc.integer({ min: 2, max: 3 }),
    bias: fc.boolean(),
    activation: fc.constantFrom("tanh", "sigmoid", "softplus"),
    likelihood: fc.constantFrom(...likelihood),
    samples: fc.integer({ min: 1, max: 7 }),
    seed: fc.integer({ min: 0, max: 1e6 }),
  });
}

/** Standard normal inputs and targets that the likelihood accepts. */
export function randomBatch(
  { inputShape, outputs, likelihood }: Pick<Network, "inputShape" | "outputs" | "likelihood">,
  samples: number,
  seed: number,
): Batch {
  const random = new Random(seed).fork("batch");
  const inputs = normal(random, [samples, ...inputShape]);
  switch (likelihood.name) {
    case "gaussian":
      return { inputs, targets: normal(random, [samples, outputs]) };
    case "categorical":
      return { inputs, targets: tensor(Int32Array.from({ length: samples }, () => random.integer(outputs))) };
    default: {
      const values = likelihood.name === "poisson" ? 5 : 2;
      const data = Float64Array.from({ length: samples * outputs }, () => random.integer(values));
      return { inputs, targets: tensor(data, [samples, outputs]) };
    }
  }
}

export function normal(random: Random, shape: readonly number[]): Tensor {
  return tensor(
    Float64Array.from({ length: sizeOf(shape) }, () => random.normal()),
    shape,
  );
}

export function trainerOf(
  runtime: Runtime,
  network: Pick<Network, "model" | "likelihood" | "inputShape"> & { readonly seed?: number },
  optimizer: Optimizer,
  settings: { readonly dtype?: FloatDType; readonly batchSize?: number; readonly memoryLimit?: number } = {},
): Promise<Trainer> {
  const { model, likelihood, inputShape, seed } = network;
  return createTrainer(
    { model, likelihood, inputShape, optimizer, seed, dtype: "float64", ...settings },
    { runtime },
  );
}

/** Bitwise equality; NaN equals NaN, 0 is not −0. */
export function assertSameBits(actual: NamedTensors, expected: NamedTensors, message?: string): void {
  assert.deepEqual([...actual.keys()], [...expected.keys()]);
  for (const [name, { data }] of expected) {
    const own = actual.get(name)!.data;
    const differs = data.findIndex((value, k) => !Object.is(own[k], value));
    assert.equal(
      differs,
      -1,
      `${message ?? "bits"}: ${name}[${differs}] is ${own[differs]}, not ${data[differs]}`,
    );
  }
}

export function assertFinite(named: NamedTensors, message: string): void {
  for (const [name, { data }] of named) assert.ok(data.every(Number.isFinite), `${message}: ${name}`);
}

/** One line that a user can act on. */
export function isOneLine(error: Error): boolean {
  assert.ok(error.name === "UsageError" || error.name === "RunError", `${error.stack}`);
  assert.match(error.message, /^[^\n]{10,200}$/);
  return true;
}

/** A view of a runtime that knows how many of its sessions are loaded. */
export function counting(runtime: Runtime): Runtime & { readonly loaded: number } {
  let loaded = 0;
  return {
    get loaded() {
      return loaded;
    },
    kind: runtime.kind,
    device: runtime.device,
    threads: runtime.threads,
    describe: () => runtime.describe(),
    dispose: () => {},
    async load(model: OnnxModel): Promise<Session> {
      const session = await runtime.load(model);
      loaded++;
      let disposed = false;
      return {
        kind: session.kind,
        bind: (feeds, fetches) => session.bind(feeds, fetches),
        dispose() {
          if (!disposed) loaded--;
          disposed = true;
          session.dispose();
        },
      };
    },
  };
}

/** Methods that know no iterative solver. */
const direct = ["unitwiseNgd", "layerwiseNgd", "blockTridiagonalNgd", "levenbergMarquardt"];

/** The solvers that a method takes; one that takes none has its own. */
export function solversOf(name: string): readonly (string | undefined)[] {
  if (direct.includes(name)) return ["gram", "dense"];
  return findMethod(name).options.includes("solver") ? ["gram", "dense", "cg"] : [undefined];
}
