/** What a trainer is made of. */
import { everyKeyOf } from "../errors.ts";
import type { Likelihood, Model } from "../nn/index.ts";
import type { Optimizer } from "../optimizers/optimizer.ts";
import type { Device } from "../runtime/session.ts";
import type { FloatDType } from "../tensor.ts";
import type { Identity } from "./checkpoint.ts";

export interface TrainerConfig {
  readonly model: Model;
  /** Shape of one sample, without the batch axis. */
  readonly inputShape: readonly number[];
  readonly likelihood: Likelihood;
  readonly optimizer: Optimizer;
  /** Rows of a batch in `fit`; `step` takes batches of any size. Default 128. */
  readonly batchSize?: number;
  /** Default `"float32"`. */
  readonly dtype?: FloatDType;
  /** Default `"cpu"`. */
  readonly device?: Device;
  /** Seed of the initial weights, of the batches' order and of Monte-Carlo targets; default 0. */
  readonly seed?: number;
  /** Bytes that a step may take, curvature and all; default two thirds of the machine's free memory, 4 GiB in browsers. */
  readonly memoryLimit?: number;
}

export const trainerOptions = everyKeyOf<TrainerConfig>()([
  ...(["model", "inputShape", "likelihood", "optimizer", "batchSize"] as const),
  ...(["dtype", "device", "seed", "memoryLimit"] as const),
]);

/** With every default filled in that a trainer itself reads. */
export type ResolvedConfig = TrainerConfig &
  Required<Pick<TrainerConfig, "batchSize" | "dtype" | "device" | "seed">>;

/** What a checkpoint of this configuration belongs to. */
export function identityOf(config: TrainerConfig): Identity {
  const { model, inputShape, likelihood, dtype = "float32", optimizer, seed = 0 } = config;
  return {
    model: model.describe(),
    inputShape,
    likelihood: likelihood.name,
    dtype,
    optimizer: optimizer.name,
    seed,
  };
}
