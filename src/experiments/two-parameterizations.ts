/** One network trained twice by the same method: as it is, and with fixed affine maps before its layers. */

import { dense, gaussian, sequential, tanh } from "../nn/index.ts";
import { createOptimizer } from "../optimizers/index.ts";
import type { Batch } from "../optimizers/optimizer.ts";
import { Random } from "../random.ts";
import type { Runtime } from "../runtime/session.ts";
import { type NamedTensors, type Tensor, tensor } from "../tensor.ts";
import { createTrainer } from "../training/create-trainer.ts";
import type { Trainer } from "../training/trainer.ts";
import { drawAffineMap, fixedAffine, parametersBehind } from "./fixed-affine.ts";

export interface TrainedMethod {
  readonly label: string;
  readonly name: string;
  readonly options: Readonly<Record<string, unknown>>;
  /** Why it is invariant or why not, in a few words. */
  readonly invariant: string;
  /** Whether it is in the chart. */
  readonly drawn: boolean;
}

export interface Trajectories extends TrainedMethod {
  /** Loss before each step. */
  readonly losses: readonly number[];
  readonly otherLosses: readonly number[];
  /** Largest difference of the outputs over all samples after the last step, over the largest output. */
  readonly gap: number;
  /** Why a step was rejected and training ended before its time. */
  readonly stopped?: string;
}

/** More samples than parameters, so that the Fisher matrix is regular and needs no damping. */
const SAMPLES = 200;
const FEATURES = 3;
const HIDDEN = 4;
const OUTPUTS = 2;
/** Weights of the network that makes the targets, over initial ones: those would leave tanh almost linear, and the Fisher matrix almost singular. */
const TEACHER_SCALE = 3;
/** Deviation of the first weights from the teacher's: undamped steps from far away run off, in any parameterization. */
const DISTANCE = 0.3;

const undamped = { learningRate: 0.2, damping: 0, momentum: 0, fisher: "exact" } as const;

const methods = {
  exactNgd: { options: { ...undamped, solver: "dense" }, invariant: "yes", drawn: true },
  blockDiagonalNgd: {
    options: { ...undamped, solver: "dense" },
    invariant: "yes: the maps stay within layers",
  },
  unitwiseNgd: { options: undamped, invariant: "yes: the maps act on every unit alike" },
  kfac: { options: undamped, invariant: "yes", drawn: true },
  quasiDiagonalNgd: {
    options: { ...undamped, damping: 1e-3 },
    invariant: "no: keeps the diagonal; λ = 0.001",
  },
  diagonalNgd: { options: { ...undamped, damping: 1e-3 }, invariant: "no: keeps the diagonal; λ = 0.001" },
  adam: { options: { learningRate: 0.02 }, invariant: "no", drawn: true },
  sgd: { options: { learningRate: 0.05, momentum: 0 }, invariant: "no", drawn: true },
} as const satisfies Record<string, Pick<TrainedMethod, "options" | "invariant"> & { drawn?: boolean }>;

export const trainedMethods: readonly TrainedMethod[] = [
  ...Object.entries(methods).map(([name, method]) => ({ drawn: false, ...method, label: name, name })),
  {
    ...{ label: "kfac, λ = 0.01", name: "kfac", options: { ...undamped, damping: 0.01 }, drawn: false },
    invariant: "no: the damping is in the parameters' own units",
  },
];

/** Labels of the methods that theory says are invariant here. */
export const invariantMethods: readonly string[] = trainedMethods
  .filter(({ invariant }) => invariant.startsWith("yes"))
  .map(({ label }) => label);

/** Trains both for the same steps on the same full batches, in float64. */
export async function compareTrajectories(
  runtime: Runtime,
  method: TrainedMethod,
  { seed, steps }: { readonly seed: number; readonly steps: number },
): Promise<Trajectories> {
  const random = new Random(seed).fork("two-parameterizations");
  const maps = [drawAffineMap(random, FEATURES), drawAffineMap(random, HIDDEN)];
  const plain = sequential([dense(HIDDEN), tanh(), dense(OUTPUTS)]);
  const mapped = sequential([
    fixedAffine(maps[0]),
    dense(HIDDEN),
    tanh(),
    fixedAffine(maps[1]),
    dense(OUTPUTS),
  ]);
  const create = (model: typeof plain) =>
    createTrainer(
      {
        ...{ model, inputShape: [FEATURES], likelihood: gaussian(), dtype: "float64", seed },
        ...{ optimizer: createOptimizer(method.name, method.options), batchSize: SAMPLES },
      },
      { runtime },
    );
  const [own, other] = [await create(plain), await create(mapped)];
  try {
    own.setParameters(changed(own.getParameters(), (value) => TEACHER_SCALE * value));
    const batch = await drawBatch(own, random.fork("data"));
    const start = random.fork("start");
    own.setParameters(changed(own.getParameters(), (value) => value + DISTANCE * start.normal()));
    other.setParameters(parametersBehind(maps, own.getParameters()));
    const losses: number[] = [];
    const otherLosses: number[] = [];
    let stopped: string | undefined;
    while (stopped === undefined && losses.length < steps) {
      const taken = [await own.step(batch), await other.step(batch)];
      losses.push(taken[0].loss);
      otherLosses.push(taken[1].loss);
      stopped = taken.find(({ accepted }) => !accepted)?.status;
    }
    const gap = relativeGap(await own.predict(batch.inputs), await other.predict(batch.inputs));
    return { ...method, losses, otherLosses, gap, stopped };
  } finally {
    own.dispose();
    other.dispose();
  }
}

/** Standard normal inputs; targets of the network that the trainer holds, with noise. */
async function drawBatch(trainer: Trainer, random: Random): Promise<Batch> {
  const inputs = tensor(
    Float64Array.from({ length: SAMPLES * FEATURES }, () => random.normal()),
    [SAMPLES, FEATURES],
  );
  const { shape, data } = await trainer.predict(inputs);
  return {
    inputs,
    targets: tensor(
      Float64Array.from(data, (value) => value + 0.1 * random.normal()),
      shape,
    ),
  };
}

function changed(parameters: NamedTensors, change: (value: number) => number): NamedTensors {
  return new Map(
    [...parameters].map(([name, { shape, data }]) => [name, tensor(Float64Array.from(data, change), shape)]),
  );
}

function relativeGap(a: Tensor, b: Tensor): number {
  let [gap, size] = [0, 0];
  for (let k = 0; k < a.data.length; k++) {
    gap = Math.max(gap, Math.abs(a.data[k] - b.data[k]));
    size = Math.max(size, Math.abs(a.data[k]));
  }
  return gap / size;
}
