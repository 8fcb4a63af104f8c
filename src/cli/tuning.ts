/**
 * `--tune`: the same number of settings for every method, short trials on the same split, the lowest validation loss wins.
 *
 * A trial starts from the same weights and takes the same batches as the full training will.
 */
import { type Augmentation, batches, type DataSplit } from "../data/index.ts";
import { findMethod } from "../optimizers/index.ts";
import { Random } from "../random.ts";
import type { Runtime } from "../runtime/session.ts";
import { createTrainer } from "../training/create-trainer.ts";
import type { ReportContext } from "../training/run-folder.ts";
import type { Trainer } from "../training/trainer.ts";
import type { TrainerConfig } from "../training/trainer-config.ts";

export const tuningGrid = {
  learningRate: [1, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001],
  damping: [1, 0.1, 0.01, 0.001],
} as const;

/** `count` numbers from `high` to `low`, evenly on a logarithmic scale, with three digits. */
export function spread(high: number, low: number, count: number): number[] {
  return Array.from({ length: count }, (_, k) => +(high * (low / high) ** (k / (count - 1))).toPrecision(3));
}

const { learningRate: rates, damping: dampings } = tuningGrid;
/** In place of the grid where a learning rate is all there is to tune: as many settings, over the same range. */
export const fineRates: readonly number[] = spread(
  rates[0],
  rates[rates.length - 1],
  rates.length * dampings.length,
);

export type Trial = NonNullable<ReportContext["tuning"]>["trials"][number];
type MethodOptions = Readonly<Record<string, unknown>>;

/** Steps of a trial, unless the training has fewer: short trials favour large rates, whose noise only shows later. */
export const defaultTrialSteps = 1500;
/** Steps rejected in a row before a trial counts as diverged. */
const PATIENCE = 5;
/** How long a trial may hold the event loop, in milliseconds. */
const BREATH_INTERVAL = 20;

export interface TuningRequest {
  readonly method: string;
  /** The options that are not tuned. */
  readonly base: MethodOptions;
  /** Options that the user has set: they are left as they are. */
  readonly fixed: ReadonlySet<string>;
  /** Steps of each trial. */
  readonly steps: number;
  readonly split: DataSplit;
  /** What happens to the images trained on. */
  readonly augment?: Augmentation;
  readonly runtime: Runtime;
  readonly signal: AbortSignal;
  /** What to train with these options. */
  configure(options: MethodOptions): TrainerConfig;
  onTrial(trial: Trial, index: number, count: number): void;
}

/**
 * Tries every point of the grid, or of the finer one where there is no damping to tune.
 *
 * @returns the options with the lowest validation loss, `undefined` when every trial diverged or the signal came
 */
export async function tune(request: TuningRequest): Promise<{ best?: MethodOptions; trials: Trial[] }> {
  const points = gridOf(request);
  const trials: Trial[] = [];
  let best: { options: MethodOptions; loss: number } | undefined;
  for (const point of points) {
    const options = { ...request.base, ...point };
    const trial = await runTrial(request, options, point);
    if (request.signal.aborted) return { trials };
    trials.push(trial);
    request.onTrial(trial, trials.length, points.length);
    if (!trial.diverged && !(trial.validationLoss >= (best?.loss ?? Number.POSITIVE_INFINITY))) {
      best = { options, loss: trial.validationLoss };
    }
  }
  return { best: best?.options, trials };
}

/** The rule in words, for people. */
export function describeRule(steps: number): string {
  const pairs = `learningRate ${rates.join(", ")} with damping ${dampings.join(", ")}`;
  const alone = `without a damping to choose ${fineRates.length} learning rates from ${rates[0]} to ${fineRates.at(-1)}`;
  return `${fineRates.length} settings: ${pairs}; ${alone}; ${steps} steps a trial, the lowest validation loss wins`;
}

/** The rule in numbers, for records and reports. */
export function tuningRecord(steps: number): Record<string, number[]> {
  return {
    ...{ learningRate: [...rates], damping: [...dampings], "learningRate without damping": [...fineRates] },
    "steps a trial": [steps],
  };
}

function gridOf({ method, fixed }: TuningRequest): MethodOptions[] {
  const { options } = findMethod(method);
  const tunes = (name: string) => options.includes(name) && !fixed.has(name);
  const values = tunes("damping") ? dampings.map((damping) => ({ damping })) : [{}];
  if (!tunes("learningRate")) return values;
  const own = tunes("damping") ? rates : fineRates;
  return own.flatMap((learningRate) => values.map((value) => ({ learningRate, ...value })));
}

async function runTrial(
  request: TuningRequest,
  options: MethodOptions,
  point: MethodOptions,
): Promise<Trial> {
  const { split, runtime, signal, configure } = request;
  const trainer = await createTrainer(configure(options), { runtime });
  try {
    const healthy = await takeSteps(trainer, request);
    const { loss } =
      healthy && !signal.aborted ? await trainer.evaluate(split.validation) : { loss: Number.NaN };
    const epochs = +(trainer.progress.step / batchesPerEpoch(trainer, split)).toPrecision(3);
    const { optimizer } = trainer.config;
    return {
      optimizer: optimizer.name,
      options: { ...point },
      validationLoss: loss,
      epochs,
      diverged: !Number.isFinite(loss),
    };
  } finally {
    trainer.dispose();
  }
}

/** The first steps of training; false when it diverges. */
async function takeSteps(trainer: Trainer, { split, steps, signal, augment }: TuningRequest) {
  const { batchSize, seed } = trainer.config;
  const random = new Random(seed).fork("batches");
  let rejectedInARow = 0;
  let lastBreath = performance.now();
  for (let epoch = 0, taken = 0; taken < steps; epoch++) {
    for (const batch of batches(split.training, { batchSize, random, epoch, augment })) {
      if (taken++ === steps || signal.aborted) return true;
      const { accepted } = await trainer.step(batch);
      rejectedInARow = accepted ? 0 : rejectedInARow + 1;
      if (rejectedInARow >= PATIENCE) return false;
      if (performance.now() - lastBreath < BREATH_INTERVAL) continue;
      await new Promise((resolve) => setTimeout(resolve, 0));
      lastBreath = performance.now();
    }
  }
  return true;
}

function batchesPerEpoch({ config }: Trainer, { training }: DataSplit): number {
  return Math.floor(training.inputs.shape[0] / config.batchSize);
}
