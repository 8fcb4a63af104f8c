/** A delimited text file as named columns. */
import { nearest, requireOption, UsageError } from "../../errors.ts";
import { Column } from "./column.ts";
import { openRows } from "./rows.ts";

export interface TableOptions {
  /** Whether the first row names the columns; told from the first rows when absent. */
  readonly header?: boolean;
  /** Text between the cells, `"tab"`, or `"whitespace"` for runs of spaces; told from the first rows when absent. */
  readonly delimiter?: string;
  /** Names for the columns of a file known to have no header, or what gives them for so many columns. */
  readonly columnNames?: readonly string[] | ((count: number) => readonly string[]);
  /** By column name: texts that mean "missing" there, besides the empty cell, NA, N/A, NaN, null and ?. */
  readonly missing?: Readonly<Record<string, readonly string[]>>;
  /** Names of columns whose texts are remembered however many there are. */
  readonly texts?: readonly string[];
  /** Default 2: an input and a target. */
  readonly fewestColumns?: number;
}

/** Columns of equal length, and where their rows stand in the file. */
export class Table {
  readonly path: string;
  readonly columns: readonly Column[];
  /** Whether the first row of the file named the columns. */
  readonly header: boolean;
  readonly notices: readonly string[];
  readonly #lines: readonly number[];

  /** @param lines of the file, from 1, on which each row begins */
  constructor(
    { path, columns, header, notices }: Pick<Table, "path" | "columns" | "header" | "notices">,
    lines: readonly number[],
  ) {
    this.path = path;
    this.columns = columns;
    this.header = header;
    this.notices = notices;
    this.#lines = lines;
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
   * @param others names that are not meant when this one is missing
   * @throws UsageError with the nearest name
   */
  column(key: string | number, others: readonly string[] = []): Column {
    const found =
      typeof key === "number" ? this.columns.at(key) : this.columns.find((column) => column.name === key);
    if (found) return found;
    const names = this.columns.map((column) => column.name);
    const meant = names.filter((name) => !others.includes(name));
    const near = typeof key === "string" ? nearest(key, meant) : undefined;
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
  const { fewestColumns = 2 } = options;
  if (first.length < fewestColumns) {
    throw new UsageError(
      `${path} has one column and at least two are needed, an input and a target (is the delimiter ` +
        `${JSON.stringify(source.delimiter)} right?)`,
    );
  }
  const header = options.header ?? (options.columnNames === undefined && hasHeader(source.sample));
  const notices = [...source.notices];
  const names = columnNames(first, header, options.columnNames, notices);
  const decimalComma = source.delimiter === ";";
  const columns = names.map((name) => {
    return new Column(name, options.missing?.[name], decimalComma, options.texts?.includes(name));
  });
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
  return new Table({ path, columns, header, notices }, lines);
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
  given: TableOptions["columnNames"],
  notices: string[],
): readonly string[] {
  if (typeof given === "function") return given(first.length);
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
