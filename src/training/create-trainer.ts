/** Makes trainers: from nothing, and from a checkpoint. */
import { requireOption, requireSpelling, UsageError } from "../errors.ts";
import type { Problem } from "../optimizers/optimizer.ts";
import { Random } from "../random.ts";
import { openRuntime } from "../runtime/runtime.ts";
import type { Runtime } from "../runtime/session.ts";
import { formatShape } from "../tensor.ts";
import type { CheckpointSource } from "./checkpoint.ts";
import { initialBuffers, initialValues } from "./initial-values.ts";
import { availableMemory } from "./step-memory.ts";
import { Trainer } from "./trainer.ts";
import { type TrainerConfig, trainerOptions } from "./trainer-config.ts";

/** How to place a trainer on a runtime that is already open, so that several share it. */
export interface TrainerPlacement {
  readonly runtime?: Runtime;
}

/**
 * Builds the model, draws its initial weights and compiles what the first step needs when it comes.
 *
 * @throws UsageError when an option is misspelt or out of range or the layers do not fit
 */
export async function createTrainer(
  config: TrainerConfig,
  placement: TrainerPlacement = {},
): Promise<Trainer> {
  requireSpelling(config, trainerOptions, "createTrainer");
  requireSpelling(placement, ["runtime"] satisfies (keyof TrainerPlacement)[], "createTrainer's placement");
  const { batchSize = 128, dtype = "float32", device = "cpu", seed = 0 } = config;
  const { memoryLimit = availableMemory() } = config;
  requireOption(Number.isInteger(batchSize) && batchSize > 0, "batchSize", batchSize, "a positive integer");
  requireOption(dtype === "float32" || dtype === "float64", "dtype", dtype, "float32 | float64");
  const shapeValid =
    config.inputShape.length > 0 && config.inputShape.every((d) => Number.isInteger(d) && d > 0);
  requireOption(Number.isSafeInteger(seed), "seed", seed, "an integer");
  requireOption(memoryLimit > 0, "memoryLimit", memoryLimit, "> 0 bytes");
  requireOption(shapeValid, "inputShape", formatShape(config.inputShape), "positive integers");
  const model = config.model.build(config.inputShape);
  if (model.outputShape.length !== 1) {
    throw new UsageError(
      `the model's output is ${formatShape(model.outputShape)} (must be one axis; end it with a dense layer)`,
    );
  }
  requireOption(
    model.parameters.size > 0,
    "model",
    config.model.describe(),
    "one with a layer to train, such as dense",
  );
  const runtime = placement.runtime ?? (await openRuntime({ device }));
  const usage = { peakBytes: 0 };
  const problem: Problem = {
    runtime,
    model,
    likelihood: config.likelihood,
    dtype,
    random: new Random(seed).fork("targets"),
    memoryLimit,
    onMemory(bytes) {
      usage.peakBytes = Math.max(usage.peakBytes, bytes);
    },
  };
  const method = await config.optimizer.start(problem);
  const trainer = new Trainer(
    { ...config, batchSize, dtype, device, seed },
    problem,
    method,
    usage,
    placement.runtime === undefined,
  );
  trainer.setParameters(initialValues(model, seed));
  trainer.setBuffers(initialBuffers(model));
  return trainer;
}

/**
 * Continues from a checkpoint, bitwise as if training had not stopped.
 *
 * @param checkpoint the path of a file, or the bytes of {@link Trainer.toBytes}
 * @param config the configuration that the checkpoint was saved with
 * @throws UsageError when the file is missing or belongs to another configuration
 */
export async function resumeTrainer(
  checkpoint: CheckpointSource,
  config: TrainerConfig,
  placement: TrainerPlacement = {},
): Promise<Trainer> {
  const trainer = await createTrainer(config, placement);
  try {
    await trainer.load(checkpoint);
    return trainer;
  } catch (error) {
    trainer.dispose();
    throw error;
  }
}
