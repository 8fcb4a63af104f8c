/** The last step of every loader: fitted features and targets, written for the training and the validation rows. */
import type { FloatDType } from "../tensor.ts";
import type { DataSplit, Dataset, RowSplit } from "./dataset.ts";
import { encodeFeatures, type Feature } from "./features.ts";
import type { TargetEncoder } from "./targets.ts";

export interface DatasetParts {
  readonly name: string;
  readonly rows: RowSplit;
  readonly features: readonly Feature[];
  readonly targets: TargetEncoder;
  readonly dtype: FloatDType;
  readonly imageShape?: readonly [number, number, number];
  readonly notices: readonly string[];
}

export async function assembleSplit(parts: DatasetParts): Promise<DataSplit> {
  const { name, features, targets, dtype, notices, imageShape } = parts;
  const inputNames = features.flatMap((feature) => feature.names);
  const write = async (rows: Int32Array): Promise<Dataset> => ({
    name,
    inputs: await encodeFeatures(features, rows, dtype),
    targets: targets.encode(rows, dtype),
    task: targets.task,
    inputNames,
    ...(imageShape && { imageShape }),
    notices,
  });
  const training = await write(parts.rows.training);
  return { training, validation: await write(parts.rows.validation), notices };
}
