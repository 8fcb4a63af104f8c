/** Tasks that are drawn from a seed and need no file. */
import { requireOption, UsageError } from "../../errors.ts";
import { Random } from "../../random.ts";
import { assembleSplit } from "../assemble.ts";
import { splitRows } from "../dataset.ts";
import type { DatasetDefinition, DatasetOptions } from "../definition.ts";
import { ENCODING_FORMAT, type NumberEncoding, type TableEncoding } from "../encoding.ts";
import { fitScaling, standardizedFeature } from "../features.ts";
import { classTargets, regressionTargets } from "../targets.ts";

/** Columns of equal length; with `classNames`, the target column holds class indices. */
export interface Drawn {
  readonly inputs: readonly Float64Array[];
  readonly target: Float64Array;
}

export interface SyntheticFacts extends Omit<DatasetDefinition, "files" | "load" | "licence" | "task"> {
  readonly inputNames: readonly string[];
  readonly targetName: string;
  /** Makes it a classification. */
  readonly classNames?: readonly string[];
  /** (channels, height, width): the inputs are pixels, which are not standardized. */
  readonly imageShape?: readonly [number, number, number];
  draw(random: Random, rows: number): Drawn;
}

/** Of pixels, which stay as they are. */
const plainScaling = { mean: 0, deviation: 1 };
const foreignOptions = ["target", "logTarget", "drop", "header", "delimiter"] as const;

/** The seed draws the rows and splits them. */
export function synthetic(facts: SyntheticFacts): DatasetDefinition {
  const { inputNames, targetName, classNames, imageShape, draw, ...about } = facts;
  const { name } = about;
  return {
    ...about,
    task: classNames ? "classification" : "regression",
    licence: "generated, no licence needed",
    files: [],
    async load(options: DatasetOptions) {
      const { seed = 0, dtype = "float32", rows: count = facts.rows } = options;
      for (const option of foreignOptions) {
        if (options[option] === undefined) continue;
        throw new UsageError(`${option} is for tables, and ${name} is a synthetic task`);
      }
      requireOption(Number.isInteger(count) && count > 0, "rows", count, "a positive integer");
      requireOption(dtype === "float32" || dtype === "float64", "dtype", dtype, '"float32" or "float64"');
      const rows = splitRows(count, name, options);
      const { inputs, target } = draw(new Random(seed).fork(name), count);
      const scaled = (values: Float64Array, index: number): NumberEncoding => {
        const { mean, deviation } = imageShape ? plainScaling : fitScaling(values, rows.training);
        return { kind: "number", column: inputNames[index], mean, deviation };
      };
      const encoded = inputs.map(scaled);
      const features = inputs.map((values, index) =>
        standardizedFeature(inputNames[index], values, encoded[index]),
      );
      const kind = taskOf(options, name, classNames);
      const targets =
        kind === "regression"
          ? regressionTargets([targetName], [target], rows.training)
          : classTargets(kind, targetName, classNames!, Int32Array.from(target), rows.training);
      const encoding: TableEncoding = {
        ...{ format: ENCODING_FORMAT, name, header: true, columns: [...inputNames, targetName] },
        ...{ inputs: encoded, task: targets.task, dtype },
      };
      const kept = imageShape ? { imageShape } : { encoding };
      return assembleSplit({ name, rows, features, targets, dtype, ...kept, notices: [] });
    },
  };
}

function taskOf({ task }: DatasetOptions, name: string, classNames: readonly string[] | undefined) {
  const natural = classNames ? "classification" : "regression";
  if (task === undefined || task === natural) return natural;
  if (task === "binary" && classNames) return task;
  throw new UsageError(`invalid task: "${task}" (${name} is a ${natural} task)`);
}

/** `count` columns of `rows` numbers each, drawn row by row, so that more rows begin with the same ones. */
export function drawColumns(count: number, rows: number, next: () => number): Float64Array[] {
  const columns = Array.from({ length: count }, () => new Float64Array(rows));
  for (let row = 0; row < rows; row++) for (const column of columns) column[row] = next();
  return columns;
}

/** `x1 … x<count>`. */
export function numbered(count: number): readonly string[] {
  return Array.from({ length: count }, (_, index) => `x${index + 1}`);
}
