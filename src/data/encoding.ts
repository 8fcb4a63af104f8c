/** How the columns of a table became the numbers of a network: all that it takes to encode other rows alike. */
import type { FloatDType } from "../tensor.ts";
import type { Task } from "./dataset.ts";

export const ENCODING_FORMAT = "natgrad encoding 1";

/** What was fitted on the training rows of a table; it is plain JSON. */
export interface TableEncoding {
  readonly format: typeof ENCODING_FORMAT;
  /** Of the dataset. */
  readonly name: string;
  /** Whether the first row of a file names the columns. */
  readonly header: boolean;
  /** Names of all columns of the file fitted on, in its order. */
  readonly columns: readonly string[];
  /** By column name: texts that mean "missing" there, besides those that always do. */
  readonly missing?: Readonly<Record<string, readonly string[]>>;
  /** In the order of the input numbers. */
  readonly inputs: readonly InputEncoding[];
  /** Names of the target columns; their scaling, or their classes. */
  readonly task: Task;
  /** Of the inputs and of real targets. */
  readonly dtype: FloatDType;
}

export type InputEncoding = NumberEncoding | CategoryEncoding | DateEncoding;

/** One input number, (value − mean) / deviation; a missing value is the mean. */
export interface NumberEncoding {
  readonly kind: "number";
  readonly column: string;
  readonly mean: number;
  readonly deviation: number;
}

/** One input number a category, 1 where the cell is that text; a missing cell, or another text, is none of them. */
export interface CategoryEncoding {
  readonly kind: "category";
  readonly column: string;
  readonly categories: readonly string[];
}

/** One input number a part of the date, scaled as a number is. */
export interface DateEncoding {
  readonly kind: "date";
  readonly column: string;
  readonly parts: readonly {
    readonly name: string;
    readonly mean: number;
    readonly deviation: number;
  }[];
}

/** One name per input number. */
export function inputNamesOf({ inputs }: Pick<TableEncoding, "inputs">): string[] {
  return inputs.flatMap(namesOf);
}

function namesOf(input: InputEncoding): readonly string[] {
  const { column } = input;
  switch (input.kind) {
    case "number":
      return [column];
    case "category":
      return input.categories.map((category) => `${column} = ${category}`);
    case "date":
      return input.parts.map(({ name }) => `${column} (${name})`);
  }
}
