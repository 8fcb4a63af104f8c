/** Images with labels, as files hold them: bytes. */
import { UsageError } from "../../errors.ts";

export interface LabelledImages {
  /** Channels, height, width. */
  readonly shape: readonly [number, number, number];
  /** (N, C, H, W), row-major. */
  readonly pixels: Uint8Array;
  /** (N) class indices. */
  readonly labels: Uint8Array;
}

/** The images of several files, one file after another. */
export function joinImages(parts: readonly LabelledImages[]): LabelledImages {
  return {
    shape: parts[0].shape,
    pixels: joined(parts.map(({ pixels }) => pixels)),
    labels: joined(parts.map(({ labels }) => labels)),
  };
}

/** The first `count` images, copied where there are more, so that the memory of the others is free to go. */
export function firstImages(images: LabelledImages, count: number): LabelledImages {
  const { shape, pixels, labels } = images;
  if (count === labels.length) return images;
  const size = pixels.length / labels.length;
  return { shape, pixels: pixels.slice(0, count * size), labels: labels.slice(0, count) };
}

/**
 * Checks that every label is the index of a class.
 *
 * @param where the labels come from, for the message
 * @throws UsageError with the first that is not, and its place from 0
 */
export function requireLabels(labels: Uint8Array, classes: number, where: string): void {
  const wrong = labels.findIndex((label) => label >= classes);
  if (wrong < 0) return;
  throw new UsageError(`${where}: label ${wrong} is ${labels[wrong]} (must be from 0 to ${classes - 1})`);
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  if (parts.length === 1) return parts[0];
  const all = new Uint8Array(parts.reduce((total, part) => total + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}
