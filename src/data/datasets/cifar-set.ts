/** CIFAR-10 and CIFAR-100: one archive, or the files of it that lie on this machine. */
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { UsageError } from "../../errors.ts";
import { readBytes } from "../bytes.ts";
import type { DataFile } from "../definition.ts";
import { isMember } from "../files.ts";
import { type CifarLayout, cifarShape, parseCifar } from "../images/cifar.ts";
import { joinImages, type LabelledImages } from "../images/labelled.ts";
import { tarMembers } from "../images/tar.ts";
import { type ImageSetFacts, imageSet } from "./image-set.ts";

export interface CifarSetFacts
  extends Omit<ImageSetFacts, "files" | "read" | "images" | "imageShape" | "channelNames"> {
  readonly archive: Omit<DataFile, "members">;
  /** Names of the files with training images, and of the one with test images. */
  readonly training: readonly string[];
  readonly test: string;
  readonly labelBytes: CifarLayout["labelBytes"];
}

/** 50,000 and 10,000 colour pictures of 32 × 32. */
export function cifarSet({ archive, training, test, labelBytes, ...facts }: CifarSetFacts) {
  const { name } = facts;
  const file: DataFile = { ...archive, members: [...training, test] };
  const layout = { labelBytes, classes: facts.classNames.length };
  return imageSet({
    ...facts,
    images: [50_000, 10_000],
    imageShape: cifarShape,
    channelNames: ["red", "green", "blue"],
    files: [file],
    async read(locate) {
      const { paths, notices } = await locate(file);
      const members = isMember(paths[0], file) ? looseMembers(paths) : archiveMembers(paths[0]);
      const parts = new Map<string, LabelledImages>();
      for await (const { member, bytes, where } of members) {
        if (file.members!.includes(member)) parts.set(member, parseCifar(bytes, layout, where));
      }
      const found = training.filter((member) => parts.has(member));
      const missing = found.length === 0 ? training : parts.has(test) ? [] : [test];
      if (missing.length > 0) {
        throw new UsageError(`${name}: ${missing.join(", ")} missing beside ${paths.join(", ")}`);
      }
      const images = joinImages(found.map((member) => parts.get(member)!));
      const partial = `${name}: ${found.length} of its ${training.length} training files are here (${found.join(", ")})`;
      return {
        training: images,
        test: parts.get(test)!,
        notices: [
          ...notices,
          ...(found.length < training.length ? [`${partial}: ${images.labels.length} images`] : []),
          ...(await standIns(name, dirname(paths[0]))),
        ],
      };
    },
  });
}

interface Member {
  readonly member: string;
  readonly bytes: Uint8Array;
  /** For messages. */
  readonly where: string;
}

async function* looseMembers(paths: readonly string[]): AsyncGenerator<Member> {
  for (const path of paths) {
    yield { member: basename(path).replace(/\.gz$/, ""), bytes: await readBytes(path), where: path };
  }
}

async function* archiveMembers(path: string): AsyncGenerator<Member> {
  for (const [member, bytes] of tarMembers(await readBytes(path), path)) {
    yield { member, bytes, where: `${member} in ${path}` };
  }
}

/** `stand-in-records.json` beside the files lists pictures, by file and index, that are not the official ones. */
async function standIns(name: string, folder: string): Promise<string[]> {
  const path = join(folder, "stand-in-records.json");
  if (!existsSync(path)) return [];
  const text = await readFile(path, "utf8");
  const counts = Object.entries(readLists(text, path)).map(
    ([file, records]) => `${records.length} in ${file}`,
  );
  return [
    `${name}: some pictures stand in for the official ones, and figures may not compare (${path}): ${counts.join(", ")}`,
  ];
}

function readLists(text: string, path: string): Record<string, number[]> {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new UsageError(`${path} is not JSON: ${(error as Error).message}`);
  }
}
