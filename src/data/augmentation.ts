/**
 * Random crops and flips of images, as [He et al. 2016, 4.2] train on CIFAR: an image is padded with zeros on all sides, a
 * window of its own size is cut out anywhere, and every other one is mirrored. Inputs have mean 0 by then, so that zeros are
 * an average grey.
 */
import { requireOption, UsageError } from "../errors.ts";
import type { Random } from "../random.ts";
import { allocate, dtypeOf, formatShape, sizeOf, type TypedArray } from "../tensor.ts";
import type { Dataset } from "./dataset.ts";

/** What happens to the images of a training batch; evaluation always sees them as they are. */
export interface Augmentation {
  /** Pixels of zeros on each side of an image before a window is cut out; 4 is usual for CIFAR. Default 0: no crops. */
  readonly crop?: number;
  /** Whether half of the images, at random, are mirrored left to right; default false. */
  readonly flip?: boolean;
}

/** Channels, height, width. */
export type ImageShape = readonly [number, number, number];

/** Which window of a padded image is seen: how far it lies below and to the right of the image, and whether mirrored. */
interface View {
  readonly down: number;
  readonly right: number;
  readonly mirrored: boolean;
}

/**
 * The shape of a dataset's images.
 *
 * @throws UsageError when it has none, or an option is out of range
 */
export function augmentedShape(
  { name, inputs }: Pick<Dataset, "name" | "inputs">,
  { crop = 0 }: Augmentation,
): ImageShape {
  requireOption(Number.isInteger(crop) && crop >= 0, "augment crop", crop, "an integer >= 0, in pixels");
  const [, channels, height, width] = inputs.shape;
  if (inputs.shape.length === 4) return [channels, height, width];
  throw new UsageError(
    `invalid augment: ${name} has no images (its inputs are ${formatShape(inputs.shape)}, not (N, C, H, W))`,
  );
}

/**
 * Replaces each of the first `count` images of `data`, (…, C, H, W), by a view of itself. All that is random is drawn from
 * `random`, image by image.
 */
export function augmentImages(
  data: TypedArray,
  count: number,
  shape: ImageShape,
  augmentation: Augmentation,
  random: Random,
): void {
  const size = sizeOf(shape);
  const original = allocate(dtypeOf(data), size);
  for (let image = 0; image < count; image++) {
    const pixels = data.subarray(image * size, (image + 1) * size);
    original.set(pixels);
    copyView(original, shape, drawView(augmentation, random), pixels);
  }
}

function drawView({ crop = 0, flip = false }: Augmentation, random: Random): View {
  const offset = () => random.integer(2 * crop + 1) - crop;
  return { down: offset(), right: offset(), mirrored: random.uniform() < 0.5 && flip };
}

function copyView(
  source: TypedArray,
  [channels, height, width]: ImageShape,
  { down, right, mirrored }: View,
  output: TypedArray,
): void {
  for (let target = 0, channel = 0; channel < channels; channel++) {
    for (let y = down; y < height + down; y++) {
      const line = (channel * height + y) * width;
      for (let x = 0; x < width; x++) {
        const column = (mirrored ? width - 1 - x : x) + right;
        const inside = y >= 0 && y < height && column >= 0 && column < width;
        output[target++] = inside ? source[line + column] : 0;
      }
    }
  }
}
