/** Where the files of a dataset are: `$NATGRAD_DATA/<dataset>/`, the user's cache, or the official site. */
import { existsSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import envPaths from "env-paths";
import { RunError } from "../errors.ts";
import type { DataFile, DatasetDefinition, FetchOptions, LocatedFile } from "./definition.ts";
import { download, matches } from "./download.ts";

/** What a dataset's folder may be called. */
type Place = Pick<DatasetDefinition, "name" | "folders">;

/** Folders that are searched for a dataset's files, in order; downloads go into the last. */
export function dataFolders({ name, folders = [] }: Place): readonly string[] {
  const own = process.env.NATGRAD_DATA;
  const cache = join(envPaths("natgrad", { suffix: "" }).cache, name);
  return own ? [...[name, ...folders].map((folder) => join(own, folder)), cache] : [cache];
}

/** Paths of a file that is already on this machine, packed or not, or of what there is of its members; none when there is nothing. */
export function findFile(place: Place, { name, members = [] }: DataFile): readonly string[] {
  const parts = members.map((member) => findNamed(place, member)).filter((path) => path !== undefined);
  if (parts.length > 0 && parts.length === members.length) return parts;
  const whole = findNamed(place, name);
  return whole === undefined ? parts : [whole];
}

function findNamed(place: Place, name: string): string | undefined {
  const plain = name.replace(/\.gz$/, "");
  const names = [...new Set([name, `${plain}.gz`, plain])];
  return dataFolders(place)
    .flatMap((folder) => names.map((candidate) => join(folder, candidate)))
    .find((path) => existsSync(path));
}

/**
 * Where a file of the dataset is, downloaded if nothing of it is there. A file that differs from the known one is used, with a
 * notice: it may be a part of it, or a newer edition.
 *
 * @throws RunError that says where to get the file and where to put it
 */
export async function locateFile(
  definition: DatasetDefinition,
  file: DataFile,
  options: FetchOptions = {},
): Promise<LocatedFile> {
  const paths = findFile(definition, file);
  if (paths.length === 0) return { paths: [await downloadToCache(definition, file, options)], notices: [] };
  const known = await isKnown(paths[0], file);
  const notice = `${paths[0]} differs from the known file (its sha256): figures may not compare`;
  return { paths, notices: known ? [] : [notice] };
}

/**
 * Paths of a file of the dataset, downloaded unless all of it is there; anew where the cache's is not the known one.
 *
 * @throws as {@link locateFile}
 */
export async function fetchFile(
  definition: DatasetDefinition,
  file: DataFile,
  options: FetchOptions = {},
): Promise<readonly string[]> {
  const paths = findFile(definition, file);
  const [first] = paths;
  const isAbsent = first === undefined || (isMember(first, file) && paths.length < file.members!.length);
  const isCached = () => dirname(first) === dataFolders(definition).at(-1);
  const isDamaged = async () => file.url !== undefined && isCached() && !(await isKnown(first, file));
  return isAbsent || (await isDamaged()) ? [await downloadToCache(definition, file, options)] : paths;
}

/** Whether a file is the known one, as far as one can say: members have no checksum of their own. */
async function isKnown(path: string, file: DataFile): Promise<boolean> {
  return isMember(path, file) || matches(path, file).catch(() => true);
}

/** Whether a path is that of one of an archive's files. */
export function isMember(path: string, { members = [] }: DataFile): boolean {
  return members.includes(basename(path).replace(/\.gz$/, ""));
}

async function downloadToCache(
  definition: DatasetDefinition,
  file: DataFile,
  options: FetchOptions,
): Promise<string> {
  const { name, source } = definition;
  const cache = dataFolders(definition).at(-1)!;
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
  return target;
}
