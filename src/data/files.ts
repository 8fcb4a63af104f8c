/** Where the files of a dataset are: `$NATGRAD_DATA/<dataset>/`, the user's cache, or the official site. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import envPaths from "env-paths";
import { RunError } from "../errors.ts";
import type { DataFile, DatasetDefinition, FetchOptions } from "./definition.ts";
import { download, matches } from "./download.ts";

/** Folders that are searched for a dataset's files, in order; downloads go into the last. */
export function dataFolders(dataset: string): readonly string[] {
  const own = process.env.NATGRAD_DATA;
  const cache = join(envPaths("natgrad", { suffix: "" }).cache, dataset);
  return own ? [join(own, dataset), cache] : [cache];
}

/** Path of a file that is already on this machine, packed or not. */
export function findFile(dataset: string, file: DataFile): string | undefined {
  const plain = file.name.replace(/\.gz$/, "");
  const names = [...new Set([file.name, `${plain}.gz`, plain])];
  return dataFolders(dataset)
    .flatMap((folder) => names.map((name) => join(folder, name)))
    .find((path) => existsSync(path));
}

/**
 * Path of a file of the dataset, downloaded if it is not there. A file that differs from the known one is used, with a
 * notice: it may be a part of it, or a newer edition.
 *
 * @throws RunError that says where to get the file and where to put it
 */
export async function locateFile(
  { name, source }: DatasetDefinition,
  file: DataFile,
  options: FetchOptions = {},
): Promise<{ path: string; notices: readonly string[] }> {
  const found = findFile(name, file);
  if (found) {
    const known = await matches(found, file).catch(() => true);
    const notice = `${found} differs from the known file (its sha256): figures may not compare`;
    return { path: found, notices: known ? [] : [notice] };
  }
  const cache = dataFolders(name).at(-1)!;
  const byHand = `put ${file.name.replace(/\.gz$/, "")} (or its .gz) into ${cache}`;
  if (!file.url) {
    throw new RunError(
      `${name} cannot be downloaded without an account: get it from ${source} and ${byHand}`,
    );
  }
  const target = join(cache, file.name);
  await download(file, target, options).catch((error: RunError) => {
    throw new RunError(`${error.message}; try again, or ${byHand} by hand`, { cause: error });
  });
  return { path: target, notices: [] };
}
