/** Which columns become inputs and how: numbers, categories and dates; identifiers and constants are left out. */

import { breathe } from "../../breathe.ts";
import { UsageError } from "../../errors.ts";
import { fitScaling } from "../features.ts";
import { type Column, missingCode } from "./column.ts";
import { datePartNames, readDates } from "./dates.ts";
import { categoryColumn, dateColumn, describeFilling, type EncodedColumn, numberColumn } from "./features.ts";
import type { Table } from "./table.ts";

const keepingAdvice = "mend it, or leave the cell empty if the value is unknown";
/** A text column with more categories than this is left out. */
const mostCategories = 50;
const identifierNames: readonly RegExp[] = [
  /^(id|uuid|guid|key|index|row|row ?(id|number)|unnamed:? \d+)$/i,
  /[ _-]id$/i,
  /[a-z]I[dD]$/,
];

/**
 * Fits every input column on the training rows.
 *
 * Numbers are standardized, missing ones filled with the training mean. Texts become one column of zeros and ones per
 * category of the training rows; a missing cell, and a category that only validation rows have, has no one in it.
 * Dates become numbers. What is left out or filled is said in `notices`.
 *
 * @throws UsageError for a text or an infinity in a numeric column, and when no input is left
 */
export async function fitInputs(
  table: Table,
  columns: readonly Column[],
  training: Int32Array,
  notices: string[],
): Promise<readonly EncodedColumn[]> {
  const encoded: EncodedColumn[] = [];
  for (const column of columns) {
    const one = await fitColumn(table, column, training, notices);
    if (one) encoded.push(one);
    await breathe();
  }
  if (encoded.length === 0) {
    throw new UsageError(
      `${table.path} has no usable input column (${notices.join("; ") || "only the target"})`,
    );
  }
  return encoded;
}

async function fitColumn(
  table: Table,
  column: Column,
  training: Int32Array,
  notices: string[],
): Promise<EncodedColumn | undefined> {
  const leaveOut = (why: string): undefined => {
    notices.push(`left out column ${JSON.stringify(column.name)}: ${why}`);
  };
  const present = column.length - column.counts.missing;
  if (present === 0) return leaveOut("empty");
  if (column.counts.texts === 0 || isMeantNumeric(column)) {
    requireNumbers(table, column);
    if (isIdentifier(column)) return leaveOut("an identifier");
    return fitNumbers(column, training, notices) ?? leaveOut("constant");
  }
  const dates = await readDates(column);
  if (dates) return fitDates(column, dates, training, notices);
  if (column.distinct === present) return leaveOut("an identifier (every text is different)");
  if (column.distinct > mostCategories) {
    const count = Number.isFinite(column.distinct) ? column.distinct : "very many";
    return leaveOut(`${count} different texts (at most ${mostCategories} become categories)`);
  }
  return fitCategories(column, training) ?? leaveOut("constant");
}

function fitNumbers(column: Column, training: Int32Array, notices: string[]): EncodedColumn | undefined {
  const { mean, deviation } = fitScaling(column.values, training);
  if (!(deviation > 0)) return undefined;
  const encoding = { kind: "number", column: column.name, mean, deviation } as const;
  const { missing } = column.counts;
  if (missing > 0) notices.push(describeFilling(encoding, missing));
  return numberColumn(encoding, column);
}

function fitDates(
  { name }: Column,
  dates: readonly Float64Array[],
  training: Int32Array,
  notices: string[],
): EncodedColumn | undefined {
  const parts = dates
    .map((values, part) => ({ ...fitScaling(values, training), name: datePartNames[part] }))
    .filter(({ deviation }) => deviation !== 0)
    .map(({ name, mean, deviation }) => ({ name, mean, deviation }));
  const shown = new Set(parts.map((part) => part.name.split(" ")[0]));
  notices.push(
    `turned the dates of column ${JSON.stringify(name)} into ${[...shown].join(", ") || "nothing: constant"}`,
  );
  return parts.length > 0 ? dateColumn({ kind: "date", column: name, parts }, dates) : undefined;
}

/** Categories of the training rows in alphabetical order; those of other rows are none of them. */
function fitCategories(column: Column, training: Int32Array): EncodedColumn | undefined {
  const codes = column.codes!;
  const seen = new Set<number>();
  for (const row of training) seen.add(codes[row]);
  if (seen.size < 2) return undefined;
  seen.delete(missingCode);
  const categories = [...seen].map((code) => column.texts[code]).sort(compareTexts);
  return categoryColumn({ kind: "category", column: column.name, categories }, column);
}

/** Whether the few texts among many numbers are slips, so that the column was meant to be numeric. */
export function isMeantNumeric(column: Column): boolean {
  const { numbers, texts } = column.counts;
  if (texts >= numbers) return false;
  const share = texts / (numbers + texts);
  const distinctTexts = new Set(column.strays.map((stray) => stray.text)).size;
  const manyNumbers = column.distinct - distinctTexts > 20;
  return texts === 1 || share <= 0.01 || (manyNumbers && (share <= 0.1 || distinctTexts <= 3));
}

/**
 * @param isNew whether the table is not the one trained on, so that no column of it can be dropped
 * @throws UsageError naming file, line and column of the first cell that is a text or infinite
 */
export function requireNumbers(table: Table, column: Column, isNew = false): void {
  const [stray] = column.strays;
  const infinite = column.infinite[0] ?? Number.POSITIVE_INFINITY;
  if (stray && stray.row < infinite) {
    throw new UsageError(
      `${table.place(stray.row, column)}: ${JSON.stringify(stray.text)} is not a number (` +
        (isNew
          ? keepingAdvice
          : "mend it, leave the cell empty if the value is unknown, or drop the column") +
        ")",
    );
  }
  if (column.infinite.length > 0) {
    const value = column.values[infinite];
    throw new UsageError(`${table.place(infinite, column)}: ${value} is not finite (${keepingAdvice})`);
  }
}

/** A column named like an identifier, with integers of which more than half are different. */
function isIdentifier({ name, values }: Column): boolean {
  if (!identifierNames.some((pattern) => pattern.test(name))) return false;
  return values.every((value) => Number.isInteger(value)) && new Set(values).size > values.length / 2;
}

/** Numbers by value, then texts by their characters: an order that does not depend on the machine's language. */
export function compareTexts(a: string, b: string): number {
  return Number(a) - Number(b) || (a < b ? -1 : a > b ? 1 : 0);
}
