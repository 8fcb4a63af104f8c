/** Reads the texts of the command line; every function throws a UsageError that names the option. */
import type { Augmentation } from "../data/index.ts";
import { requireOption, UsageError } from "../errors.ts";

type Parser<T> = (text: string) => T;

export function positiveInteger(flag: string): Parser<number> {
  return (text) => {
    const value = toNumber(text);
    requireOption(Number.isSafeInteger(value) && value > 0, flag, text, "a positive integer");
    return value;
  };
}

/** A positive integer, or `all`. */
export function countOrAll(flag: string): Parser<number | "all"> {
  return (text) => {
    if (text === "all") return text;
    const value = toNumber(text);
    requireOption(Number.isSafeInteger(value) && value > 0, flag, text, "a positive integer, or all");
    return value;
  };
}

export function integer(flag: string): Parser<number> {
  return (text) => {
    const value = toNumber(text);
    requireOption(Number.isSafeInteger(value), flag, text, "an integer");
    return value;
  };
}

/** A finite number; what range it must be in, the engine knows. */
export function number(flag: string): Parser<number> {
  return (text) => {
    const value = toNumber(text);
    requireOption(Number.isFinite(value), flag, text, "a number");
    return value;
  };
}

export function positiveNumber(flag: string): Parser<number> {
  return (text) => {
    const value = toNumber(text);
    requireOption(Number.isFinite(value) && value > 0, flag, text, "a number > 0");
    return value;
  };
}

export function oneOf<T extends string>(flag: string, choices: readonly T[]): Parser<T> {
  return (text) => {
    requireOption((choices as readonly string[]).includes(text), flag, text, choices.join(" | "));
    return text as T;
  };
}

/** `crop,flip` → { crop: 4, flip: true }; `crop=2` for another number of pixels. */
export function augmentation(text: string): Augmentation {
  const parts = text.split(",").map((part) => {
    const [, kind, pixels] = /^(crop|flip)(?:=(\d+))?$/.exec(part.trim()) ?? [];
    const valid = kind === "crop" ? Number(pixels) !== 0 : kind === "flip" && pixels === undefined;
    requireOption(valid, "--augment", text, "crop, crop=<pixels>, flip, or both, separated by a comma");
    return kind === "crop" ? { crop: Number(pixels ?? USUAL_CROP) } : { flip: true };
  });
  return Object.assign({}, ...parts);
}

/** Pixels that CIFAR's images are usually padded by. */
const USUAL_CROP = 4;

/** `16,32,64` → [16, 32, 64]. */
export function positiveIntegers(flag: string): Parser<number[]> {
  return (text) => {
    const values = text.split(",").map(toNumber);
    const valid = values.every((value) => Number.isSafeInteger(value) && value > 0);
    requireOption(valid, flag, text, "positive integers, separated by commas");
    return values;
  };
}

/** `32,16` → [32, 16]; `none` → []. */
export function hiddenLayers(text: string): number[] {
  if (text === "none") return [];
  const sizes = text.split(",").map(toNumber);
  const valid = sizes.every((size) => Number.isSafeInteger(size) && size > 0);
  requireOption(valid, "--hidden", text, "sizes of layers such as 32,16, or none");
  return sizes;
}

/** `sgd,adam` → ["sgd", "adam"], added to what earlier uses of the option gave. */
export function commaSeparated(text: string, previous: readonly string[] = []): string[] {
  const words = text.split(",").map((word) => word.trim());
  return [...previous, ...words.filter((word) => word !== "")];
}

/** A column by name, or by index where the text is an integer; added to those before. */
export function column(text: string, previous: readonly (string | number)[] = []): (string | number)[] {
  return [...previous, /^-?\d+$/.test(text) ? Number(text) : text];
}

/** An option of an optimizer: of one method, or of every method that takes it. */
export interface Assignment {
  readonly method?: string;
  readonly key: string;
  readonly value: unknown;
}

/** `momentum=0.9`, `tengrad.refreshEvery=10`, `damping={"policy":"levenberg-marquardt","initial":1}`; repeatable. */
export function assignment(flag: string) {
  return (text: string, previous: readonly Assignment[] = []): Assignment[] => {
    const match = /^(?:(\w+)\.)?(\w+)=(.*)$/s.exec(text);
    if (!match) throw new UsageError(`invalid ${flag}: ${JSON.stringify(text)} (must be key=value)`);
    const [, method, key, value] = match;
    return [...previous, { method, key, value: parseValue(value) }];
  };
}

/** JSON where it is JSON, a word otherwise. */
function parseValue(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

/** NaN for a text that is no number; `Number` would take an empty one for 0. */
function toNumber(text: string): number {
  return text.trim() === "" ? Number.NaN : Number(text);
}
