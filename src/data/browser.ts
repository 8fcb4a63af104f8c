/** What of this folder needs no files. */
export { batchCount, batches } from "./batches.ts";
export { loadBuiltIn as loadDataset } from "./built-in.ts";
export {
  type DataSplit,
  type Dataset,
  type SplitOptions,
  splitDataset,
  type Task,
  toOriginalUnits,
  validateDataset,
} from "./dataset.ts";
export type { DatasetOptions } from "./definition.ts";
