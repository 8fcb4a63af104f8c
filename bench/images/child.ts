/**
 * Takes the steps of one combination and prints what came of it as a line of JSON.
 *
 * Usage: node --import tsx bench/images/child.ts REQUEST
 */
import { UsageError } from "../../src/errors.ts";
import {
  batches,
  categorical,
  createOptimizer,
  createTrainer,
  findMethod,
  loadDataset,
  Random,
} from "../../src/index.ts";
import { type ImageRequest, type ImageResult, networks } from "./request.ts";

/** Seconds after which a step is worth a line while others run. */
const SLOW = 10;

const result = await measure(JSON.parse(process.argv[2]) as ImageRequest).catch(
  (error: Error): ImageResult => {
    if (error instanceof UsageError) return { status: error.message };
    throw error;
  },
);
console.log(JSON.stringify(result));

async function measure(request: ImageRequest): Promise<ImageResult> {
  const { network, method, batchSize, steps, refreshEvery, memoryLimit } = request;
  const refreshes = refreshEvery !== undefined && findMethod(method).options.includes("refreshEvery");
  const optimizer = createOptimizer(method, refreshes ? { refreshEvery } : {});
  const { training } = await loadDataset("cifar10", { rows: batchSize * steps });
  const trainer = await createTrainer({
    ...{ model: networks[network](), inputShape: training.inputs.shape.slice(1), likelihood: categorical() },
    ...{ optimizer, batchSize, memoryLimit },
  });
  await trainer.prepare();
  const seconds: number[] = [];
  let status = "ok";
  for (const batch of batches(training, { batchSize, random: new Random(0) })) {
    const start = performance.now();
    const outcome = await trainer.step(batch);
    const taken = (performance.now() - start) / 1000;
    seconds.push(taken);
    if (taken > SLOW)
      console.error(`${network} ${method}: step ${seconds.length} of ${steps}, ${taken.toFixed(1)} s`);
    if (!outcome.accepted) status = outcome.status;
  }
  const [firstSeconds, ...later] = seconds;
  const estimatedBytes = trainer.peakBytes;
  trainer.dispose();
  return {
    secondsPerStep: later.reduce((total, value) => total + value, 0) / later.length,
    ...{ firstSeconds, peakBytes: 1024 * process.resourceUsage().maxRSS, estimatedBytes, status },
  };
}
