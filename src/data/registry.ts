/** The datasets known by name. A new one is a file in datasets/ and a line here, or in built-in.ts when it has no files. */
import { existsSync } from "node:fs";
import { dirname } from "node:path";
import { nearest, UsageError } from "../errors.ts";
import { builtIn } from "./built-in.ts";
import { loadCsv } from "./csv.ts";
import type { DataSplit, TaskKind } from "./dataset.ts";
import { cifar10, cifar100 } from "./datasets/cifar.ts";
import { ecoli } from "./datasets/ecoli.ts";
import { fashionMnist } from "./datasets/fashion-mnist.ts";
import { house } from "./datasets/house.ts";
import { mnist } from "./datasets/mnist.ts";
import { weather } from "./datasets/weather.ts";
import type { DatasetDefinition, DatasetOptions, FetchOptions } from "./definition.ts";
import { fetchFile, findFile, locateFile } from "./files.ts";

const definitions: readonly DatasetDefinition[] = [
  ...builtIn,
  ...[weather, house, ecoli],
  ...[mnist, fashionMnist, cifar10, cifar100],
];

/**
 * A dataset by name, or a CSV file by path, split and encoded.
 *
 * @throws UsageError for an unknown name or options that do not suit the data; RunError when a file cannot be had
 */
export async function loadDataset(nameOrPath: string, options: DatasetOptions = {}): Promise<DataSplit> {
  const definition = definitions.find(({ name }) => name === nameOrPath);
  if (!definition) {
    if (!/[./\\]/.test(nameOrPath) && !existsSync(nameOrPath))
      throw unknownName(nameOrPath, ", or give the path of a CSV file");
    if (options.rows !== undefined)
      throw new UsageError(`rows is for synthetic tasks and images, not for ${nameOrPath}`);
    return loadCsv(nameOrPath, options);
  }
  return definition.load(options, (file) => locateFile(definition, file, options));
}

/**
 * Makes sure that all files of a dataset are on this machine.
 *
 * @returns their paths; none for a synthetic task
 * @throws as {@link loadDataset}
 */
export async function fetchDataset(name: string, options: FetchOptions = {}): Promise<readonly string[]> {
  const definition = definitions.find((candidate) => candidate.name === name);
  if (!definition) throw unknownName(name, "");
  const paths: string[] = [];
  for (const file of definition.files) paths.push(...(await fetchFile(definition, file, options)));
  return paths;
}

/** One line of `natgrad data list`. */
export interface DatasetInfo {
  readonly name: string;
  readonly summary: string;
  readonly task: TaskKind;
  readonly rows: number;
  /** Numbers per example with the default options. */
  readonly inputs: number;
  /** Whether it can be loaded now, without a download. */
  readonly available: boolean;
  /** `built in`, where its files are, or how to get it. */
  readonly where: string;
  readonly licence: string;
  readonly source: string;
}

export function listDatasets(): readonly DatasetInfo[] {
  return definitions.map(({ load: _, files, folders, ...about }) => {
    const found = files.map((file) => findFile({ name: about.name, folders }, file));
    const available = found.every((paths) => paths.length > 0);
    const byHand = files.some((file) => file.url === undefined);
    const fetch = byHand ? `by hand from ${about.source}` : `natgrad data fetch ${about.name}`;
    const where = files.length === 0 ? "built in" : available ? describePlace(found.flat()) : fetch;
    return { ...about, available, where };
  });
}

/** The path of one file, or how many there are in which folders. */
function describePlace(paths: readonly string[]): string {
  if (paths.length === 1) return paths[0];
  const folders = new Set(paths.map((path) => dirname(path)));
  return `${paths.length} files in ${[...folders].join(", ")}`;
}

function unknownName(name: string, otherwise: string): UsageError {
  const names = definitions.map((definition) => definition.name);
  const near = nearest(name, names);
  const hint = near ? `did you mean "${near}"?` : `known ones: ${names.join(", ")}`;
  return new UsageError(`unknown dataset "${name}"; ${hint}${near && otherwise ? "" : otherwise}`);
}
