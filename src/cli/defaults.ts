/** Defaults that suit the data, so that `natgrad train <anything>` gives a good result. */
import { batchCount } from "../data/index.ts";

export const defaultOptimizer = "tengrad";
export const defaultDataset = "friedman1";
/** Enough for the best methods of the demo to reach the noise, and few enough to see who was there first. */
export const demoEpochs = 20;
export const defaultHidden: readonly number[] = [32, 16];
export const defaultActivation = "tanh";

/** At most 128 rows, and at least four batches an epoch. */
export function defaultBatchSize(rows: number): number {
  return Math.max(1, Math.min(128, Math.floor(rows / 4)));
}

/** About 3,000 steps, in 10 to 60 epochs. */
export function defaultEpochs(rows: number, batchSize: number): number {
  const perEpoch = Math.max(1, batchCount(rows, { batchSize }));
  return Math.min(60, Math.max(10, Math.round(3000 / perEpoch)));
}
