/** From raw target columns to the target tensor of a task. */
import { UsageError } from "../errors.ts";
import { allocate, type FloatDType, type Tensor } from "../tensor.ts";
import type { BinaryTask, ClassificationTask, NumericTask, Task } from "./dataset.ts";
import { fitScaling } from "./features.ts";

/** A task and how its rows are written. */
export interface TargetEncoder {
  readonly task: Task;
  encode(rows: Int32Array, dtype: FloatDType): Tensor;
}

/**
 * Real targets, standardized on the training rows; with `log`, their natural logarithms are.
 *
 * @param columns one array per target, finite (and positive for `log`) in every row used
 * @throws UsageError when a column is constant on the training rows
 */
export function regressionTargets(
  targetNames: readonly string[],
  columns: readonly Float64Array[],
  training: Int32Array,
  log = false,
): TargetEncoder {
  const values = log ? columns.map((column) => column.map(Math.log)) : columns;
  const scalings = fitVarying(targetNames, values, columns, training);
  const mean = scalings.map((scaling) => scaling.mean);
  const deviation = scalings.map((scaling) => scaling.deviation);
  return numericTargets({ kind: "regression", targetNames, scaling: { mean, deviation, log } }, columns);
}

/**
 * Counts as multiples of their means on the training rows, so that rates start from about the right ones.
 *
 * @param columns one array per target, finite and at least 0 in every row used
 * @throws UsageError when a column is constant on the training rows
 */
export function countTargets(
  targetNames: readonly string[],
  columns: readonly Float64Array[],
  training: Int32Array,
): TargetEncoder {
  const mean = fitVarying(targetNames, columns, columns, training).map((scaling) => scaling.mean);
  return numericTargets({ kind: "count", targetNames, mean }, columns);
}

/**
 * The scaling of each column's values.
 *
 * @throws UsageError, with the number in the file, when a column is constant on the training rows
 */
function fitVarying(
  targetNames: readonly string[],
  values: readonly Float64Array[],
  columns: readonly Float64Array[],
  training: Int32Array,
) {
  const scalings = values.map((column) => fitScaling(column, training));
  const constant = scalings.findIndex(({ deviation }) => !(deviation > 0));
  if (constant < 0) return scalings;
  const value = columns[constant][training[0]];
  throw new UsageError(
    `target "${targetNames[constant]}" is ${value} in every training row: nothing to predict`,
  );
}

/**
 * Numbers, scaled as a task says.
 *
 * @param columns one array per target, finite (positive for a logarithm, at least 0 for counts) in every row used
 */
export function numericTargets(task: NumericTask, columns: readonly Float64Array[]): TargetEncoder {
  const scale = scalingOf(task);
  return {
    task,
    encode(rows, dtype) {
      const width = columns.length;
      const data = allocate(dtype, rows.length * width);
      columns.forEach((column, index) => {
        for (let i = 0; i < rows.length; i++) data[i * width + index] = scale(column[rows[i]], index);
      });
      return { shape: [rows.length, width], data };
    },
  };
}

function scalingOf(task: NumericTask): (value: number, column: number) => number {
  if (task.kind === "count") return (value, column) => value / task.mean[column];
  const { mean, deviation, log } = task.scaling;
  return (value, column) => ((log ? Math.log(value) : value) - mean[column]) / deviation[column];
}

/**
 * Classes: int32 indices `(N)`, or 0 and 1 `(N, 1)` for the binary task.
 *
 * @param codes class index of each row
 * @throws UsageError when the training rows are all of one class, or the binary task has not exactly two
 */
export function classTargets(
  kind: "classification" | "binary",
  targetName: string,
  classNames: readonly string[],
  codes: Int32Array,
  training: Int32Array,
): TargetEncoder {
  const only = classNames[codes[training[0]]];
  if (training.every((row) => classNames[codes[row]] === only)) {
    const where = classNames.length === 1 ? "row" : "training row";
    throw new UsageError(
      `target "${targetName}" is ${JSON.stringify(only)} in every ${where}: nothing to predict`,
    );
  }
  if (kind === "binary" && classNames.length !== 2) {
    throw new UsageError(
      `target "${targetName}" has ${classNames.length} classes and the binary task takes two (use task "classification")`,
    );
  }
  return codedTargets({ kind, targetNames: [targetName], classNames }, codes);
}

/** Classes of a task by the class index of each row. */
export function codedTargets(task: ClassificationTask | BinaryTask, codes: Int32Array): TargetEncoder {
  const { kind } = task;
  return {
    task,
    encode(rows, dtype) {
      const data = allocate(kind === "binary" ? dtype : "int32", rows.length);
      for (let i = 0; i < rows.length; i++) data[i] = codes[rows[i]];
      return { shape: kind === "binary" ? [rows.length, 1] : [rows.length], data };
    },
  };
}
