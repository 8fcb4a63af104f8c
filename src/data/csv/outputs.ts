/** The target columns of a table: what the task is, which rows can be used, and the encoder. */
import { requireOption, UsageError } from "../../errors.ts";
import { isNumericKind, type NumericTask, type TaskKind, taskKinds } from "../dataset.ts";
import { classTargets, countTargets, regressionTargets, type TargetEncoder } from "../targets.ts";
import { type Column, missingCode, rememberedTexts } from "./column.ts";
import { compareTexts, isMeantNumeric, requireNumbers } from "./inputs.ts";
import type { Table } from "./table.ts";

/** At most so many distinct integers are taken for classes, if each comes three times on average. */
const mostIntegerClasses = 20;

/** @throws UsageError for a column that is not there, or named twice */
export function findTargets(table: Table, target: string | number | readonly (string | number)[]): Column[] {
  const keys = typeof target === "string" || typeof target === "number" ? [target] : target;
  requireOption(keys.length > 0, "target", "[]", "at least one column");
  const columns = keys.map((key) => table.column(key));
  const repeated = columns.find((column, index) => columns.indexOf(column) !== index);
  if (repeated) throw new UsageError(`target ${JSON.stringify(repeated.name)} is named twice`);
  return columns;
}

export interface FitTargets {
  /** Rows whose targets are all there. */
  readonly usable: Int32Array;
  fit(training: Int32Array): TargetEncoder;
}

/**
 * Decides the task and checks the target columns.
 *
 * @throws UsageError when they do not suit the task
 */
export function fitTargets(
  table: Table,
  columns: readonly Column[],
  options: { task?: TaskKind; logTarget: boolean },
  notices: string[],
): FitTargets {
  const { logTarget } = options;
  if (options.task !== undefined) {
    requireOption(taskKinds.includes(options.task), "task", options.task, taskKinds.join(", "));
  }
  const kind =
    options.task ?? (logTarget || columns.length > 1 ? "regression" : detectTask(columns[0], notices));
  const names = columns.map((column) => JSON.stringify(column.name)).join(", ");
  if (!isNumericKind(kind) && columns.length > 1) {
    throw new UsageError(
      `several targets (${names}) can only be predicted by regression or as counts, not by ${kind}`,
    );
  }
  if (logTarget && kind !== "regression")
    throw new UsageError(`logTarget is for regression, not for ${kind}`);
  if (isNumericKind(kind)) {
    for (const column of columns) requireNumericTarget(table, column, { kind, log: logTarget });
  } else requireClasses(table, columns[0]);
  const usable = usableRows(table, columns, kind);
  const lost = table.rowCount - usable.length;
  if (lost > 0) notices.push(`left out ${lost} ${lost === 1 ? "row" : "rows"} without target ${names}`);
  if (usable.length === 0) throw new UsageError(`${table.path}: target ${names} is missing in every row`);
  return {
    usable,
    fit: (training) => inFile(table, () => encoderOf(kind, columns, training, logTarget)),
  };
}

function encoderOf(
  kind: TaskKind,
  columns: readonly Column[],
  training: Int32Array,
  log: boolean,
): TargetEncoder {
  if (isNumericKind(kind)) {
    const names = columns.map((column) => column.name);
    const values = columns.map((column) => column.values);
    if (kind === "count") return countTargets(names, values, training);
    return regressionTargets(names, values, training, log);
  }
  const { name, texts, codes } = columns[0];
  const order = texts.map((_, code) => code).sort((a, b) => compareTexts(texts[a], texts[b]));
  const classOf = new Int32Array(texts.length);
  order.forEach((code, index) => {
    classOf[code] = index;
  });
  const classes = codes!.map((code) => (code === missingCode ? missingCode : classOf[code]));
  return classTargets(
    kind,
    name,
    order.map((code) => texts[code]),
    classes,
    training,
  );
}

function detectTask(column: Column, notices: string[]): TaskKind {
  if (column.counts.texts > 0) return isMeantNumeric(column) ? "regression" : "classification";
  const few = column.distinct <= mostIntegerClasses && 3 * column.distinct <= column.counts.numbers;
  if (!few || !column.values.every((value) => Number.isInteger(value) || Number.isNaN(value)))
    return "regression";
  notices.push(
    `target ${JSON.stringify(column.name)} has ${column.distinct} distinct integers, so they are taken for classes ` +
      '(task "regression" takes them for numbers)',
  );
  return "classification";
}

/** What numbers a target may be. */
interface TargetNumbers {
  readonly kind: NumericTask["kind"];
  readonly log: boolean;
}

/** @throws UsageError for the first cell that is a text, infinite, no count, or has no logarithm where one is wanted */
export function requireNumericTarget(
  table: Table,
  column: Column,
  { kind, log }: TargetNumbers,
  isNew = false,
): void {
  requireNumbers(table, column, isNew);
  const refuse = (wrong: (value: number) => boolean, why: string) => {
    const row = column.values.findIndex(wrong);
    if (row >= 0) throw new UsageError(`${table.place(row, column)}: ${column.values[row]} ${why}`);
  };
  if (log) refuse((value) => value <= 0, "has no logarithm (logTarget needs targets above 0)");
  if (kind === "count") refuse((value) => value < 0, 'is no count (task "count" needs targets from 0 on)');
}

function requireClasses(table: Table, column: Column): void {
  if (column.codes) return;
  throw new UsageError(
    `${table.path}: target ${JSON.stringify(column.name)} has more than ${rememberedTexts} distinct numbers, too many ` +
      'for classes (use task "regression")',
  );
}

/** Rows whose targets are all there. */
export function usableRows(table: Table, columns: readonly Column[], kind: TaskKind): Int32Array {
  const missing = columns.map(({ values, codes }) =>
    isNumericKind(kind)
      ? (row: number) => Number.isNaN(values[row])
      : (row: number) => codes![row] === missingCode,
  );
  const rows = new Int32Array(table.rowCount);
  let count = 0;
  for (let row = 0; row < rows.length; row++) {
    if (!missing.some((isMissing) => isMissing(row))) rows[count++] = row;
  }
  return rows.slice(0, count);
}

/** Puts the file's name before a message about its targets. */
function inFile<T>(table: Table, work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw error instanceof UsageError ? new UsageError(`${table.path}: ${error.message}`) : error;
  }
}
