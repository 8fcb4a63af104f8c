/** Datasets of images with a training and a test part of their own: a definition is its facts, and how its files are read. */
import { requireOption, UsageError } from "../../errors.ts";
import { fitImageScaling, type ImageScaling, type Pixels } from "../../pixels.ts";
import { type FloatDType, sizeOf } from "../../tensor.ts";
import type { ClassificationTask, DataSplit, Dataset } from "../dataset.ts";
import type { DatasetDefinition, DatasetOptions, Locate } from "../definition.ts";
import { firstImages, type LabelledImages } from "../images/labelled.ts";

export interface ImageSetFacts extends Omit<DatasetDefinition, "load" | "task" | "rows" | "inputs"> {
  /** Images of the whole set, to train and to test. */
  readonly images: readonly [training: number, test: number];
  /** Channels, height, width. */
  readonly imageShape: readonly [number, number, number];
  /** `["gray"]`, `["red", "green", "blue"]`. */
  readonly channelNames: readonly string[];
  readonly classNames: readonly string[];
  read(locate: Locate): Promise<ImageParts>;
}

export interface ImageParts {
  readonly training: LabelledImages;
  readonly test: LabelledImages;
  readonly notices: readonly string[];
}

const foreignOptions = ["target", "logTarget", "drop", "header", "delimiter"] as const;

/**
 * The set's own test images are the validation part. Pixels stay bytes in memory; what they are normalized by, mean and deviation
 * of each channel, is fitted on the training images that are used.
 */
export function imageSet(facts: ImageSetFacts): DatasetDefinition {
  const { images, imageShape, channelNames, classNames, read, ...about } = facts;
  const { name } = about;
  return {
    ...about,
    task: "classification",
    rows: images[0] + images[1],
    inputs: sizeOf(imageShape),
    async load(options: DatasetOptions, locate) {
      const { dtype = "float32" } = options;
      checkOptions(options, name);
      const parts = await read(locate);
      for (const { shape } of [parts.training, parts.test]) requireSize(shape, imageShape, name);
      const available = parts.training.labels.length;
      const { rows = available } = options;
      requireOption(rows <= available, "rows", rows, `at most ${available}, the training images of ${name}`);
      const training = firstImages(parts.training, rows);
      const scaling = fitImageScaling([rows, ...imageShape], training.pixels);
      const notices = [...parts.notices, describe(name, scaling, rows, available)];
      const dataset = (part: LabelledImages): Dataset => ({
        ...{ name, task: taskOf(classNames), imageShape, notices },
        inputs: pixelsOf(part, scaling, dtype),
        targets: { shape: [part.labels.length], data: Int32Array.from(part.labels) },
        inputNames: pixelNames(imageShape, channelNames),
      });
      return { training: dataset(training), validation: dataset(parts.test), notices } satisfies DataSplit;
    },
  };
}

function checkOptions(options: DatasetOptions, name: string): void {
  for (const option of foreignOptions) {
    if (options[option] === undefined) continue;
    throw new UsageError(`${option} is for tables, and ${name} is a set of images`);
  }
  const { task, validation, rows, dtype = "float32" } = options;
  if (validation !== undefined) {
    throw new UsageError(`validation is for data without a test part; ${name} has its own test images`);
  }
  requireOption(
    task === undefined || task === "classification",
    "task",
    task,
    `classification, as ${name} is`,
  );
  requireOption(
    rows === undefined || (Number.isInteger(rows) && rows > 0),
    "rows",
    rows,
    "a positive integer",
  );
  requireOption(dtype === "float32" || dtype === "float64", "dtype", dtype, '"float32" or "float64"');
}

function requireSize(
  [channels, height, width]: readonly number[],
  expected: readonly number[],
  name: string,
): void {
  if (channels === expected[0] && height === expected[1] && width === expected[2]) return;
  throw new UsageError(
    `${name}: its files hold images of ${height} × ${width} pixels (must be ${expected[1]} × ${expected[2]})`,
  );
}

function pixelsOf(
  { shape, pixels, labels }: LabelledImages,
  scaling: ImageScaling,
  dtype: FloatDType,
): Pixels {
  return { shape: [labels.length, ...shape], data: pixels, scaling, dtype };
}

function taskOf(classNames: readonly string[]): ClassificationTask {
  return { kind: "classification", targetNames: ["class"], classNames };
}

function pixelNames([, height, width]: readonly number[], channelNames: readonly string[]): string[] {
  const at = Array.from({ length: height * width }, (_, k) => [Math.floor(k / width), k % width]);
  return channelNames.flatMap((channel) =>
    at.map(([row, column]) => `${channel} row ${row} column ${column}`),
  );
}

/** What was done to the pixels, and to how many images. */
function describe(name: string, { mean, deviation }: ImageScaling, rows: number, available: number): string {
  const list = (values: readonly number[]) => values.map((value) => value.toFixed(4)).join(", ");
  const which =
    rows === available ? `the ${rows} training images` : `the first ${rows} of ${available} training images`;
  return `${name}: pixels normalized by mean ${list(mean)} and deviation ${list(deviation)} (of 0 to 1) of ${which}`;
}
