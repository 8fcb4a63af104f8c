/** Rows of another file, encoded as those that an encoding was fitted on. */
import { breathe } from "../../breathe.ts";
import { UsageError } from "../../errors.ts";
import type { Tensor } from "../../tensor.ts";
import { type Dataset, isNumericTask, selectRows, type Task } from "../dataset.ts";
import { type InputEncoding, inputNamesOf, type TableEncoding } from "../encoding.ts";
import { encodeFeatures } from "../features.ts";
import { codedTargets, numericTargets, type TargetEncoder } from "../targets.ts";
import { type Column, missingCode } from "./column.ts";
import { isDate, readDates } from "./dates.ts";
import { categoryColumn, dateColumn, describeFilling, type EncodedColumn, numberColumn } from "./features.ts";
import { requireNumbers } from "./inputs.ts";
import { requireNumericTarget, usableRows } from "./outputs.ts";
import { readTable, type Table, type TableOptions } from "./table.ts";

export interface EncodedRows {
  /** (N, F), every row of the file in its order. */
  readonly inputs: Tensor;
  /** The rows whose targets are known, as a dataset to evaluate on; absent when there are none. */
  readonly known?: Dataset;
  /** What was done to the data, one line each. */
  readonly notices: readonly string[];
}

export type EncodeOptions = Pick<TableOptions, "delimiter">;

/**
 * Encodes the rows of a CSV file, plain or gzip, as the rows trained on were: columns are found by name, further ones do not
 * matter, and target columns may be absent. Of a file without header the columns are those of the file trained on, in its
 * order, with the targets or without. Missing numbers become the training mean; a text that is no category of the training
 * rows is, as in the validation rows, none of them.
 *
 * @throws UsageError in one line with file, line and column
 */
export async function encodeCsv(
  path: string,
  encoding: TableEncoding,
  options: EncodeOptions = {},
): Promise<EncodedRows> {
  const { name, inputs, task, dtype } = encoding;
  const table = await readTable(path, { ...tableOptions(path, encoding), ...options });
  const notices = [...table.notices];
  const encoded: EncodedColumn[] = [];
  for (const input of inputs) {
    const column = table.column(input.column, encoding.columns); // another one of these is not what was meant
    encoded.push(await encodeColumn(table, column, input, notices));
    await breathe();
  }
  const all = Int32Array.from({ length: table.rowCount }, (_, row) => row);
  const features = encoded.flatMap((column) => column.features);
  const rows = { inputs: await encodeFeatures(features, all, dtype), notices };
  const targets = knownTargets(table, task, notices);
  if (!targets || targets.rows.length === 0) return rows;
  const known: Dataset = {
    ...{ name, inputs: rows.inputs, targets: targets.encoder.encode(all, dtype), task, notices },
    inputNames: inputNamesOf(encoding),
  };
  return { ...rows, known: targets.rows.length === all.length ? known : selectRows(known, targets.rows) };
}

function tableOptions(path: string, encoding: TableEncoding): TableOptions {
  const { header, columns, missing, inputs, task } = encoding;
  const texts = inputs.filter(({ kind }) => kind !== "number").map(({ column }) => column);
  const classes = isNumericTask(task) ? [] : task.targetNames;
  const withoutTargets = columns.filter((name) => !task.targetNames.includes(name));
  return {
    ...{ header, missing, texts: [...texts, ...classes], fewestColumns: 1 },
    columnNames: header
      ? undefined
      : (count) => {
          const names = [columns, withoutTargets].find(({ length }) => length === count);
          if (names) return names;
          throw new UsageError(
            `${path} has ${count} columns, and the file trained on, which names none, has ${columns.length} ` +
              `(give as many in the same order, or the ${withoutTargets.length} without the target)`,
          );
        },
  };
}

async function encodeColumn(
  table: Table,
  column: Column,
  encoding: InputEncoding,
  notices: string[],
): Promise<EncodedColumn> {
  switch (encoding.kind) {
    case "number": {
      requireNumbers(table, column, true);
      const { missing } = column.counts;
      if (missing > 0) notices.push(describeFilling(encoding, missing));
      return numberColumn(encoding, column);
    }
    case "category": {
      const unknown = unknownTexts(column, encoding.categories);
      if (unknown) {
        const cells = unknown.cells === 1 ? "1 cell" : `${unknown.cells} cells`;
        notices.push(
          `took ${cells} of column ${JSON.stringify(column.name)} for no category (not trained on: ${unknown.which})`,
        );
      }
      return categoryColumn(encoding, column);
    }
    case "date": {
      const dates = await readDates(column);
      if (dates) return dateColumn(encoding, dates);
      throw notADate(table, column);
    }
  }
}

/** Names the first cell of a column that holds a number, or a text that is no date. */
function notADate(table: Table, column: Column): UsageError {
  const { texts, values, codes } = column;
  const row = codes!.findIndex(
    (code, row) => code !== missingCode && !(Number.isNaN(values[row]) && isDate(texts[code])),
  );
  return new UsageError(
    `${table.place(row, column)}: ${JSON.stringify(texts[codes![row]])} is not a date such as 2006-04-01 ` +
      "(mend it, or leave the cell empty if the date is unknown)",
  );
}

/** How many cells of a column hold texts that are not in `known`, and which: `"fir", "elm"`; nothing when there are none. */
function unknownTexts({ texts, codes }: Column, known: readonly string[]) {
  const isKnown = new Set(known);
  const strange = texts.map((text) => !isKnown.has(text));
  const cells = codes!.reduce((total, code) => total + (code !== missingCode && strange[code] ? 1 : 0), 0);
  if (cells === 0) return undefined;
  const names = texts.filter((_, code) => strange[code]).map((text) => JSON.stringify(text));
  return { cells, which: names.slice(0, 5).join(", ") + (names.length > 5 ? ", …" : "") };
}

interface KnownTargets {
  readonly rows: Int32Array;
  readonly encoder: TargetEncoder;
}

/** The targets in the file and the rows that have them; nothing when a target column is absent. */
function knownTargets(table: Table, task: Task, notices: string[]): KnownTargets | undefined {
  const columns = task.targetNames.map((name) => table.columns.find((column) => column.name === name));
  const found = columns.filter((column) => column !== undefined);
  if (found.length < columns.length) return undefined;
  const usable = usableRows(table, found, task.kind);
  if (isNumericTask(task)) {
    const allowed = { kind: task.kind, log: task.kind === "regression" && task.scaling.log };
    for (const column of found) requireNumericTarget(table, column, allowed, true);
    const values = found.map((column) => column.values);
    return { rows: usable, encoder: numericTargets(task, values) };
  }
  const [column] = found;
  const unknown = unknownTexts(column, task.classNames);
  if (unknown) {
    const rows = unknown.cells === 1 ? "1 row" : `${unknown.cells} rows`;
    notices.push(
      `left ${rows} out of the metrics (classes of ${JSON.stringify(column.name)} not trained on: ${unknown.which})`,
    );
  }
  const classOf = column.texts.map((text) => task.classNames.indexOf(text));
  const codes = column.codes!.map((code) => (code === missingCode ? missingCode : classOf[code]));
  return { rows: usable.filter((row) => codes[row] >= 0), encoder: codedTargets(task, codes) };
}
