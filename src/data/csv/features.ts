/** From a column and what was fitted on it to input numbers: the same for the rows trained on and for others. */
import type { CategoryEncoding, DateEncoding, InputEncoding, NumberEncoding } from "../encoding.ts";
import { inputNamesOf } from "../encoding.ts";
import { type Feature, indicatorFeature, standardizedFeature } from "../features.ts";
import { type Column, missingCode } from "./column.ts";
import { datePartNames } from "./dates.ts";

/** A column's encoding, and the input columns that it makes of the column's rows. */
export interface EncodedColumn {
  readonly encoding: InputEncoding;
  readonly features: readonly Feature[];
}

export function numberColumn(encoding: NumberEncoding, { values }: Column): EncodedColumn {
  return { encoding, features: [standardizedFeature(encoding.column, values, encoding)] };
}

/** @param column one that remembers its texts */
export function categoryColumn(encoding: CategoryEncoding, column: Column): EncodedColumn {
  const positions = new Map(encoding.categories.map((category, index) => [category, index]));
  const position = column.texts.map((text) => positions.get(text) ?? missingCode);
  const codes = column.codes!.map((code) => (code === missingCode ? missingCode : position[code]));
  return { encoding, features: [indicatorFeature(inputNamesOf({ inputs: [encoding] }), codes)] };
}

/** @param dates the values of every part, as `readDates` gives them */
export function dateColumn(encoding: DateEncoding, dates: readonly Float64Array[]): EncodedColumn {
  const names = inputNamesOf({ inputs: [encoding] });
  const features = encoding.parts.map((part, index) =>
    standardizedFeature(names[index], dates[datePartNames.indexOf(part.name)], part),
  );
  return { encoding, features };
}

/** What is said of missing numbers. */
export function describeFilling({ column, mean }: NumberEncoding, missing: number): string {
  return (
    `filled ${missing} missing ${missing === 1 ? "value" : "values"} of column ${JSON.stringify(column)} ` +
    `with the training mean ${+mean.toPrecision(5)}`
  );
}
