/**
 * The binary files of CIFAR-10 and CIFAR-100 [Krizhevsky 2009]: records of one or two label bytes, then the red, the green and the
 * blue plane of a picture of 32 × 32, row by row.
 */
import { UsageError } from "../../errors.ts";
import { type LabelledImages, requireLabels } from "./labelled.ts";

export const cifarShape = [3, 32, 32] as const;
const pictureBytes = 3 * 32 * 32;

export interface CifarLayout {
  /** Labels of a record: 1 for CIFAR-10; 2 for CIFAR-100, the coarse one and the fine one, which counts. */
  readonly labelBytes: 1 | 2;
  readonly classes: number;
}

/**
 * The pictures and labels of one file.
 *
 * @param where the bytes come from, for the message
 * @throws UsageError when the bytes are not a number of whole records, or a label is no class
 */
export function parseCifar(
  bytes: Uint8Array,
  { labelBytes, classes }: CifarLayout,
  where: string,
): LabelledImages {
  const record = labelBytes + pictureBytes;
  const count = bytes.length / record;
  if (count === 0) throw new UsageError(`${where} is empty`);
  if (!Number.isInteger(count)) {
    throw new UsageError(
      `${where} is cut off or of another kind: ${bytes.length} bytes are not whole records of ${record} bytes`,
    );
  }
  const pixels = new Uint8Array(count * pictureBytes);
  const labels = new Uint8Array(count);
  for (let image = 0; image < count; image++) {
    const start = image * record + labelBytes;
    labels[image] = bytes[start - 1];
    pixels.set(bytes.subarray(start, start + pictureBytes), image * pictureBytes);
  }
  requireLabels(labels, classes, where);
  return { shape: cifarShape, pixels, labels };
}
