/** From columns of raw values to the input matrix: each feature is fitted on the training rows and fills its columns. */
import { breathe } from "../breathe.ts";
import { allocate, type FloatDType, type Tensor, type TypedArray } from "../tensor.ts";

/** One raw column turned into one or more input columns. */
export interface Feature {
  /** One name per input column. */
  readonly names: readonly string[];
  /** Writes row `rows[i]` to `output[offset + i·stride …]`. */
  fill(rows: Int32Array, output: TypedArray, offset: number, stride: number): void;
}

/** Mean and standard deviation over some rows, and how many of them are missing (NaN). */
export interface Scaling {
  readonly mean: number;
  readonly deviation: number;
  readonly missing: number;
}

/**
 * Mean and population standard deviation of `values[rows]`. Missing values (NaN) count as the mean, so that after
 * filling and scaling the column has variance one exactly. `mean` is NaN when nothing is present; `deviation` is 0
 * for a column that is constant up to rounding.
 */
export function fitScaling(values: Float64Array, rows: Int32Array): Scaling {
  let sum = 0;
  let missing = 0;
  for (const row of rows) {
    const value = values[row];
    if (Number.isNaN(value)) missing++;
    else sum += value;
  }
  const mean = sum / (rows.length - missing);
  let squares = 0;
  for (const row of rows) {
    const difference = values[row] - mean;
    if (!Number.isNaN(difference)) squares += difference * difference;
  }
  const deviation = Math.sqrt(squares / rows.length);
  return { mean, deviation: deviation > 1e-12 * Math.abs(mean) ? deviation : 0, missing };
}

/** A number, standardized; missing values become the training mean, which is 0. */
export function standardizedFeature(
  name: string,
  values: Float64Array,
  { mean, deviation }: Omit<Scaling, "missing">,
): Feature {
  return {
    names: [name],
    fill(rows, output, offset, stride) {
      for (let i = 0; i < rows.length; i++) {
        const value = (values[rows[i]] - mean) / deviation;
        output[offset + i * stride] = Number.isNaN(value) ? 0 : value;
      }
    },
  };
}

/**
 * One column of zeros and ones per category.
 *
 * @param codes category of each row; any number outside 0 … names.length−1 means none of them
 */
export function indicatorFeature(names: readonly string[], codes: Int32Array): Feature {
  return {
    names,
    fill(rows, output, offset, stride) {
      for (let i = 0; i < rows.length; i++) {
        const code = codes[rows[i]];
        if (code >= 0 && code < names.length) output[offset + i * stride + code] = 1;
      }
    },
  };
}

/** The rows of all features side by side, `(rows, Σ names)`; gives way to the event loop between features. */
export async function encodeFeatures(
  features: readonly Feature[],
  rows: Int32Array,
  dtype: FloatDType,
): Promise<Tensor> {
  const width = features.reduce((total, feature) => total + feature.names.length, 0);
  const data = allocate(dtype, rows.length * width);
  let offset = 0;
  for (const feature of features) {
    feature.fill(rows, data, offset, width);
    offset += feature.names.length;
    await breathe();
  }
  return { shape: [rows.length, width], data };
}
