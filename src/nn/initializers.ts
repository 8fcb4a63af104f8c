/** Initial weights of a linear map with `fanIn` inputs and `fanOut` outputs. */
import type { Random } from "../random.ts";

export interface Fans {
  readonly fanIn: number;
  readonly fanOut: number;
}

interface Initializer {
  weight(random: Random, fans: Fans): number;
  bias(random: Random, fans: Fans): number;
}

/** Uniform in [−bound, bound). */
const uniform = (random: Random, bound: number) => bound * (2 * random.uniform() - 1);

const initializers = {
  /** PyTorch's default for linear and convolution layers: weights and biases uniform within ±1/√fanIn. */
  pytorch: {
    weight: (random, { fanIn }) => uniform(random, 1 / Math.sqrt(fanIn)),
    bias: (random, { fanIn }) => uniform(random, 1 / Math.sqrt(fanIn)),
  },
  /** He et al. 2015: normal with variance 2/fanIn, biases 0. */
  he: {
    weight: (random, { fanIn }) => Math.sqrt(2 / fanIn) * random.normal(),
    bias: () => 0,
  },
  /** Glorot & Bengio 2010: uniform within ±√(6/(fanIn + fanOut)), biases 0. */
  glorot: {
    weight: (random, { fanIn, fanOut }) => uniform(random, Math.sqrt(6 / (fanIn + fanOut))),
    bias: () => 0,
  },
  /** Standard normal weights and biases, as the NTK parameterization needs [Jacot et al. 2018]. */
  normal: {
    weight: (random) => random.normal(),
    bias: (random) => random.normal(),
  },
} satisfies Record<string, Initializer>;

export type InitializerName = keyof typeof initializers;

export const initializerNames = Object.keys(initializers) as InitializerName[];

/** `count` values for the weights or the biases of a layer. */
export function initialize(
  name: InitializerName,
  part: "weight" | "bias",
  count: number,
  fans: Fans,
  random: Random,
): Float64Array {
  const initializer: Initializer = initializers[name];
  return Float64Array.from({ length: count }, () => initializer[part](random, fans));
}
