/** The KL divergence of a small classifier beside ½ tᵀF t, with the library's own Fisher matrix and predictions. */
import { categorical, dense, sequential, tanh } from "../nn/index.ts";
import { sgd } from "../optimizers/index.ts";
import { Random } from "../random.ts";
import type { Runtime } from "../runtime/session.ts";
import { type NamedTensors, type Tensor, tensor } from "../tensor.ts";
import { squaredLength } from "../theory/geometry.ts";
import { orderOf, type QuadraticCheck } from "../theory/geometry-order.ts";
import { createTrainer } from "../training/create-trainer.ts";

const SAMPLES = 40;
const FEATURES = 3;
const CLASSES = 3;
/** t, the length of the step, from large to small. */
const LARGEST = 0.3;
const SMALLEST = 0.01;

/** |KL(p_θ ‖ p_θ+t) − ½ tᵀF t| in a random direction t, mean over the inputs, in nats. */
export async function divergenceOrders(
  runtime: Runtime,
  seed: number,
  count: number,
): Promise<{
  readonly checks: readonly QuadraticCheck[];
  readonly order: number;
  readonly parameters: number;
}> {
  const random = new Random(seed).fork("network-divergence");
  const trainer = await createTrainer(
    {
      model: sequential([dense(4), tanh(), dense(CLASSES)]),
      ...{ inputShape: [FEATURES], likelihood: categorical(), optimizer: sgd(), dtype: "float64", seed },
    },
    { runtime },
  );
  try {
    const inputs = tensor(
      Float64Array.from({ length: SAMPLES * FEATURES }, () => random.normal()),
      [SAMPLES, FEATURES],
    );
    const targets = tensor(Int32Array.from({ length: SAMPLES }, () => random.integer(CLASSES)));
    const fisher = (await trainer.fisher({ inputs, targets }, "exact")).data as Float64Array;
    const theta = trainer.getParameters();
    const before = await trainer.predict(inputs);
    const direction = unitDirection(theta, random);
    const checks: QuadraticCheck[] = [];
    for (let k = 0; k < count; k++) {
      const scale = LARGEST * (SMALLEST / LARGEST) ** (k / (count - 1));
      trainer.setParameters(moved(theta, direction, scale));
      const divergence = meanDivergence(before, await trainer.predict(inputs));
      const quadratic = scale ** 2 * squaredLength(fisher, inFisherOrder(direction));
      checks.push({ scale, divergence, quadratic, size: Math.abs(divergence - quadratic) });
    }
    return { checks, order: orderOf(checks), parameters: trainer.parameterCount };
  } finally {
    trainer.dispose();
  }
}

function unitDirection(theta: NamedTensors, random: Random): NamedTensors {
  const drawn = [...theta].map(
    ([name, { shape, data }]) =>
      [name, { shape, data: Float64Array.from(data, () => random.normal()) }] as const,
  );
  const norm = Math.sqrt(drawn.reduce((sum, [, { data }]) => sum + data.reduce((s, v) => s + v * v, 0), 0));
  return new Map(drawn.map(([name, { shape, data }]) => [name, { shape, data: data.map((v) => v / norm) }]));
}

function moved(theta: NamedTensors, direction: NamedTensors, scale: number): NamedTensors {
  return new Map(
    [...theta].map(([name, { shape, data }]) => {
      const step = direction.get(name)!.data;
      return [name, { shape, data: Float64Array.from(data, (value, k) => value + scale * step[k]) }] as const;
    }),
  );
}

/** Layer by layer, row-major in [W b], as the Fisher matrix has it. */
function inFisherOrder(direction: NamedTensors): Float64Array {
  const flat: number[] = [];
  for (const [name, { shape, data }] of direction) {
    if (!name.endsWith(".weight")) continue;
    const bias = direction.get(name.replace("weight", "bias"))!.data;
    const [outputs, features] = shape;
    for (let o = 0; o < outputs; o++) flat.push(...data.subarray(o * features, (o + 1) * features), bias[o]);
  }
  return Float64Array.from(flat);
}

/** Mean over the samples of KL(softmax(f) ‖ softmax(f')). */
function meanDivergence({ shape: [samples, classes], data }: Tensor, other: Tensor): number {
  let sum = 0;
  for (let n = 0; n < samples; n++) {
    const [p, q] = [data, other.data].map((all) => logSoftmax(all.subarray(n * classes, (n + 1) * classes)));
    for (let c = 0; c < classes; c++) sum += Math.exp(p[c]) * (p[c] - q[c]);
  }
  return sum / samples;
}

function logSoftmax(logits: ArrayLike<number>): number[] {
  const values = Array.from(logits);
  const largest = Math.max(...values);
  const total = values.reduce((sum, value) => sum + Math.exp(value - largest), 0);
  return values.map((value) => value - largest - Math.log(total));
}
