/** From text to rows of cells: the delimiter, the rows, and the line each row begins on. */
import Papa from "papaparse";
import { breathe } from "../../breathe.ts";
import { requireOption, UsageError } from "../../errors.ts";
import { readText } from "./text.ts";

/** Runs of spaces and tabs between the columns, as in aligned tables. */
export const whitespace = "whitespace";

const namedDelimiters: Readonly<Record<string, string>> = {
  tab: "\t",
  "\\t": "\t",
  " ": whitespace,
  space: whitespace,
};
const sampleRows = 200;
/** A row longer than this is taken for a quote that is never closed. */
const longestRow = 1 << 24;

/** Some rows that follow each other, with the line (from 1) on which each begins. */
export interface RowBlock {
  readonly rows: readonly (readonly string[])[];
  readonly lines: ArrayLike<number>;
}

export interface RowSource {
  /** The delimiter given or found. */
  readonly delimiter: string;
  /** The first rows, from which the header and the delimiter are told. */
  readonly sample: readonly (readonly string[])[];
  readonly notices: readonly string[];
  /** All rows in order, blank lines left out; gives way to the event loop between blocks. */
  blocks(): AsyncGenerator<RowBlock>;
}

/**
 * Opens a delimited text file.
 *
 * @param delimiter any text, `"tab"`, or `"whitespace"` for runs of spaces; found from the first lines when absent
 * @throws UsageError when the file is empty, is no text, or its quotes do not match
 */
export async function openRows(path: string, delimiter?: string): Promise<RowSource> {
  const given = delimiter === undefined ? undefined : (namedDelimiters[delimiter] ?? delimiter);
  requireOption(
    given === undefined || /^[^"\r\n]+$/.test(given),
    "delimiter",
    delimiter,
    "a text without quotes",
  );
  const file = await readText(path);
  const start = firstText(file.pieces());
  if (start.trim() === "") throw new UsageError(`${path} is empty`);
  const used = given ?? guessDelimiter(start);
  const sample: (readonly string[])[] = [];
  for (const { rows } of parse(file.pieces(), used, path)) {
    sample.push(...rows.slice(0, sampleRows - sample.length));
    if (sample.length === sampleRows) break;
  }
  return {
    delimiter: used,
    sample,
    notices: file.notices,
    async *blocks() {
      for (const block of parse(file.pieces(), used, path)) {
        yield block;
        await breathe();
      }
    },
  };
}

/** The first piece that is not blank, or the text of a file that is blank throughout. */
function firstText(pieces: Iterable<string>): string {
  let text = "";
  for (const piece of pieces) {
    text += piece;
    if (text.trim() !== "") break;
  }
  return text;
}

/**
 * The first delimiter that cuts the first lines into equally many cells: the comma comes late, as it may be the decimal
 * sign between others. Failing that papaparse's guess, so that a file with one bad row is still read up to that row.
 */
function guessDelimiter(text: string): string {
  const lines = text.split("\n", 50).filter((line) => line.trim() !== "");
  const sample = lines.slice(0, 20).join("\n");
  const isEven = (rows: readonly (readonly string[])[]) =>
    rows[0].length > 1 && rows.every((row) => row.length === rows[0].length);
  const even = ["\t", ";", "|", ","].find((delimiter) =>
    isEven(Papa.parse<string[]>(sample, { delimiter, skipEmptyLines: true }).data),
  );
  if (even) return even;
  if (isEven(lines.slice(0, 20).map(splitRuns))) return whitespace;
  return Papa.parse(sample).meta.delimiter;
}

function splitRuns(line: string): string[] {
  return line.trim().split(/\s+/);
}

/** Cuts the text into blocks of whole rows; what a piece ends with waits for the next piece. */
function* parse(pieces: Iterable<string>, delimiter: string, path: string): Generator<RowBlock> {
  let rest = "";
  let line = 1;
  function take(last: boolean): RowBlock {
    const { rows, consumed, faults } =
      delimiter === whitespace ? cutRuns(rest, last) : cut(rest, delimiter, last);
    const newlines = countNewlines(rest, consumed);
    const lines = beginnings(rows, line, newlines > rows.length - (last ? 1 : 0));
    if (faults.length > 0) {
      throw new UsageError(
        `${path} line ${lines[faults[0]]}: the quotes do not match (a quoted cell ends with a quote before the ` +
          "delimiter; write a quote inside it twice)",
      );
    }
    line += newlines;
    rest = rest.slice(consumed);
    return withoutBlankLines(rows, lines);
  }
  for (const piece of pieces) {
    rest += piece;
    yield take(false);
    if (rest.length > longestRow) {
      throw new UsageError(`${path} line ${line}: the row never ends (is a quote left open?)`);
    }
  }
  if (rest !== "") yield take(true);
}

interface Cut {
  readonly rows: string[][];
  /** Characters that the rows take up, line ends included. */
  readonly consumed: number;
  /** Rows whose quotes do not match. */
  readonly faults: readonly number[];
}

/** By papaparse's low-level parser, which leaves out an unfinished last row and says where it begins. */
function cut(text: string, delimiter: string, last: boolean): Cut {
  const parser = new Papa.Parser({ delimiter, newline: "\n" });
  const { data, errors, meta }: Papa.ParseResult<string[]> = parser.parse(text, 0, !last);
  const faults = errors.map((error) => error.row ?? 0).filter((row) => row < data.length);
  return { rows: data, consumed: last ? text.length : meta.cursor, faults };
}

function cutRuns(text: string, last: boolean): Cut {
  const consumed = last ? text.length : text.lastIndexOf("\n") + 1;
  const lines = text.slice(0, consumed).split("\n");
  if (!last) lines.pop();
  return { rows: lines.map(splitRuns), consumed, faults: [] };
}

function beginnings(rows: readonly string[][], first: number, severalLines: boolean): Int32Array {
  const lines = new Int32Array(rows.length);
  let line = first;
  for (let row = 0; row < rows.length; row++) {
    lines[row] = line++;
    if (severalLines) for (const cell of rows[row]) line += countNewlines(cell, cell.length);
  }
  return lines;
}

function withoutBlankLines(rows: string[][], lines: Int32Array): RowBlock {
  const blank = (row: readonly string[]) => row.length === 1 && row[0].trim() === "";
  if (!rows.some(blank)) return { rows, lines };
  return { rows: rows.filter((row) => !blank(row)), lines: lines.filter((_, index) => !blank(rows[index])) };
}

function countNewlines(text: string, end: number): number {
  let count = 0;
  for (let at = text.indexOf("\n"); at >= 0 && at < end; at = text.indexOf("\n", at + 1)) count++;
  return count;
}
