/** What a classifier makes of examples one by one: which classes it takes for which, and the images that show it best. */
import type { Dataset } from "../data/dataset.ts";
import { isPixels } from "../pixels.ts";
import { indexOfLargest, sizeOf, type Tensor } from "../tensor.ts";
import type { Trainer } from "./trainer.ts";

export interface Classification {
  readonly classNames: readonly string[];
  /** Examples by class, the row, and by the class that they are taken for, the column. */
  readonly confusion: readonly (readonly number[])[];
  /** Mistakes first, the most confident before the others, then examples that are right; none unless the inputs are images. */
  readonly images: readonly ClassifiedImage[];
}

export interface ClassifiedImage {
  /** Row of the dataset, from 0. */
  readonly row: number;
  /** Class indices. */
  readonly truth: number;
  readonly predicted: number;
  /** Probability of the predicted class. */
  readonly confidence: number;
  /** Channels, height, width. */
  readonly shape: readonly [number, number, number];
  /** Brightness, (C, H, W). */
  readonly bytes: Uint8Array;
}

/** Images that are kept, and how many of them are mistakes where there are enough of both. */
const SHOWN = 20;
const SHOWN_MISTAKES = 15;

/** Runs the model over a dataset; `undefined` unless it is a classification. */
export async function classify(
  trainer: Pick<Trainer, "predict">,
  dataset: Dataset,
): Promise<Classification | undefined> {
  const { task, inputs, targets } = dataset;
  if (task.kind !== "classification") return undefined;
  const { classNames } = task;
  const confusion = classNames.map(() => classNames.map(() => 0));
  const answers = answersOf(await trainer.predict(inputs)).map((answer, row) => {
    return { row, truth: targets.data[row], ...answer };
  });
  for (const { truth, predicted } of answers) confusion[truth][predicted]++;
  const shown = inputs.shape.length === 4 ? choose(answers) : [];
  const toBytes = byteReader(
    inputs,
    shown.map(({ row }) => row),
  );
  const [, channels, height, width] = inputs.shape;
  const images = shown.map((answer): ClassifiedImage => {
    return { ...answer, shape: [channels, height, width], bytes: toBytes(answer.row) };
  });
  return { classNames, confusion, images };
}

type Answer = Pick<ClassifiedImage, "row" | "truth" | "predicted" | "confidence">;

/** The most probable class of every row of logits (N, C), the first of equals, with its softmax probability. */
function answersOf({ shape: [rows, classes], data }: Tensor) {
  return Array.from({ length: rows }, (_, row) => {
    const logits = data.subarray(row * classes, (row + 1) * classes);
    const predicted = indexOfLargest(logits);
    let total = 0;
    for (const logit of logits) total += Math.exp(logit - logits[predicted]);
    return { predicted, confidence: 1 / total };
  });
}

function choose(answers: readonly Answer[]): Answer[] {
  const wrong = answers.filter(({ truth, predicted }) => truth !== predicted);
  const right = answers.filter(({ truth, predicted }) => truth === predicted);
  wrong.sort((a, b) => b.confidence - a.confidence);
  const mistakes = wrong.slice(0, Math.max(SHOWN_MISTAKES, SHOWN - right.length));
  return [...mistakes, ...right.slice(0, SHOWN - mistakes.length)];
}

/** Gives the brightness of single images: their own bytes, or numbers from the least to the largest of those given. */
function byteReader(inputs: Tensor, rows: readonly number[]): (row: number) => Uint8Array {
  const size = sizeOf(inputs.shape.slice(1));
  const dataOf = (row: number) => inputs.data.subarray(row * size, (row + 1) * size);
  if (isPixels(inputs)) return (row) => inputs.data.slice(row * size, (row + 1) * size);
  let [low, high] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (const row of rows) {
    for (const value of dataOf(row)) {
      low = Math.min(low, value);
      high = Math.max(high, value);
    }
  }
  const scale = high > low ? 255 / (high - low) : 0;
  return (row) => Uint8Array.from(dataOf(row), (value) => Math.round((value - low) * scale));
}
