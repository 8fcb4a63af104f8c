/** What one dataset says about itself: its file in datasets/ and one line of the registry are all it takes to add it. */
import type { CsvOptions } from "./csv.ts";
import type { DataSplit, TaskKind } from "./dataset.ts";

/** One file of a dataset. */
export interface DataFile {
  /** As it is stored; the same name with or without `.gz` is accepted too. */
  readonly name: string;
  /** Hex digests of the known contents, packed and unpacked. */
  readonly sha256: readonly string[];
  /** Names of an archive's files: those that lie there on their own are used in its place, even when some are missing. */
  readonly members?: readonly string[];
  /** Where it is downloaded from; absent when the site asks for an account. */
  readonly url?: string;
}

/** How far a download has come, in bytes; `total` is undefined when the site does not say. */
export interface Progress {
  readonly file: string;
  readonly received: number;
  readonly total?: number;
}

export interface FetchOptions {
  readonly onProgress?: (progress: Progress) => void;
  readonly signal?: AbortSignal;
}

/** The CSV options are for datasets made of a table; the defaults are the dataset's own. */
export interface DatasetOptions extends CsvOptions, FetchOptions {
  /** How many rows to generate for synthetic tasks, or to train on for images: the first ones. */
  readonly rows?: number;
}

/** Where a file is. */
export interface LocatedFile {
  /** One path, or those of an archive's members. */
  readonly paths: readonly string[];
  readonly notices: readonly string[];
}

/** Finds a file of the dataset, downloads it if need be. */
export type Locate = (file: DataFile) => Promise<LocatedFile>;

export interface DatasetDefinition {
  readonly name: string;
  /** Other names of the folder that its files may be in. */
  readonly folders?: readonly string[];
  /** One line: what is predicted from what. */
  readonly summary: string;
  readonly task: TaskKind;
  readonly rows: number;
  /** Numbers per example with the default options. */
  readonly inputs: number;
  readonly licence: string;
  /** Where it comes from: a citation or the page to get it from by hand. */
  readonly source: string;
  /** None for synthetic tasks. */
  readonly files: readonly DataFile[];
  load(options: DatasetOptions, locate: Locate): Promise<DataSplit>;
}
