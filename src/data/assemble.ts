/** The last step of every loader: fitted features and targets, written for the training and the validation rows. */
import type { FloatDType, Tensor } from "../tensor.ts";
import type { DataSplit, Dataset, RowSplit } from "./dataset.ts";
import type { TableEncoding } from "./encoding.ts";
import { encodeFeatures, type Feature } from "./features.ts";
import type { TargetEncoder } from "./targets.ts";

export interface DatasetParts {
  readonly name: string;
  readonly rows: RowSplit;
  readonly features: readonly Feature[];
  readonly targets: TargetEncoder;
  readonly dtype: FloatDType;
  readonly imageShape?: readonly [number, number, number];
  readonly encoding?: TableEncoding;
  readonly notices: readonly string[];
}

/** (N, C·H·W) → (N, C, H, W). */
function asImages({ shape, data }: Tensor, imageShape: DatasetParts["imageShape"]): Tensor {
  return { shape: imageShape ? [shape[0], ...imageShape] : shape, data };
}

export async function assembleSplit(parts: DatasetParts): Promise<DataSplit> {
  const { name, features, targets, dtype, notices, imageShape, encoding } = parts;
  const inputNames = features.flatMap((feature) => feature.names);
  const write = async (rows: Int32Array): Promise<Dataset> => ({
    name,
    inputs: asImages(await encodeFeatures(features, rows, dtype), imageShape),
    targets: targets.encode(rows, dtype),
    task: targets.task,
    inputNames,
    ...(imageShape && { imageShape }),
    notices,
  });
  const training = await write(parts.rows.training);
  const validation = await write(parts.rows.validation);
  return { training, validation, ...(encoding && { encoding }), notices };
}
