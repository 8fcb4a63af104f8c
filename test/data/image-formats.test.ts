import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { gzipSync } from "node:zlib";
import { parseCifar } from "../../src/data/images/cifar.ts";
import { readIdx } from "../../src/data/images/idx.ts";
import { tarMembers } from "../../src/data/images/tar.ts";
import { UsageError } from "../../src/errors.ts";
import { cifar, idx, idxImages, idxLabels, tar } from "./image-files.ts";
import { scratch } from "./scratch.ts";

const { write } = scratch();

describe("idx files", () => {
  const labels = write("labels", idxLabels(6));
  const images = write("images", idxImages(6, 2, 3));

  it("hold images and labels, plain or gzip", async () => {
    const read = await readIdx(images, labels);
    assert.deepEqual(read.shape, [1, 2, 3]);
    assert.deepEqual([...read.labels], [0, 1, 2, 3, 4, 5]);
    assert.deepEqual([...read.pixels.subarray(0, 7)], [0, 7, 14, 21, 28, 35, 42]);
    const packed = await readIdx(write("images.gz", gzipSync(idxImages(6, 2, 3))), labels);
    assert.deepEqual(packed, read);
  });

  const cut = idxImages(6, 2, 3).subarray(0, 40);
  const bad: [name: string, content: Uint8Array, message: string][] = [
    ["swapped", idxLabels(6), " holds labels (its magic number is 2049); images belong there, 2051"],
    [
      "cut",
      cut,
      " is cut off: 6 images of 2 × 3 pixels take 52 bytes, and it has 40 (fetch or copy it again)",
    ],
    ["short", cut.subarray(0, 9), " is cut off: it ends within its header"],
    ["tiny", cut.subarray(0, 3), " is not an idx file of images: it has 3 bytes (must be 2051)"],
    [
      "long",
      Buffer.concat([idxImages(6, 2, 3), cut]),
      " is too long: 6 images of 2 × 3 pixels take 52 bytes, and it has 92 (fetch or copy it again)",
    ],
    ["none", idxImages(0, 2, 3), " holds no images"],
    [
      "other",
      Buffer.from("a,b\n1,2\n"),
      " is not an idx file of images: its magic number is 1630298634 (must be 2051)",
    ],
    [
      "bytes",
      idx(2050, [6, 2], new Uint8Array(12)),
      " is not an idx file of images: its magic number is 2050 (must be 2051)",
    ],
    [
      "cut.gz",
      gzipSync(idxImages(600, 2, 3)).subarray(0, 60),
      ": the gzip file is cut off; fetch or copy it again",
    ],
  ];
  for (const [name, content, message] of bad) {
    it(`${name}${message}`, async () => {
      const path = write(name, content);
      await assert.rejects(readIdx(path, labels), new UsageError(path + message));
    });
  }

  it("belong together", async () => {
    const fewer = write("fewer", idxLabels(5));
    const message = `${images} has 6 images and ${fewer} 5 labels (they do not belong together)`;
    await assert.rejects(readIdx(images, fewer), new UsageError(message));
    await assert.rejects(
      readIdx(images, images),
      new UsageError(`${images} holds images (its magic number is 2051); labels belong there, 2049`),
    );
  });
});

describe("CIFAR's files", () => {
  it("hold a label and three planes, CIFAR-100's two labels", () => {
    const ten = parseCifar(cifar(4), { labelBytes: 1, classes: 10 }, "file");
    assert.deepEqual(ten.shape, [3, 32, 32]);
    assert.deepEqual([...ten.labels], [3, 4, 5, 6]);
    const hundred = parseCifar(cifar(4, { fine: true }), { labelBytes: 2, classes: 100 }, "file");
    assert.deepEqual(hundred, ten);
    assert.deepEqual([...ten.pixels.subarray(3072, 3075)], [...cifar(2).subarray(3074, 3077)]);
  });

  it("are refused when cut off, of the other kind, or with a label that is no class", () => {
    const layout = { labelBytes: 1, classes: 10 } as const;
    const refused = (bytes: Uint8Array, message: string) =>
      assert.throws(() => parseCifar(bytes, layout, "file"), new UsageError(message));
    const lengths = "bytes are not whole records of 3073 bytes";
    refused(cifar(2).subarray(0, 6000), `file is cut off or of another kind: 6000 ${lengths}`);
    refused(cifar(2, { fine: true }), `file is cut off or of another kind: 6148 ${lengths}`);
    refused(cifar(4, { label: (at) => 8 + at }), "file: label 2 is 10 (must be from 0 to 9)");
    refused(new Uint8Array(0), "file is empty");
  });
});

describe("tar archives", () => {
  const archive = tar({ "folder/a.bin": Buffer.from("first"), "folder/b.bin": Buffer.alloc(700, 1) });

  it("give their files by name", () => {
    const members = tarMembers(archive, "archive");
    assert.deepEqual([...members.keys()], ["a.bin", "b.bin"]);
    assert.equal(members.get("a.bin")!.toString(), "first");
    assert.equal(members.get("b.bin")!.length, 700);
  });

  it("are refused when cut off or of another kind", () => {
    assert.throws(
      () => tarMembers(archive.subarray(0, 1600), "archive"),
      new UsageError("archive is cut off; fetch or copy it again"),
    );
    assert.throws(
      () => tarMembers(Buffer.alloc(2000, "text"), "archive"),
      new UsageError("archive is not a tar archive, or is damaged"),
    );
  });
});
