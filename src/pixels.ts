/**
 * Pictures kept as bytes: a quarter of the memory of float32 numbers, an eighth of float64. They become numbers when a batch is
 * gathered, or when a program reads them.
 */
import type { FloatDType, Tensor, TypedArray } from "./tensor.ts";

/** Per channel: number = (byte / 255 − mean) / deviation. */
export interface ImageScaling {
  /** Mean brightness of the training images, 0 to 1. */
  readonly mean: readonly number[];
  /** Standard deviation of the brightness; 1 for a channel that is constant. */
  readonly deviation: readonly number[];
}

/** (N, C, H, W) bytes that stand for normalized numbers. A tensor like any other to the trainer: it reads the numbers. */
export interface Pixels extends Tensor {
  readonly data: Uint8Array;
  readonly scaling: ImageScaling;
  /** Of the numbers. */
  readonly dtype: FloatDType;
}

export function isPixels(tensor: Tensor): tensor is Pixels {
  return "scaling" in tensor;
}

/** Mean and population deviation of each channel of (N, C, H, W) bytes, exact up to the last rounding. */
export function fitImageScaling(shape: readonly number[], bytes: Uint8Array): ImageScaling {
  const [images, channels, height, width] = shape;
  const area = height * width;
  const moments = Array.from({ length: channels }, (_, channel) => {
    const counts = new Float64Array(256);
    for (let image = 0; image < images; image++) {
      const from = (image * channels + channel) * area;
      for (let at = from; at < from + area; at++) counts[bytes[at]]++;
    }
    const mean = counts.reduce((sum, count, byte) => sum + count * byte, 0) / (images * area);
    const squares = counts.reduce((sum, count, byte) => sum + count * (byte - mean) ** 2, 0);
    const deviation = Math.sqrt(squares / (images * area));
    return { mean: mean / 255, deviation: deviation > 0 ? deviation / 255 : 1 };
  });
  return { mean: moments.map(({ mean }) => mean), deviation: moments.map(({ deviation }) => deviation) };
}

/** The numbers that `count` images of `pixels` stand for, those listed from `rows[start]` on, to the start of `output`. */
export function gatherPixels(
  pixels: Pixels,
  rows: ArrayLike<number>,
  start: number,
  count: number,
  output: TypedArray,
): void {
  const write = imageWriter(pixels, output);
  for (let i = 0; i < count; i++) write(rows[start + i], i);
}

/** Copies the numbers of a tensor, or those that its pixels stand for, to the start of `output`. */
export function copyNumbers(source: Tensor, output: TypedArray): void {
  if (!isPixels(source)) {
    output.set(source.data);
    return;
  }
  const write = imageWriter(source, output);
  for (let image = 0; image < source.shape[0]; image++) write(image, image);
}

/** Writes the numbers of image `from` where image `to` of `output` is. */
function imageWriter({ data, shape, scaling }: Pixels, output: TypedArray) {
  const [, channels, height, width] = shape;
  const area = height * width;
  const tables = scaling.mean.map((_, channel) => numbersOf(scaling, channel));
  return (from: number, to: number): void => {
    let source = from * channels * area;
    let target = to * channels * area;
    for (const table of tables) {
      for (const end = source + area; source < end; ) output[target++] = table[data[source++]];
    }
  };
}

/** What each of the 256 bytes stands for in a channel. */
function numbersOf({ mean, deviation }: ImageScaling, channel: number): Float64Array {
  return Float64Array.from({ length: 256 }, (_, byte) => (byte / 255 - mean[channel]) / deviation[channel]);
}

/**
 * Numbers as bytes again, to show a batch as it was on the disk: (…, C, H, W) → as many bytes, rounded and kept within 0 to 255.
 *
 * @param shape of the numbers, channels third from the end
 */
export function toPixelBytes({ mean, deviation }: ImageScaling, { shape, data }: Tensor): Uint8Array {
  const area = shape.at(-1)! * shape.at(-2)!;
  const bytes = Uint8ClampedArray.from(data, (value, at) => {
    const channel = Math.floor(at / area) % mean.length;
    return 255 * (value * deviation[channel] + mean[channel]);
  });
  return new Uint8Array(bytes.buffer);
}
