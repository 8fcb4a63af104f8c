/**
 * One network and one method in a process of its own, so that the peak of its memory is its own: reads the request from its
 * arguments, sends a {@link PointOutcome} to the process that forked it, and ends.
 */
import { RunError } from "../errors.ts";
import { lapackInfo } from "../linalg/index.ts";
import { Random } from "../random.ts";
import { countOperations } from "../runtime/counting.ts";
import { openRuntime } from "../runtime/runtime.ts";
import type { Runtime } from "../runtime/session.ts";
import { tensor } from "../tensor.ts";
import { createTrainer } from "../training/create-trainer.ts";
import type { Trainer } from "../training/trainer.ts";
import { CLASSES, growthLikelihood, growthModel, growthOptimizer, INPUTS } from "./growth-methods.ts";

export interface PointRequest {
  readonly method: string;
  readonly width: number;
  /** Hidden layers. */
  readonly depth: number;
  readonly batchSize: number;
  readonly seed: number;
  /** How long steps are timed, at least three of them. */
  readonly seconds: number;
  /** Bytes that the curvature may take by its estimate. */
  readonly memoryLimit: number;
}

export interface PointMeasurement {
  readonly parameters: number;
  /** Median over the steps timed. */
  readonly secondsPerStep: number;
  readonly steps: number;
  /** What the resident memory's peak rose by from before the trainer was there. */
  readonly peakBytes: number;
  /** Sum over the rows of the curvature report. */
  readonly estimatedBytes: number;
  /** Floating-point operations of a step's programs, host work not counted. */
  readonly flops: number;
  /** Compilation, the first step and the fewest steps to be timed: what the point takes at least. */
  readonly leastSeconds: number;
}

export type PointOutcome =
  | { readonly kind: "measured"; readonly point: PointMeasurement }
  | { readonly kind: "too large"; readonly estimatedBytes: number }
  /** It was stopped at the limit. */
  | { readonly kind: "too slow" }
  | { readonly kind: "failed"; readonly reason: string };

const FEWEST_STEPS = 3;
/** Enough for code to be compiled and for the heap to have its usual size. */
const REHEARSAL_STEPS = 30;

async function measure(request: PointRequest): Promise<PointOutcome> {
  const { runtime, count } = countOperations(await openRuntime());
  await rehearse(request, runtime);
  const before = peakMemory();
  const trainer = await create(request, runtime);
  const estimatedBytes = trainer.curvature().reduce((total, { memoryBytes }) => total + memoryBytes, 0);
  if (estimatedBytes > request.memoryLimit) return { kind: "too large", estimatedBytes };

  const started = performance.now();
  await trainer.prepare();
  const take = stepper(trainer, request);
  await take();
  const setUp = (performance.now() - started) / 1000;
  const times: number[] = [];
  const counted = count.flops;
  while (times.length < FEWEST_STEPS || (performance.now() - started) / 1000 - setUp < request.seconds) {
    const start = performance.now();
    await take();
    times.push((performance.now() - start) / 1000);
  }
  const secondsPerStep = median(times);
  const point = {
    ...{ parameters: trainer.parameterCount, secondsPerStep, steps: times.length },
    ...{ peakBytes: peakMemory() - before, estimatedBytes },
    flops: (count.flops - counted) / times.length,
    leastSeconds: setUp + FEWEST_STEPS * secondsPerStep,
  };
  return { kind: "measured", point };
}

/** Loads all code and libraries by a few steps of the smallest network: they are not what grows. */
async function rehearse(request: PointRequest, runtime: Runtime): Promise<void> {
  lapackInfo();
  const smallest = { ...request, width: 1, depth: 1 };
  const trainer = await create(smallest, runtime);
  const take = stepper(trainer, smallest);
  for (let step = 0; step < REHEARSAL_STEPS; step++) await take();
  trainer.dispose();
}

/** Memory is judged here, so the library's own limit is lifted. */
function create({ method, width, depth, batchSize, seed }: PointRequest, runtime: Runtime): Promise<Trainer> {
  const config = {
    ...{ model: growthModel(width, depth), inputShape: [INPUTS], likelihood: growthLikelihood },
    ...{ optimizer: growthOptimizer(method), batchSize, seed, memoryLimit: Number.POSITIVE_INFINITY },
  };
  return createTrainer(config, { runtime });
}

/** A function that takes a step, always on the same drawn batch. */
function stepper(trainer: Trainer, { batchSize, seed }: PointRequest): () => Promise<void> {
  const random = new Random(seed).fork("growth");
  const inputs = Float32Array.from({ length: batchSize * INPUTS }, () => random.normal());
  const targets = Int32Array.from({ length: batchSize }, () => random.integer(CLASSES));
  const batch = { inputs: tensor(inputs, [batchSize, INPUTS]), targets: tensor(targets, [batchSize]) };
  return async () => {
    const { accepted, status } = await trainer.step(batch);
    if (!accepted) throw new RunError(`a step was ${status}`);
  };
}

/** The most this process had resident so far, in bytes. */
function peakMemory(): number {
  return 1024 * process.resourceUsage().maxRSS;
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const half = sorted.length >> 1;
  return sorted.length % 2 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
}

const outcome = await measure(JSON.parse(process.argv[2])).catch(
  (error: Error): PointOutcome => ({ kind: "failed", reason: error.message }),
);
process.send!(outcome, () => process.exit());
