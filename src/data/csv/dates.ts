/** Dates as numbers: the year with its fraction, and the season and the hour as points on a circle. */
import { breathe } from "../../breathe.ts";
import type { Column } from "./column.ts";

const datePattern =
  /^(\d{4})([-/.]?)(\d{2})\2(\d{2})(?:[T ]+(\d{2}):?(\d{2})(?::?(\d{2})(?:[.,]\d+)?)?)?\s*(?:Z|UTC|[+-]\d{2}:?\d{2})?$/i;

export const datePartNames: readonly string[] = [
  "year",
  "season sine",
  "season cosine",
  "hour sine",
  "hour cosine",
];
const textsPerTurn = 4096;

export function isDate(text: string): boolean {
  return datePattern.test(text);
}

/**
 * The values of each of {@link datePartNames}, row by row, when every text of a column is a date written from the
 * year down (`2006-04-01 00:00:00.000 +0200`, `20141013T000000`, `2006/04/01`); otherwise undefined. Eight bare digits
 * are a number, not a date. The time of day is the one written down; its offset from UTC is ignored, as hours and
 * seasons are local.
 */
export async function readDates(column: Column): Promise<readonly Float64Array[] | undefined> {
  const { texts, codes } = column;
  if (column.counts.numbers > 0 || !codes) return undefined;
  const perText = datePartNames.map(() => new Float64Array(texts.length));
  for (let code = 0; code < texts.length; code++) {
    const match = datePattern.exec(texts[code]);
    if (!match) return undefined;
    const parts = partsOf(match);
    for (let part = 0; part < parts.length; part++) perText[part][code] = parts[part];
    if (code % textsPerTurn === textsPerTurn - 1) await breathe();
  }
  return perText.map((values) => {
    const perRow = new Float64Array(codes.length);
    for (let row = 0; row < codes.length; row++) perRow[row] = values[codes[row]] ?? Number.NaN;
    return perRow;
  });
}

function partsOf([, year, , month, day, hour = "0", minute = "0", second = "0"]: RegExpExecArray): number[] {
  const midnight = (Date.UTC(+year, +month - 1, +day) - Date.UTC(+year, 0, 1)) / 86_400_000;
  const hours = +hour + +minute / 60 + +second / 3600;
  const days = midnight + hours / 24;
  const season = (2 * Math.PI * days) / 365.25;
  const time = (2 * Math.PI * hours) / 24;
  return [+year + days / 365.25, Math.sin(season), Math.cos(season), Math.sin(time), Math.cos(time)];
}
