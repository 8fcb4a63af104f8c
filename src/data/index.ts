/** Datasets: CSV files, the registry, synthetic tasks, splits and batches. */
export { batchCount, batches } from "./batches.ts";
export { type CsvOptions, loadCsv } from "./csv.ts";
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
export { type DatasetInfo, fetchDataset, listDatasets, loadDataset } from "./registry.ts";
