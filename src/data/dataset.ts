/** What the trainer is fed: inputs, targets and what they mean; splitting a dataset in two. */
import { requireOption, UsageError } from "../errors.ts";
import { gatherPixels, isPixels } from "../pixels.ts";
import { Random } from "../random.ts";
import { allocate, dtypeOf, formatShape, sizeOf, type Tensor } from "../tensor.ts";
import type { TableEncoding } from "./encoding.ts";

/** Real numbers to predict, `(N, C)`; standardized, so metrics are reported through {@link toOriginalUnits}. */
export interface RegressionTask {
  readonly kind: "regression";
  readonly targetNames: readonly string[];
  readonly scaling: TargetScaling;
}

/** Numbers from 0 on whose variance grows with their mean, `(N, C)`: stored as multiples of `mean`, that of the training rows. */
export interface CountTask {
  readonly kind: "count";
  readonly targetNames: readonly string[];
  /** Of each target column. */
  readonly mean: readonly number[];
}

/** One of several classes: int32 class indices `(N)`. */
export interface ClassificationTask {
  readonly kind: "classification";
  readonly targetNames: readonly string[];
  readonly classNames: readonly string[];
}

/** One of two classes as a probability: `(N, 1)`, 0 for the first class name and 1 for the second. */
export interface BinaryTask {
  readonly kind: "binary";
  readonly targetNames: readonly string[];
  readonly classNames: readonly string[];
}

/** Tasks whose targets are numbers, a column each. */
export type NumericTask = RegressionTask | CountTask;
export type Task = NumericTask | ClassificationTask | BinaryTask;
export type TaskKind = Task["kind"];
export const taskKinds: readonly TaskKind[] = ["regression", "count", "classification", "binary"];

export function isNumericKind(kind: TaskKind): kind is NumericTask["kind"] {
  return kind === "regression" || kind === "count";
}

export function isNumericTask(task: Task): task is NumericTask {
  return isNumericKind(task.kind);
}

/** Per target column: stored = (f(original) − mean) / deviation, with f the natural logarithm when `log` is set. */
export interface TargetScaling {
  readonly mean: readonly number[];
  readonly deviation: readonly number[];
  readonly log: boolean;
}

/** Examples, row by row. */
export interface Dataset {
  readonly name: string;
  /**
   * `(N, …inputShape)`, float32 or float64. Images may be {@link Pixels}, bytes that stand for numbers: {@link batches} gives the
   * numbers, and the trainer reads them.
   */
  readonly inputs: Tensor;
  /** int32 class indices `(N)` for classification, otherwise `(N, C)` of the inputs' dtype. */
  readonly targets: Tensor;
  readonly task: Task;
  /** One name per input number. */
  readonly inputNames: readonly string[];
  /** (channels, height, width) when the inputs are pictures, (N, C, H, W). */
  readonly imageShape?: readonly [number, number, number];
  /** What loading did to the data, one line each: columns dropped, missing values filled, … */
  readonly notices: readonly string[];
}

/** A dataset in two parts, encoded alike. */
export interface DataSplit {
  readonly training: Dataset;
  readonly validation: Dataset;
  /** What was fitted on the training rows, to encode other rows alike; absent for images and for tensors of the caller's. */
  readonly encoding?: TableEncoding;
  readonly notices: readonly string[];
}

export interface SplitOptions {
  /** Fraction of the rows kept for validation, in (0, 1); default 0.2. */
  readonly validation?: number;
  /** Decides which rows; default 0. */
  readonly seed?: number;
}

/** Row indices of the two parts, each in ascending order. */
export interface RowSplit {
  readonly training: Int32Array;
  readonly validation: Int32Array;
}

/**
 * Splits `count` rows at random.
 *
 * @param name whose rows they are, for the message
 * @throws UsageError when a part would be empty
 */
export function splitRows(count: number, name: string, options: SplitOptions = {}): RowSplit {
  const { validation = 0.2, seed = 0 } = options;
  requireOption(validation > 0 && validation < 1, "validation", validation, "between 0 and 1");
  requireOption(Number.isSafeInteger(seed), "seed", seed, "an integer");
  const held = Math.round(count * validation);
  if (held < 1 || count - held < 2) {
    const percent = `${+(100 * validation).toPrecision(3)} %`;
    throw new UsageError(
      `${name} has ${count} ${count === 1 ? "row" : "rows"}, too few to keep ${percent} for validation`,
    );
  }
  const order = new Random(seed).fork("split").permutation(count);
  return { training: order.slice(held).sort(), validation: order.slice(0, held).sort() };
}

/**
 * Splits a dataset by seed. It does not rescale: the parts keep the encoding of the whole.
 *
 * @throws UsageError when there are too few rows
 */
export function splitDataset(dataset: Dataset, options: SplitOptions = {}): DataSplit {
  const rows = splitRows(dataset.inputs.shape[0], dataset.name, options);
  return {
    training: selectRows(dataset, rows.training),
    validation: selectRows(dataset, rows.validation),
    notices: dataset.notices,
  };
}

/** The dataset of the given rows, copied; pixels stay pixels. */
export function selectRows(dataset: Dataset, rows: Int32Array): Dataset {
  return { ...dataset, inputs: gather(dataset.inputs, rows), targets: gather(dataset.targets, rows) };
}

function gather(source: Tensor, rows: Int32Array): Tensor {
  const width = sizeOf(source.shape.slice(1));
  const data = allocate(dtypeOf(source.data), rows.length * width);
  gatherRows(source, rows, 0, rows.length, data);
  return { ...source, shape: [rows.length, ...source.shape.slice(1)], data };
}

/** How many numbers one example has. */
export function inputCount({ inputs }: Dataset): number {
  return sizeOf(inputs.shape.slice(1));
}

/**
 * Copies `count` rows of `source`, those listed from `rows[start]` on, to the start of `output`; pixels as the numbers that they
 * stand for, unless `output` holds bytes too.
 */
export function gatherRows(
  source: Tensor,
  rows: Int32Array,
  start: number,
  count: number,
  output: Tensor["data"],
): void {
  if (isPixels(source) && !(output instanceof Uint8Array)) {
    gatherPixels(source, rows, start, count, output);
    return;
  }
  const { data } = source;
  const width = sizeOf(source.shape.slice(1));
  if (width > 32) {
    for (let i = 0; i < count; i++) {
      const from = rows[start + i] * width;
      output.set(data.subarray(from, from + width), i * width);
    }
    return;
  }
  for (let i = 0, to = 0; i < count; i++) {
    const from = rows[start + i] * width;
    for (let j = 0; j < width; j++) output[to++] = data[from + j];
  }
}

/**
 * Stored regression targets (or predictions of them), `(N, C)`, in the units of the file, as float64.
 */
export function toOriginalUnits(task: RegressionTask, values: Tensor): Tensor {
  const { mean, deviation, log } = task.scaling;
  const width = mean.length;
  const data = Float64Array.from(values.data, (value, index) => {
    const original = value * deviation[index % width] + mean[index % width];
    return log ? Math.exp(original) : original;
  });
  return { shape: values.shape, data };
}

/**
 * Checks a dataset that did not come from this folder: shapes agree, numbers are finite, class indices exist.
 *
 * @throws UsageError naming the dataset, the row (from 0) and the column
 */
export function validateDataset(dataset: Dataset): void {
  const { name, inputs, targets, task } = dataset;
  const rows = inputs.shape[0];
  if (!rows) throw new UsageError(`${name} has no rows`);
  const expected =
    task.kind === "classification" ? [rows] : [rows, task.kind === "binary" ? 1 : task.targetNames.length];
  if (formatShape(targets.shape) !== formatShape(expected)) {
    throw new UsageError(
      `${name}: targets of shape ${formatShape(targets.shape)} do not fit ${rows} rows ` +
        `(must be ${formatShape(expected)})`,
    );
  }
  requireFinite(name, inputs, (column) => `input "${dataset.inputNames[column] ?? column}"`);
  requireFinite(name, targets, (column) => `target "${task.targetNames[column] ?? column}"`);
  if (task.kind === "regression") return;
  if (task.kind === "count") {
    const wrong = targets.data.findIndex((value: number) => value < 0);
    if (wrong < 0) return;
    const row = Math.floor(wrong / task.targetNames.length);
    throw new UsageError(`${name}: row ${row} has the count ${targets.data[wrong]} (must be at least 0)`);
  }
  const classes = task.classNames.length;
  const wrong = targets.data.findIndex(
    (value: number) => !Number.isInteger(value) || value < 0 || value >= classes,
  );
  if (wrong >= 0) {
    throw new UsageError(
      `${name}: row ${wrong} has class ${targets.data[wrong]} (must be an integer from 0 to ${classes - 1})`,
    );
  }
}

function requireFinite(name: string, { data, shape }: Tensor, label: (column: number) => string): void {
  const wrong = data.findIndex((value: number) => !Number.isFinite(value));
  if (wrong < 0) return;
  const width = sizeOf(shape.slice(1));
  throw new UsageError(
    `${name}: ${label(wrong % width)} of row ${Math.floor(wrong / width)} is ${data[wrong]} (must be finite)`,
  );
}
