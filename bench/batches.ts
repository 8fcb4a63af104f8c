/**
 * What it takes to put a batch of images together, beside the steps that hide it.
 *
 * Usage: node --import tsx bench/batches.ts
 */
import {
  batchCount,
  batches,
  categorical,
  createTrainer,
  type Dataset,
  type Pixels,
  Random,
  sgd,
  smallConvNet,
  threeC1F,
} from "../src/index.ts";

const BATCH_SIZE = 128;
const IMAGES = 5000;
const STEPS = 5;

/** Random bytes, which take as long as any others. */
function imagesOf(channels: number, side: number): Dataset {
  const random = new Random(0);
  const shape = [IMAGES, channels, side, side];
  const data = Uint8Array.from({ length: IMAGES * channels * side * side }, () => random.integer(256));
  const scaling = { mean: Array(channels).fill(0.5), deviation: Array(channels).fill(0.25) };
  const inputs: Pixels = { shape, data, scaling, dtype: "float32" };
  const classNames = Array.from({ length: 10 }, (_, label) => String(label));
  return {
    ...{ name: "random images", inputs, inputNames: [], notices: [] },
    targets: { shape: [IMAGES], data: Int32Array.from({ length: IMAGES }, (_, row) => row % 10) },
    task: { kind: "classification", targetNames: ["class"], classNames },
  };
}

/** The least of many times, in milliseconds. */
async function leastOf(trials: number, work: () => unknown): Promise<number> {
  let least = Number.POSITIVE_INFINITY;
  for (let trial = 0; trial < trials; trial++) {
    const start = performance.now();
    await work();
    least = Math.min(least, performance.now() - start);
  }
  return least;
}

const say = (what: string, milliseconds: number) =>
  console.log(`${what.padEnd(52)} ${milliseconds.toFixed(2).padStart(8)} ms`);

const [gray, color] = [imagesOf(1, 28), imagesOf(3, 32)];
const options = { batchSize: BATCH_SIZE, random: new Random(0) };
for (const [what, dataset] of [
  ["28 × 28 gray", gray],
  ["32 × 32 in color", color],
] as const) {
  for (const augment of [undefined, { crop: 4, flip: true }]) {
    const order = batches(dataset, { ...options, augment })[Symbol.iterator]();
    const least = await leastOf(batchCount(IMAGES, options), () => order.next());
    say(`a batch of ${BATCH_SIZE}, ${what}${augment ? ", cropped and flipped" : ""}`, least);
  }
}
for (const [what, model] of [
  ["small-conv", smallConvNet()],
  ["3c1f", threeC1F()],
] as const) {
  const optimizer = sgd({ learningRate: 1e-3, momentum: 0.9 });
  const config = { model, optimizer, likelihood: categorical(), inputShape: [1, 28, 28] };
  const trainer = await createTrainer({ ...config, batchSize: BATCH_SIZE });
  await trainer.prepare(BATCH_SIZE);
  const [batch] = batches(gray, options);
  say(`a step of ${what} by sgd`, await leastOf(STEPS, () => trainer.step(batch)));
  trainer.dispose();
}
