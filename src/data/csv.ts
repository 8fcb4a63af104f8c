/**
 * CSV files: read, split by seed, fitted on the training rows, encoded. The files in csv/ follow the same path:
 * text (bytes to text), rows (text to cells), column and table (cells to columns), inputs, dates, features and outputs
 * (columns to what a network takes); encode takes the rows of another file along it.
 */
import { basename } from "node:path";
import { breathe } from "../breathe.ts";
import { requireOption, UsageError } from "../errors.ts";
import type { FloatDType } from "../tensor.ts";
import { assembleSplit } from "./assemble.ts";
import { fitInputs } from "./csv/inputs.ts";
import { findTargets, fitTargets } from "./csv/outputs.ts";
import { readTable, type TableOptions } from "./csv/table.ts";
import { type DataSplit, type SplitOptions, splitRows, type TaskKind } from "./dataset.ts";
import { ENCODING_FORMAT, type TableEncoding } from "./encoding.ts";

export interface CsvOptions extends SplitOptions {
  /** Column to predict by name, or by index from 0 (−1 is the last, the default); several for regression. */
  readonly target?: string | number | readonly (string | number)[];
  /** Told from the target when absent: a few distinct integers or texts are classes, other numbers are not. */
  readonly task?: TaskKind;
  /** Predict the logarithm of the target, as for prices; default false. */
  readonly logTarget?: boolean;
  /** Columns to leave out. */
  readonly drop?: readonly string[];
  /** Whether the first row names the columns; told from the file when absent. */
  readonly header?: boolean;
  /** Text between the cells, `"tab"`, or `"whitespace"` for runs of spaces; told from the file when absent. */
  readonly delimiter?: string;
  /** Of the inputs and of real targets; default "float32". */
  readonly dtype?: FloatDType;
}

/** What the registry knows about a file and the file does not say. */
export interface CsvHints extends Pick<TableOptions, "missing"> {
  readonly name: string;
  /** Names for the columns of a file known to have no header. */
  readonly columnNames?: readonly string[];
}

/**
 * Reads a CSV file, plain or gzip, and splits it. Scaling, categories and fillings are fitted on the training rows
 * only; the split's `encoding` is what was fitted, for `encodeCsv`.
 *
 * @throws UsageError in one line with file, line and column
 */
export async function loadCsv(path: string, options: CsvOptions = {}, hints?: CsvHints): Promise<DataSplit> {
  const { task, logTarget = false, drop = [], dtype = "float32" } = options;
  requireOption(dtype === "float32" || dtype === "float64", "dtype", dtype, '"float32" or "float64"');
  const name = hints?.name ?? basename(path).replace(/(\.(csv|tsv|txt|data))?(\.gz)?$/i, "");
  const table = await readTable(path, { header: options.header, delimiter: options.delimiter, ...hints });
  const dropped = drop.map((key) => table.column(key));
  const targets = findTargets(table, options.target ?? -1);
  const both = targets.find((column) => dropped.includes(column));
  if (both) throw new UsageError(`column ${JSON.stringify(both.name)} is both the target and dropped`);
  const notices = [...table.notices];
  const { usable, fit } = fitTargets(table, targets, { task, logTarget }, notices);
  await breathe();
  const split = splitRows(usable.length, path, options);
  const rows = {
    training: split.training.map((index) => usable[index]),
    validation: split.validation.map((index) => usable[index]),
  };
  const rest = table.columns.filter((column) => !targets.includes(column) && !dropped.includes(column));
  await breathe();
  const encoder = fit(rows.training);
  const inputs = await fitInputs(table, rest, rows.training, notices);
  const encoding: TableEncoding = {
    ...{ format: ENCODING_FORMAT, name, header: table.header },
    columns: table.columns.map((column) => column.name),
    ...(hints?.missing && { missing: hints.missing }),
    inputs: inputs.map((input) => input.encoding),
    ...{ task: encoder.task, dtype },
  };
  const features = inputs.flatMap((input) => input.features);
  return assembleSplit({ name, rows, features, targets: encoder, dtype, encoding, notices });
}
