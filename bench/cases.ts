/** What is timed: four networks and five methods, the same for every contender that has them. */

export interface Network {
  /** Units of each layer, the inputs first. */
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
};

export interface BenchmarkMethod {
  readonly optimizer: "sgd" | "adam" | "tengrad" | "kfac";
  /** Steps between two refreshes of the curvature; always timed in whole periods, so that each pays its share. */
  readonly refreshEvery: number;
}

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
