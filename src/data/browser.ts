/** What of this folder needs no files. */

export { fitImageScaling, type ImageScaling, isPixels, type Pixels, toPixelBytes } from "../pixels.ts";
export type { Augmentation } from "./augmentation.ts";
export { batchCount, batches } from "./batches.ts";
export { loadBuiltIn as loadDataset } from "./built-in.ts";
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
