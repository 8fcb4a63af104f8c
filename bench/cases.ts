/** What is timed: five networks and five methods, the same for every contender that has them. */

/** Convolutions of 3 × 3, padded to keep the image's size, each followed by the activation; then a maximum over windows. */
export interface Convolutions {
  /** Channels, height, width. */
  readonly image: readonly [number, number, number];
  /** Of each convolution. */
  readonly filters: readonly number[];
  /** Rows and columns of the maximum's windows, which tile the image. */
  readonly pool: number;
}

export interface Network {
  /** What comes before the dense layers, if anything. */
  readonly convolutions?: Convolutions;
  /** Units of each dense layer, the first one's inputs first. */
  readonly widths: readonly number[];
  /** Between the layers; the last one is linear. */
  readonly activation: "tanh" | "relu";
  /** The last layer's outputs are regression means, under half the squared error, or logits of classes, under cross-entropy. */
  readonly task: "regression" | "classification";
}

export const networks: Readonly<Record<string, Network>> = {
  weather: { widths: [8, 4, 1], activation: "tanh", task: "regression" },
  mlp32: { widths: [8, 32, 16, 1], activation: "tanh", task: "regression" },
  mnist: { widths: [784, 512, 10], activation: "tanh", task: "classification" },
  auto: { widths: [784, 1000, 1000, 10], activation: "relu", task: "classification" },
  "3c1f": {
    convolutions: { image: [1, 28, 28], filters: [128, 128, 128], pool: 3 },
    ...{ widths: [128 * 9 * 9, 500, 10], activation: "relu", task: "classification" },
  },
};

export interface BenchmarkMethod {
  readonly optimizer: "sgd" | "adam" | "tengrad" | "kfac";
  /** Steps between two refreshes of the curvature; timed in whole periods, so that each pays its share, or weighed as such. */
  readonly refreshEvery: number;
}

/** Where steps take seconds, a refresh comes after so many, and the times of both kinds are weighed as in a whole period. */
export const SHORT_PERIOD = 5;

export const methods: Readonly<Record<string, BenchmarkMethod>> = {
  sgd: { optimizer: "sgd", refreshEvery: 1 },
  adam: { optimizer: "adam", refreshEvery: 1 },
  tengrad: { optimizer: "tengrad", refreshEvery: 1 },
  tengrad100: { optimizer: "tengrad", refreshEvery: 100 },
  kfac100: { optimizer: "kfac", refreshEvery: 100 },
};

/** Steps between refreshes where structures are compared. */
export const REFRESH_EVERY = 100;

export const SAMPLES = 128;
export const LEARNING_RATE = 1e-3;
/** Of all but adam. */
export const MOMENTUM = 0.9;
/** λ of tengrad and kfac. */
export const DAMPING = 0.1;
