/** Operations of whole steps, counted in the programs that run: the network of `growth-methods.ts` with two hidden layers. */
import { RunError } from "../errors.ts";
import { Random } from "../random.ts";
import type { countOperations } from "../runtime/counting.ts";
import { tensor } from "../tensor.ts";
import { createTrainer } from "../training/create-trainer.ts";
import { CLASSES, growthLikelihood, growthModel, growthOptimizer, INPUTS } from "./growth-methods.ts";

export interface CountedSteps {
  /** One of `growthMethods`. */
  readonly method: string;
  readonly width: number;
  readonly batchSize: number;
  readonly seed: number;
}

/** Hidden layers. */
export const DEPTH = 2;

/** Of the second step with a refresh: the first one's preparations are none of later ones. */
export async function countSteps(
  { runtime, count }: ReturnType<typeof countOperations>,
  { method, width, batchSize, seed }: CountedSteps,
): Promise<number> {
  const config = { model: growthModel(width, DEPTH), inputShape: [INPUTS], likelihood: growthLikelihood };
  const trainer = await createTrainer(
    { ...config, optimizer: growthOptimizer(method), batchSize, seed },
    { runtime },
  );
  try {
    const random = new Random(seed).fork("counted-steps");
    const inputs = Float32Array.from({ length: batchSize * INPUTS }, () => random.normal());
    const targets = Int32Array.from({ length: batchSize }, () => random.integer(CLASSES));
    const batch = { inputs: tensor(inputs, [batchSize, INPUTS]), targets: tensor(targets, [batchSize]) };
    let before = count.flops;
    for (let step = 0; step < 2; step++) {
      before = count.flops;
      const { accepted, status } = await trainer.step(batch);
      if (!accepted) throw new RunError(`a step of ${method} was ${status}`);
    }
    return count.flops - before;
  } finally {
    trainer.dispose();
  }
}
