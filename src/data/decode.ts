/** From a network's outputs to what they mean: numbers in the units of the file, classes by name. */
import { UsageError } from "../errors.ts";
import { formatShape, indexOfLargest, type Tensor } from "../tensor.ts";
import { type CountTask, type Task, toOriginalUnits } from "./dataset.ts";

export type Decoded = DecodedNumbers | DecodedClasses;

export interface DecodedNumbers {
  readonly kind: "regression" | "count";
  /** (N, C), in the units of the file, float64. */
  readonly values: Tensor;
}

export interface DecodedClasses {
  readonly kind: "classification" | "binary";
  /** The most probable class of each row, N of them. */
  readonly classes: readonly string[];
  /** (N, classes), in the order of the task's `classNames`, float64. */
  readonly probabilities: Tensor;
}

/**
 * What outputs of a network, `(N, C)`, say about the task: its likelihood's means are put back into the units of the file,
 * its log rates become rates and its logits probabilities.
 *
 * @throws UsageError when the outputs are not as many as the task has
 */
export function decodeOutputs(task: Task, outputs: Tensor): Decoded {
  const width = outputsOf(task);
  if (outputs.shape.length !== 2 || outputs.shape[1] !== width) {
    throw new UsageError(`invalid outputs: shape ${formatShape(outputs.shape)} (must be (N, ${width}))`);
  }
  if (task.kind === "regression") return { kind: task.kind, values: toOriginalUnits(task, outputs) };
  if (task.kind === "count") return { kind: task.kind, values: rates(task, outputs) };
  const probabilities = task.kind === "binary" ? logistic(outputs) : softmax(outputs);
  const classes = mostProbable(outputs, task.kind === "binary").map((index) => task.classNames[index]);
  return { kind: task.kind, classes, probabilities };
}

/** How many outputs a network for the task has. */
export function outputsOf(task: Task): number {
  switch (task.kind) {
    case "regression":
    case "count":
      return task.targetNames.length;
    case "classification":
      return task.classNames.length;
    case "binary":
      return 1;
  }
}

/** Expected counts, by the logarithms of their multiples of the mean. */
function rates({ mean }: CountTask, { shape, data }: Tensor): Tensor {
  return { shape, data: Float64Array.from(data, (value, k) => mean[k % mean.length] * Math.exp(value)) };
}

/** Index of the largest of each row's logits, or 1 where the only one is above 0; the first where several are. */
function mostProbable({ shape: [rows, width], data }: Tensor, binary: boolean): number[] {
  return Array.from({ length: rows }, (_, row) => {
    if (binary) return data[row] > 0 ? 1 : 0;
    return indexOfLargest(data.subarray(row * width, (row + 1) * width));
  });
}

/** (N, C) of rows that add up to 1. */
function softmax({ shape: [rows, width], data }: Tensor): Tensor {
  const result = new Float64Array(rows * width);
  for (let from = 0; from < result.length; from += width) {
    let largest = Number.NEGATIVE_INFINITY;
    for (let c = 0; c < width; c++) largest = Math.max(largest, data[from + c]);
    let total = 0;
    for (let c = 0; c < width; c++) total += result[from + c] = Math.exp(data[from + c] - largest);
    for (let c = 0; c < width; c++) result[from + c] /= total;
  }
  return { shape: [rows, width], data: result };
}

/** (N, 1) → (N, 2): the probabilities of the first and of the second class. */
function logistic({ shape: [rows], data }: Tensor): Tensor {
  const result = new Float64Array(2 * rows);
  for (let row = 0; row < rows; row++) {
    result[2 * row] = 1 / (1 + Math.exp(data[row]));
    result[2 * row + 1] = 1 / (1 + Math.exp(-data[row]));
  }
  return { shape: [rows, 2], data: result };
}
