/**
 * The data of the experiments on wide networks: the first images of some classes, as regression.
 *
 * As in the published code of Karakida & Osawa 2020: of the training images, and of the test images, the first that belong to the
 * classes, in the order of the files; each of the two parts minus its mean, over its deviation (one number for all its
 * pixels); then every row scaled to ‖x‖ = 1. Two classes have the one target ½ and −½, more of them one-hot targets.
 */
import { isPixels, type Pixels } from "../pixels.ts";
import { Random } from "../random.ts";
import { type Tensor, tensor } from "../tensor.ts";

export interface SubsetRequest {
  /** A dataset of images by name, as `mnist`. */
  readonly dataset: string;
  /** Class indices; the first of two gets the target ½. */
  readonly classes: readonly number[];
  /** Images of the two parts. */
  readonly training: number;
  readonly test: number;
  /**
   * The rows' ‖x‖²: 1, as in the published code, or M_0, their numbers, so that A_0(x, x) = 1 and pre-activations are of order one from the
   * first layer on. Default 1.
   */
  readonly squaredLength?: SquaredLength;
}

export type SquaredLength = 1 | "features";

/** Images and targets of one part, float64. */
export interface Examples {
  /** (N, F), rows of one length. */
  readonly inputs: Tensor;
  /** (N, 1) of ±½, or (N, C) of 0 and 1. */
  readonly targets: Tensor;
  /** Places in `classes`, (N). */
  readonly labels: Int32Array;
}

export interface ClassSubset {
  readonly training: Examples;
  readonly test: Examples;
}

/** Numbers of a sample of the stand-in: as many as MNIST has pixels. */
const SYNTHETIC_FEATURES = 784;

/** The stand-in in words, for `ExperimentData.synthetic`. */
export const syntheticClasses = "Gaussian clusters of 784 numbers, one a class";

/** Loads the subset, or draws its stand-in. */
export async function loadSubset(
  request: SubsetRequest,
  { synthetic, seed }: { readonly synthetic: boolean; readonly seed: number },
): Promise<ClassSubset> {
  if (synthetic) return drawClusters(request, seed);
  const { loadDataset } = await import("../data/index.ts");
  const { training, validation } = await loadDataset(request.dataset);
  const part = (data: typeof training, count: number) => {
    const { inputs, targets } = data;
    if (!isPixels(inputs)) throw new Error(`${request.dataset} is not a set of images`);
    return examplesOf(firstOfClasses(inputs, targets.data, request.classes, count), request);
  };
  return { training: part(training, request.training), test: part(validation, request.test) };
}

/** Rows before they are normalized, and their places in the list of classes. */
interface Rows {
  /** (N, F). */
  readonly data: Float64Array;
  readonly labels: Int32Array;
}

/** The first `count` images of the classes. */
export function firstOfClasses(
  { shape, data }: Pick<Pixels, "shape" | "data">,
  labels: ArrayLike<number>,
  classes: readonly number[],
  count: number,
): Rows {
  const features = shape.slice(1).reduce((a, b) => a * b, 1);
  const rows = new Float64Array(count * features);
  const places: number[] = [];
  for (let n = 0; n < shape[0] && places.length < count; n++) {
    const place = classes.indexOf(labels[n]);
    if (place < 0) continue;
    rows.set(data.subarray(n * features, (n + 1) * features), places.length * features);
    places.push(place);
  }
  if (places.length < count) throw new Error(`${places.length} images of these classes (wanted ${count})`);
  return { data: rows, labels: Int32Array.from(places) };
}

/** Normalizes the rows, and makes targets of the classes. */
export function examplesOf(
  { data, labels }: Rows,
  { classes: { length: classes }, squaredLength = 1 }: Pick<SubsetRequest, "classes" | "squaredLength">,
): Examples {
  const samples = labels.length;
  const features = data.length / samples;
  const length = squaredLength === "features" ? Math.sqrt(features) : squaredLength;
  const inputs = scaledRows(standardize(data), features, length);
  const targets =
    classes === 2
      ? tensor(
          Float64Array.from(labels, (label) => 0.5 - label),
          [samples, 1],
        )
      : tensor(
          Float64Array.from({ length: samples * classes }, (_, k) =>
            labels[Math.floor(k / classes)] === k % classes ? 1 : 0,
          ),
          [samples, classes],
        );
  return { inputs: tensor(inputs, [samples, features]), targets, labels };
}

/** Minus the mean of all numbers, over their deviation. */
function standardize(data: Float64Array): Float64Array {
  const mean = data.reduce((sum, value) => sum + value, 0) / data.length;
  const deviation = Math.sqrt(data.reduce((sum, value) => sum + (value - mean) ** 2, 0) / data.length);
  return data.map((value) => (value - mean) / deviation);
}

/** Every row scaled to a length. */
function scaledRows(data: Float64Array, features: number, wanted: number): Float64Array {
  const result = data.slice();
  for (let from = 0; from < result.length; from += features) {
    const row = result.subarray(from, from + features);
    const length = Math.sqrt(row.reduce((sum, value) => sum + value ** 2, 0));
    for (let k = 0; k < features; k++) row[k] *= wanted / length;
  }
  return result;
}

/**
 * Classes around centers of their own, in directions of very different spread, as pictures have: the k-th number has the
 * deviation 1/√k.
 */
function drawClusters(request: SubsetRequest, seed: number): ClassSubset {
  const { classes, training, test } = request;
  const random = new Random(seed).fork("clusters");
  const spread = Float64Array.from({ length: SYNTHETIC_FEATURES }, (_, k) => 1 / Math.sqrt(k + 1));
  const centers = classes.map(() => spread.map((deviation) => 0.8 * deviation * random.normal()));
  const part = (count: number): Examples => {
    const labels = Int32Array.from({ length: count }, () => random.integer(classes.length));
    const data = Float64Array.from({ length: count * SYNTHETIC_FEATURES }, (_, k) => {
      const feature = k % SYNTHETIC_FEATURES;
      const center = centers[labels[Math.floor(k / SYNTHETIC_FEATURES)]];
      return center[feature] + spread[feature] * random.normal();
    });
    return examplesOf({ data, labels }, request);
  };
  return { training: part(training), test: part(test) };
}
