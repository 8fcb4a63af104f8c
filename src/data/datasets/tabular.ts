/** Datasets that are one delimited file: a definition is its facts and its defaults. */
import { UsageError } from "../../errors.ts";
import { type CsvHints, loadCsv } from "../csv.ts";
import type { DataFile, DatasetDefinition, DatasetOptions } from "../definition.ts";

export interface TabularFacts extends Omit<DatasetDefinition, "files" | "load"> {
  readonly file: DataFile;
  readonly target: string;
  /** Columns left out unless they are the target; the user's own `drop` comes on top. */
  readonly drop: readonly string[];
  /** Predict the logarithm of the default target. */
  readonly logTarget?: boolean;
  readonly hints?: Omit<CsvHints, "name">;
  /** What to tell the user about the columns above. */
  readonly notice: string;
}

export function tabular({
  file,
  target,
  drop,
  logTarget,
  hints,
  notice,
  ...about
}: TabularFacts): DatasetDefinition {
  return {
    ...about,
    files: [file],
    async load(options: DatasetOptions, locate) {
      if (options.rows !== undefined)
        throw new UsageError(`rows is for synthetic tasks and images, not for ${about.name}`);
      const {
        paths: [path],
        notices,
      } = await locate(file);
      const wanted = options.target ?? target;
      const targets = [wanted].flat();
      const isDefault = targets.length === 1 && targets[0] === target;
      const isRegression = (options.task ?? about.task) === "regression";
      const split = await loadCsv(
        path,
        {
          ...options,
          target: wanted,
          logTarget: options.logTarget ?? (isDefault && isRegression && logTarget),
          drop: [...drop.filter((column) => !targets.includes(column)), ...(options.drop ?? [])],
        },
        { name: about.name, ...hints },
      );
      const all = [...notices, notice, ...split.notices];
      return {
        training: { ...split.training, notices: all },
        validation: { ...split.validation, notices: all },
        encoding: split.encoding,
        notices: all,
      };
    },
  };
}
