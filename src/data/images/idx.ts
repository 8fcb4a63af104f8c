/**
 * The idx files of MNIST [LeCun, Cortes, Burges] and of sets made like it, plain or gzip: big-endian 32-bit integers (a magic number,
 * the number of items, for images their rows and columns), then one unsigned byte for each pixel or label.
 */
import { UsageError } from "../../errors.ts";
import { readBytes } from "../bytes.ts";
import type { LabelledImages } from "./labelled.ts";

/** 0x0803, unsigned bytes along three axes, and 0x0801, along one. */
const kinds = { images: { magic: 2051, axes: 3 }, labels: { magic: 2049, axes: 1 } } as const;
type Kind = keyof typeof kinds;

/**
 * Gray images from one file, their labels from another.
 *
 * @throws UsageError when a file is no idx file, holds the other kind, is cut off or too long, or their counts differ
 */
export async function readIdx(imagePath: string, labelPath: string): Promise<LabelledImages> {
  const images = await readKind(imagePath, "images");
  const labels = await readKind(labelPath, "labels");
  const [count, height, width] = images.sizes;
  if (labels.sizes[0] !== count) {
    throw new UsageError(
      `${imagePath} has ${count} images and ${labelPath} ${labels.sizes[0]} labels (they do not belong together)`,
    );
  }
  return { shape: [1, height, width], pixels: images.items, labels: labels.items };
}

async function readKind(path: string, kind: Kind): Promise<{ sizes: number[]; items: Uint8Array }> {
  const bytes = await readBytes(path);
  const { magic, axes } = kinds[kind];
  requireKind(path, bytes, kind);
  const start = 4 + 4 * axes;
  if (bytes.length < start) throw new UsageError(`${path} is cut off: it ends within its header`);
  const sizes = Array.from({ length: axes }, (_, axis) => bytes.readUInt32BE(4 + 4 * axis));
  const expected = start + sizes.reduce((product, size) => product * size);
  if (bytes.length !== expected) {
    const how = bytes.length < expected ? "is cut off" : "is too long";
    const what = `${sizes[0]} ${kind}${magic === 2051 ? ` of ${sizes[1]} × ${sizes[2]} pixels` : ""}`;
    throw new UsageError(
      `${path} ${how}: ${what} take ${expected} bytes, and it has ${bytes.length} (fetch or copy it again)`,
    );
  }
  if (expected === start) throw new UsageError(`${path} holds no ${kind}`);
  return { sizes, items: new Uint8Array(bytes.buffer, bytes.byteOffset + start, bytes.length - start) };
}

function requireKind(path: string, bytes: Buffer, kind: Kind): void {
  const found = bytes.length < 4 ? undefined : bytes.readUInt32BE(0);
  if (found === kinds[kind].magic) return;
  const other: Kind = kind === "images" ? "labels" : "images";
  if (found === kinds[other].magic) {
    throw new UsageError(
      `${path} holds ${other} (its magic number is ${found}); ${kind} belong there, ${kinds[kind].magic}`,
    );
  }
  const what = found === undefined ? `it has ${bytes.length} bytes` : `its magic number is ${found}`;
  throw new UsageError(`${path} is not an idx file of ${kind}: ${what} (must be ${kinds[kind].magic})`);
}
