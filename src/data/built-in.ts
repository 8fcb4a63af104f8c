/** The tasks that need no file. A new one is a file in datasets/ and a line here. */
import { UsageError } from "../errors.ts";
import type { DataSplit } from "./dataset.ts";
import { friedman1 } from "./datasets/friedman1.ts";
import { glyphs } from "./datasets/glyphs.ts";
import { spirals } from "./datasets/spirals.ts";
import { teacher } from "./datasets/teacher.ts";
import type { DatasetDefinition, DatasetOptions } from "./definition.ts";

export const builtIn: readonly DatasetDefinition[] = [friedman1, spirals, teacher, glyphs];

/**
 * A synthetic task by name, split and encoded: what browsers have in place of the registry.
 *
 * @throws UsageError for another name, or options that do not suit the data
 */
export async function loadBuiltIn(name: string, options: DatasetOptions = {}): Promise<DataSplit> {
  const definition = builtIn.find((candidate) => candidate.name === name);
  if (!definition) {
    const names = builtIn.map((candidate) => candidate.name).join(", ");
    throw new UsageError(`unknown dataset "${name}" (without files there are ${names})`);
  }
  return definition.load(options, (file) => {
    throw new UsageError(`${name} needs the file ${file.name}, and there are no files here`);
  });
}
