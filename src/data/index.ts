/** Datasets: CSV files, the registry, synthetic tasks, splits and batches. */

export { fitImageScaling, type ImageScaling, isPixels, type Pixels, toPixelBytes } from "../pixels.ts";
export type { Augmentation } from "./augmentation.ts";
export { batchCount, batches } from "./batches.ts";
export { type EncodedRows, type EncodeOptions, encodeCsv } from "./csv/encode.ts";
export { type CsvOptions, loadCsv } from "./csv.ts";
export {
  type DataSplit,
  type Dataset,
  inputCount,
  type SplitOptions,
  splitDataset,
  type Task,
  toOriginalUnits,
  validateDataset,
} from "./dataset.ts";
export { type Decoded, type DecodedClasses, type DecodedNumbers, decodeOutputs } from "./decode.ts";
export type { DatasetOptions } from "./definition.ts";
export type {
  CategoryEncoding,
  DateEncoding,
  InputEncoding,
  NumberEncoding,
  TableEncoding,
} from "./encoding.ts";
export { type DatasetInfo, fetchDataset, listDatasets, loadDataset } from "./registry.ts";
