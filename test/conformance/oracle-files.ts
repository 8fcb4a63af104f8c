/** Reference numbers of an independent float64 implementation, and the models they were made with. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import {
  bernoulli,
  categorical,
  conv2d,
  dense,
  elu,
  flatten,
  gaussian,
  gelu,
  globalAvgPool,
  type Layer,
  type Likelihood,
  leakyRelu,
  type Model,
  maxPool,
  relu,
  sequential,
  sigmoid,
  sin,
  softplus,
  tanh,
} from "../../src/nn/index.ts";
import { type NamedTensors, type Tensor, tensor } from "../../src/tensor.ts";

export const oracleFolder = new URL("../../../shared/oracles/", import.meta.url);

/** Why the oracle tests cannot run here, or false. */
export const oracleSkip = existsSync(oracleFolder)
  ? false
  : "the oracle files are not here (../shared/oracles)";

interface StoredTensor {
  readonly shape: number[];
  readonly data: number[];
}
type StoredTensors = Record<string, StoredTensor>;

interface StoredLayer {
  readonly type: string;
  readonly units?: number;
  readonly bias?: boolean;
  readonly filters?: number;
  readonly kernel?: number;
  readonly stride?: number;
  readonly padding?: number;
  readonly groups?: number;
}

interface StoredOracle {
  name: string;
  layers: StoredLayer[];
  inputShape: number[];
  likelihood: "gaussian" | "categorical" | "bernoulli";
  parameters: StoredTensors;
  inputs: StoredTensor;
  targets: StoredTensor;
  sampledTargets: StoredTensor[];
  expected: {
    outputs: StoredTensor;
    loss: number;
    gradient: StoredTensors;
    fisher?: Record<"empirical" | "exact" | "monteCarlo", StoredTensor>;
    directions: { method: string; options: Record<string, unknown>; direction: StoredTensors }[];
  };
  batches?: { inputs: StoredTensor; targets: StoredTensor }[];
  trajectories?: {
    optimizer: string;
    options: Record<string, unknown>;
    losses: number[];
    parameters: StoredTensors;
  }[];
}

export interface Oracle
  extends Omit<StoredOracle, "parameters" | "inputs" | "targets" | "sampledTargets" | "likelihood"> {
  readonly model: Model;
  readonly likelihood: Likelihood;
  readonly parameters: NamedTensors;
  readonly batch: { inputs: Tensor; targets: Tensor };
  readonly sampledTargets: Tensor[];
}

const layerFactories: Record<string, (layer: StoredLayer) => Layer> = {
  dense: ({ units, bias }) => dense(units!, { bias }),
  conv2d: ({ filters, ...options }) => conv2d(filters!, options),
  maxPool: () => maxPool(),
  globalAvgPool,
  relu,
  leakyRelu: () => leakyRelu(),
  tanh,
  sigmoid,
  gelu,
  softplus,
  elu: () => elu(),
  sin: () => sin(),
  flatten,
};
const likelihoods = { gaussian, categorical, bernoulli };

/** All oracles whose file name starts with `prefix`. */
export function loadOracles(prefix: string): Oracle[] {
  if (oracleSkip) return [];
  return readdirSync(oracleFolder)
    .filter((file) => file.startsWith(prefix))
    .sort()
    .map((file) => {
      const stored = JSON.parse(readFileSync(new URL(file, oracleFolder), "utf8")) as StoredOracle;
      const classes = stored.likelihood === "categorical";
      return {
        ...stored,
        model: sequential(stored.layers.map((layer) => layerFactories[layer.type](layer))),
        likelihood: likelihoods[stored.likelihood](),
        parameters: toTensors(stored.parameters),
        batch: { inputs: toTensor(stored.inputs), targets: toTargets(stored.targets, classes) },
        sampledTargets: stored.sampledTargets.map((drawn) => toTargets(drawn, classes)),
      };
    });
}

export function toTensor({ shape, data }: StoredTensor): Tensor {
  return tensor(data, shape);
}

export function toTargets({ shape, data }: StoredTensor, classes: boolean): Tensor {
  return tensor(classes ? Int32Array.from(data) : data, shape);
}

export function toTensors(stored: StoredTensors): NamedTensors {
  return new Map(Object.entries(stored).map(([name, value]) => [name, toTensor(value)]));
}

/** ‖actual − expected‖ / ‖expected‖ over all named tensors together. */
export function relativeError(actual: NamedTensors, expected: StoredTensors): number {
  let difference = 0;
  let norm = 0;
  for (const [name, { data }] of Object.entries(expected)) {
    const own = actual.get(name)!.data;
    data.forEach((value, k) => {
      difference += (own[k] - value) ** 2;
      norm += value ** 2;
    });
  }
  return Math.sqrt(difference / norm);
}
