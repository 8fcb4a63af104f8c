/** Small networks, half trained, and dense matrices to check against. */
import { type Dataset, loadDataset } from "../../src/data/index.ts";
import { openNetwork } from "../../src/inspect/network.ts";
import * as nn from "../../src/nn/index.ts";
import { createOptimizer } from "../../src/optimizers/index.ts";
import { createTrainer } from "../../src/training/create-trainer.ts";
import type { TrainerConfig } from "../../src/training/trainer-config.ts";

export interface Specimen {
  readonly config: TrainerConfig;
  readonly data: Dataset;
  readonly checkpoint: Uint8Array;
}

/** A network after a few steps. */
export async function train(
  dataset: "friedman1" | "spirals",
  optimizer = "sgd",
  options: Record<string, unknown> = {},
): Promise<Specimen> {
  const { training: data } = await loadDataset(dataset, { rows: 60, seed: 3, dtype: "float64" });
  const classes = data.task.kind === "classification" ? data.task.classNames.length : 1;
  const config: TrainerConfig = {
    model: nn.sequential([nn.dense(3), nn.tanh(), nn.dense(classes)]),
    inputShape: data.inputs.shape.slice(1),
    likelihood: dataset === "spirals" ? nn.categorical() : nn.gaussian(),
    optimizer: createOptimizer(optimizer, options),
    ...{ batchSize: 16, dtype: "float64", seed: 1 },
  };
  const trainer = await createTrainer(config);
  try {
    for await (const _ of trainer.fit(data, { epochs: 2 }));
    return { config, data, checkpoint: trainer.toBytes() };
  } finally {
    trainer.dispose();
  }
}

export async function withNetwork<T>(
  { checkpoint, config }: Specimen,
  work: (network: Awaited<ReturnType<typeof openNetwork>>) => Promise<T>,
): Promise<T> {
  const network = await openNetwork(checkpoint, config);
  try {
    return await work(network);
  } finally {
    network.dispose();
  }
}

/** A⁻¹ by Gauss and Jordan with pivots. */
export function invert(a: Float64Array, n: number): Float64Array {
  const left = a.slice();
  const right = new Float64Array(n * n);
  for (let k = 0; k < n; k++) right[k * n + k] = 1;
  for (let k = 0; k < n; k++) {
    let pivot = k;
    for (let row = k; row < n; row++)
      if (Math.abs(left[row * n + k]) > Math.abs(left[pivot * n + k])) pivot = row;
    for (const matrix of [left, right]) {
      for (let j = 0; j < n; j++) {
        [matrix[k * n + j], matrix[pivot * n + j]] = [matrix[pivot * n + j], matrix[k * n + j]];
      }
    }
    const scale = left[k * n + k];
    for (const matrix of [left, right]) for (let j = 0; j < n; j++) matrix[k * n + j] /= scale;
    for (let row = 0; row < n; row++) {
      const factor = left[row * n + k];
      if (row === k || factor === 0) continue;
      for (const matrix of [left, right]) {
        for (let j = 0; j < n; j++) matrix[row * n + j] -= factor * matrix[k * n + j];
      }
    }
  }
  return right;
}

/** The rows and columns from `start` on, `count` of them. */
export function block(a: ArrayLike<number>, n: number, start: number, count: number): Float64Array {
  return Float64Array.from({ length: count * count }, (_, k) => {
    return a[(start + Math.floor(k / count)) * n + start + (k % count)];
  });
}

/** A + λI. */
export function damp(a: Float64Array, n: number, damping: number): Float64Array {
  return a.map((value, k) => (k % (n + 1) === 0 ? value + damping : value));
}

/** A x. */
export function times(a: Float64Array, x: Float64Array): Float64Array {
  return x.map((_, row) => x.reduce((sum, value, k) => sum + a[row * x.length + k] * value, 0));
}

export function dot(x: Float64Array, y: Float64Array): number {
  return x.reduce((sum, value, k) => sum + value * y[k], 0);
}
