/** One column of a table as it is read: its numbers, and its distinct texts as long as they are few or needed. */

const missingTexts = new Set(["", "na", "n/a", "nan", "null", "?"]);
const infiniteText = /^[+-]?inf(inity)?$/i;
const numberText = /^[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?$/i;

/** A column of numbers alone with more distinct texts than this no longer remembers them. */
export const rememberedTexts = 1000;

/** The code of a cell with nothing in it. */
export const missingCode = -1;

/** A text in a row. */
export interface Stray {
  readonly row: number;
  readonly text: string;
}

/**
 * Cells are kept twice: as float64 numbers (NaN for missing cells and texts) and as codes into the list of distinct
 * texts. The list also saves work, as a cell seen before need not be read as a number again.
 */
export class Column {
  readonly name: string;
  /** Distinct texts by code; empty when no longer remembered. */
  readonly texts: string[] = [];
  /** Texts that are no numbers, with their first row; in a column that no longer remembers texts, all of them. */
  readonly strays: Stray[] = [];
  /** How many cells are numbers (infinite ones included), texts, and missing. */
  readonly counts = { numbers: 0, texts: 0, missing: 0 };
  /** Rows with a number that is not finite. */
  readonly infinite: number[] = [];
  readonly #missing: ReadonlySet<string>;
  readonly #decimalComma: boolean;
  readonly #keepsTexts: boolean;
  readonly #numbers: number[] = [];
  #codeOf: Map<string, number> | undefined = new Map();
  #values = new Float64Array(1024);
  #codes: Int32Array | undefined = new Int32Array(1024);
  #length = 0;

  /**
   * @param missing further texts that mean "missing" in this column
   * @param decimalComma whether `1,5` is a number
   * @param keepsTexts whether texts are remembered however many there are
   */
  constructor(name: string, missing: readonly string[] = [], decimalComma = false, keepsTexts = false) {
    this.name = name;
    this.#missing = new Set(missing);
    this.#decimalComma = decimalComma;
    this.#keepsTexts = keepsTexts;
  }

  get length(): number {
    return this.#length;
  }

  /** Number of each row, NaN where there is none. */
  get values(): Float64Array {
    return this.#values.subarray(0, this.#length);
  }

  /** Index into {@link texts} of each row, or {@link missingCode}; undefined when no longer remembered. */
  get codes(): Int32Array | undefined {
    return this.#codes?.subarray(0, this.#length);
  }

  /** Number of distinct cells that are not missing; Infinity when no longer remembered. */
  get distinct(): number {
    return this.#codes ? this.texts.length : Number.POSITIVE_INFINITY;
  }

  push(cell: string): void {
    const row = this.#length++;
    if (row === this.#values.length) this.#grow();
    let code = this.#codeOf?.get(cell);
    if (code === undefined) {
      const text = cell.trim();
      if (!this.#keepsTexts && this.texts.length === rememberedTexts && this.strays.length === 0)
        this.#forget();
      if (!this.#codeOf) {
        this.#values[row] = this.#read(text, row);
        return;
      }
      code = this.#learn(text, row);
      this.#codeOf.set(cell, code);
    }
    const value = code === missingCode ? Number.NaN : this.#numbers[code];
    this.#values[row] = value;
    if (this.#codes) this.#codes[row] = code;
    this.#count(code === missingCode, value, row);
  }

  /** Code of a text: the one it has, or a new one. */
  #learn(text: string, row: number): number {
    if (this.#isMissing(text)) return missingCode;
    const known = this.#codeOf!.get(text);
    if (known !== undefined) return known;
    const value = this.#parse(text);
    if (Number.isNaN(value)) this.strays.push({ row, text });
    this.#numbers.push(value);
    this.#codeOf!.set(text, this.texts.length);
    return this.texts.push(text) - 1;
  }

  /** Number of a cell in a column that no longer remembers texts. */
  #read(text: string, row: number): number {
    const missing = this.#isMissing(text);
    const value = missing ? Number.NaN : this.#parse(text);
    if (!missing && Number.isNaN(value)) this.strays.push({ row, text });
    this.#count(missing, value, row);
    return value;
  }

  #count(missing: boolean, value: number, row: number): void {
    if (missing) this.counts.missing++;
    else if (Number.isNaN(value)) this.counts.texts++;
    else {
      this.counts.numbers++;
      if (value === Number.POSITIVE_INFINITY || value === Number.NEGATIVE_INFINITY) this.infinite.push(row);
    }
  }

  #parse(text: string): number {
    return parseNumber(this.#decimalComma ? text.replace(",", ".") : text);
  }

  #isMissing(text: string): boolean {
    return (text.length <= 4 && missingTexts.has(text.toLowerCase())) || this.#missing.has(text);
  }

  #forget(): void {
    this.#codeOf = undefined;
    this.#codes = undefined;
    this.texts.length = 0;
  }

  #grow(): void {
    const values = new Float64Array(2 * this.#values.length);
    values.set(this.#values);
    this.#values = values;
    if (!this.#codes) return;
    const codes = new Int32Array(values.length);
    codes.set(this.#codes);
    this.#codes = codes;
  }
}

/** A decimal number or an infinity; NaN for anything else. */
function parseNumber(text: string): number {
  if (numberText.test(text)) return Number(text);
  return infiniteText.test(text)
    ? text.startsWith("-")
      ? Number.NEGATIVE_INFINITY
      : Number.POSITIVE_INFINITY
    : Number.NaN;
}
