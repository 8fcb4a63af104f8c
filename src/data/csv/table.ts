/** A delimited text file as named columns. */
import { nearest, requireOption, UsageError } from "../../errors.ts";
import { Column } from "./column.ts";
import { openRows } from "./rows.ts";

export interface TableOptions {
  /** Whether the first row names the columns; told from the first rows when absent. */
  readonly header?: boolean;
  /** Text between the cells, `"tab"`, or `"whitespace"` for runs of spaces; told from the first rows when absent. */
  readonly delimiter?: string;
  /** Names for the columns of a file known to have no header. */
  readonly columnNames?: readonly string[];
  /** By column name: texts that mean "missing" there, besides the empty cell, NA, N/A, NaN, null and ?. */
  readonly missing?: Readonly<Record<string, readonly string[]>>;
}

/** Columns of equal length, and where their rows stand in the file. */
export class Table {
  readonly path: string;
  readonly columns: readonly Column[];
  readonly notices: readonly string[];
  readonly #lines: readonly number[];

  constructor(
    path: string,
    columns: readonly Column[],
    lines: readonly number[],
    notices: readonly string[],
  ) {
    this.path = path;
    this.columns = columns;
    this.#lines = lines;
    this.notices = notices;
  }

  get rowCount(): number {
    return this.#lines.length;
  }

  /** `weather.csv line 17, column "Humidity"`. */
  place(row: number, column: Column): string {
    return `${this.path} line ${this.#lines[row]}, column ${JSON.stringify(column.name)}`;
  }

  /**
   * A column by name, or by index from 0 (negative ones count from the end).
   *
   * @throws UsageError with the nearest name
   */
  column(key: string | number): Column {
    const found =
      typeof key === "number" ? this.columns.at(key) : this.columns.find((column) => column.name === key);
    if (found) return found;
    const names = this.columns.map((column) => column.name);
    const near = typeof key === "string" ? nearest(key, names) : undefined;
    const shown = names.slice(0, 12).join(", ") + (names.length > 12 ? `, … (${names.length} in all)` : "");
    const hint = near ? `did you mean ${JSON.stringify(near)}?` : `its columns: ${shown}`;
    throw new UsageError(`${this.path} has no column ${JSON.stringify(key)}; ${hint}`);
  }
}

/**
 * Reads a delimited text file, plain or gzip. Where semicolons are the delimiter, `1,5` is a number as `1.5` is.
 *
 * @throws UsageError in one line with file and line: no such file, not text, empty, a header alone, rows of unequal length
 */
export async function readTable(path: string, options: TableOptions = {}): Promise<Table> {
  const source = await openRows(path, options.delimiter);
  const [first] = source.sample;
  if (first.length < 2) {
    throw new UsageError(
      `${path} has one column and at least two are needed, an input and a target (is the delimiter ` +
        `${JSON.stringify(source.delimiter)} right?)`,
    );
  }
  const header = options.header ?? (options.columnNames === undefined && hasHeader(source.sample));
  const notices = [...source.notices];
  const names = columnNames(first, header, options.columnNames, notices);
  const decimalComma = source.delimiter === ";";
  const columns = names.map((name) => new Column(name, options.missing?.[name], decimalComma));
  const lines: number[] = [];
  let skip = header ? 1 : 0;
  for await (const block of source.blocks()) {
    block.rows.forEach((row, index) => {
      if (skip > 0) {
        skip--;
        return;
      }
      if (row.length !== columns.length) {
        throw new UsageError(
          `${path} line ${block.lines[index]} has ${row.length} ${row.length === 1 ? "cell" : "cells"} and the ${header ? "header" : "first row"} ` +
            `${columns.length} (mend the line; a cell that contains the delimiter must be in quotes)`,
        );
      }
      lines.push(block.lines[index]);
      for (let column = 0; column < columns.length; column++) columns[column].push(row[column]);
    });
  }
  if (lines.length === 0) throw new UsageError(`${path} has a header and no rows`);
  return new Table(path, columns, lines, notices);
}

const isNumber = (cell: string) => cell.trim() !== "" && Number.isFinite(Number(cell.replace(",", ".")));

/**
 * Whether the first row names the columns: it holds no number, and some column below is numeric or no name of
 * the first row comes again below it.
 */
function hasHeader(sample: readonly (readonly string[])[]): boolean {
  const [first, ...below] = sample;
  if (first.some(isNumber)) return false;
  const numeric = first.some(
    (_, column) => below.length > 0 && below.every((row) => isNumber(row[column] ?? "")),
  );
  return numeric || !first.some((name, column) => below.some((row) => row[column] === name));
}

function columnNames(
  first: readonly string[],
  header: boolean,
  given: readonly string[] | undefined,
  notices: string[],
): readonly string[] {
  if (given) {
    const must = `${first.length} names, one per column`;
    requireOption(given.length === first.length, "columnNames", given.length, must);
    return given;
  }
  const names: string[] = [];
  first.forEach((cell, index) => {
    const name = header ? cell.trim() || `unnamed ${index + 1}` : `column ${index + 1}`;
    let unique = name;
    for (let copy = 2; names.includes(unique); copy++) unique = `${name} (${copy})`;
    if (unique !== name) notices.push(`two columns are named "${name}"; one is called "${unique}" here`);
    names.push(unique);
  });
  return names;
}
