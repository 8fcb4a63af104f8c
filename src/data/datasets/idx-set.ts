/** Image sets in MNIST's four files. */

import type { DataFile, Locate } from "../definition.ts";
import { readIdx } from "../images/idx.ts";
import { type LabelledImages, requireLabels } from "../images/labelled.ts";
import { type ImageSetFacts, imageSet } from "./image-set.ts";

export interface IdxSetFacts
  extends Omit<ImageSetFacts, "files" | "read" | "images" | "imageShape" | "channelNames"> {
  /** Address of the folder that the files are in. */
  readonly url: string;
  /** Digests of the packed files. */
  readonly sha256: Readonly<Record<"trainImages" | "trainLabels" | "testImages" | "testLabels", string>>;
}

/** 60,000 and 10,000 gray images of 28 × 28. */
export function idxSet({ url, sha256, ...facts }: IdxSetFacts) {
  const file = (name: string, digest: string): DataFile => ({ name, url: url + name, sha256: [digest] });
  const training = [
    file("train-images-idx3-ubyte.gz", sha256.trainImages),
    file("train-labels-idx1-ubyte.gz", sha256.trainLabels),
  ] as const;
  const test = [
    file("t10k-images-idx3-ubyte.gz", sha256.testImages),
    file("t10k-labels-idx1-ubyte.gz", sha256.testLabels),
  ] as const;
  return imageSet({
    ...facts,
    images: [60_000, 10_000],
    imageShape: [1, 28, 28],
    channelNames: ["gray"],
    files: [...training, ...test],
    async read(locate) {
      const notices: string[] = [];
      return {
        training: await readPair(training, locate, facts.classNames.length, notices),
        test: await readPair(test, locate, facts.classNames.length, notices),
        notices,
      };
    },
  });
}

async function readPair(
  [imageFile, labelFile]: readonly [DataFile, DataFile],
  locate: Locate,
  classes: number,
  notices: string[],
): Promise<LabelledImages> {
  const images = await locate(imageFile);
  const labels = await locate(labelFile);
  notices.push(...images.notices, ...labels.notices);
  const read = await readIdx(images.paths[0], labels.paths[0]);
  requireLabels(read.labels, classes, labels.paths[0]);
  return read;
}
