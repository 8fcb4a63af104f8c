import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { existsSync, readdirSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join, resolve } from "node:path";
import { after, beforeEach, describe, it } from "node:test";
import { gzipSync } from "node:zlib";
import { batches } from "../../src/data/batches.ts";
import { selectRows, validateDataset } from "../../src/data/dataset.ts";
import { cifarSet } from "../../src/data/datasets/cifar-set.ts";
import { locateFile } from "../../src/data/files.ts";
import { loadDataset } from "../../src/data/registry.ts";
import { UsageError } from "../../src/errors.ts";
import { isPixels, toPixelBytes } from "../../src/pixels.ts";
import { cifar, idxImages, idxLabels, tar, writeFile, writeMnist } from "./image-files.ts";
import { scratch } from "./scratch.ts";

const { folder } = scratch();
const realData = resolve("../shared/data");
const skip = existsSync(realData) ? false : "the real files are not on this machine";
const environment = { ...process.env };
let own = "";
let count = 0;
beforeEach(() => {
  own = join(folder, `own ${count++}`);
  Object.assign(process.env, { NATGRAD_DATA: own, HOME: folder, XDG_CACHE_HOME: join(own, "cache") });
});
after(() => {
  process.env = environment;
});
const ofThe = (notices: readonly string[]) => notices.filter((notice) => !notice.includes("sha256"));

describe("a set in MNIST's files", () => {
  it("keeps bytes, and gives numbers of mean 0 and variance 1", async () => {
    writeMnist(join(own, "mnist"));
    const { training, validation, notices } = await loadDataset("mnist");
    validateDataset(training);
    assert.deepEqual(training.inputs.shape, [40, 1, 28, 28]);
    assert.deepEqual(training.imageShape, [1, 28, 28]);
    assert.equal(training.inputNames.length, 784);
    assert.equal(training.inputNames[29], "gray row 1 column 1");
    assert.deepEqual(validation.inputs.shape, [40, 1, 28, 28]);
    assert.ok(isPixels(training.inputs) && training.inputs.data instanceof Uint8Array);
    assert.match(
      ofThe(notices)[0],
      /^mnist: pixels normalized by mean 0\.\d{4} and deviation 0\.\d{4} \(of 0 to 1\) of the 40 training/,
    );
    const [{ inputs, targets }] = batches(training, { batchSize: 40 });
    assert.ok(inputs.data instanceof Float32Array);
    const numbers = Float64Array.from(inputs.data);
    const mean = numbers.reduce((sum, value) => sum + value) / numbers.length;
    const variance = numbers.reduce((sum, value) => sum + (value - mean) ** 2, 0) / numbers.length;
    assert.ok(Math.abs(mean) < 1e-6 && Math.abs(variance - 1) < 1e-6, `${mean}, ${variance}`);
    assert.deepEqual([...targets.data.subarray(0, 4)], [0, 1, 2, 3]);
    const shown = toPixelBytes(training.inputs.scaling, inputs);
    assert.ok(shown.every((byte, at) => byte === training.inputs.data[at]));
  });

  it("takes the first rows, and fits on them alone", async () => {
    writeMnist(join(own, "mnist"));
    const { training, validation, notices } = await loadDataset("mnist", { rows: 30, dtype: "float64" });
    assert.deepEqual([training.inputs.shape[0], validation.inputs.shape[0]], [30, 40]);
    assert.match(ofThe(notices)[0], /of the first 30 of 40 training images$/);
    const [{ inputs }] = batches(selectRows(training, Int32Array.of(4, 2)), { batchSize: 2 });
    assert.ok(inputs.data instanceof Float64Array && isPixels(training.inputs));
    const { mean, deviation } = training.inputs.scaling;
    assert.equal(inputs.data[784 + 5], (training.inputs.data[2 * 784 + 5] / 255 - mean[0]) / deviation[0]);
    await assert.rejects(
      loadDataset("mnist", { rows: 41 }),
      new UsageError("invalid rows: 41 (must be at most 40, the training images of mnist)"),
    );
  });

  it("refuses what images have no use for", async () => {
    writeMnist(join(own, "mnist"));
    await assert.rejects(
      loadDataset("mnist", { target: "x" }),
      new UsageError("target is for tables, and mnist is a set of images"),
    );
    await assert.rejects(
      loadDataset("mnist", { validation: 0.1 }),
      new UsageError("validation is for data without a test part; mnist has its own test images"),
    );
    await assert.rejects(
      loadDataset("mnist", { task: "regression" }),
      new UsageError('invalid task: "regression" (must be classification, as mnist is)'),
    );
  });

  it("refuses labels without a class and images of another size", async () => {
    const place = join(own, "fashion-mnist");
    writeMnist(place);
    const labels = join(place, "train-labels-idx1-ubyte");
    writeFile(
      labels,
      idxLabels(40, (at) => (at === 17 ? 12 : 0)),
    );
    await assert.rejects(
      loadDataset("fashion-mnist"),
      new UsageError(`${labels}: label 17 is 12 (must be from 0 to 9)`),
    );
    writeFile(labels, idxLabels(40));
    writeFile(join(place, "train-images-idx3-ubyte"), idxImages(40, 14, 14));
    await assert.rejects(
      loadDataset("fashion-mnist"),
      new UsageError("fashion-mnist: its files hold images of 14 × 14 pixels (must be 28 × 28)"),
    );
  });
});

describe("CIFAR", () => {
  it("loads what there is of its files, and says so", async () => {
    const place = join(own, "cifar-10");
    for (const name of ["data_batch_1.bin", "data_batch_4.bin", "test_batch.bin"]) {
      writeFile(join(place, `${name}.gz`), gzipSync(cifar(20)));
    }
    const listed = join(place, "stand-in-records.json");
    writeFile(listed, Buffer.from('{"data_batch_1.bin": [1, 2], "test_batch.bin": [4]}'));
    const { training, validation, notices } = await loadDataset("cifar10");
    assert.deepEqual(training.inputs.shape, [40, 3, 32, 32]);
    assert.deepEqual(validation.inputs.shape, [20, 3, 32, 32]);
    assert.deepEqual(notices.slice(0, 2), [
      "cifar10: 2 of its 5 training files are here (data_batch_1.bin, data_batch_4.bin): 40 images",
      `cifar10: some pictures stand in for the official ones, and figures may not compare (${listed}): 2 in data_batch_1.bin, 1 in test_batch.bin`,
    ]);
    assert.equal(notices.length, 3);
    writeFile(listed, Buffer.from("{"));
    await assert.rejects(loadDataset("cifar10"), /stand-in-records\.json is not JSON/);
    const [{ targets }] = batches(training, { batchSize: 40 });
    assert.deepEqual([...targets.data.subarray(18, 22)], [1, 2, 3, 4]);
  });

  it("reads the archive, with fine labels", async () => {
    const files = {
      "cifar-100-binary/fine_label_names.txt": Buffer.from("apple\n"),
      "cifar-100-binary/test.bin": cifar(5, { fine: true, label: () => 99 }),
      "cifar-100-binary/train.bin": cifar(10, { fine: true, label: (at) => 90 + at }),
    };
    const path = join(own, "cifar100/cifar-100-binary.tar.gz");
    writeFile(path, gzipSync(tar(files)));
    const { training, validation, notices } = await loadDataset("cifar100");
    assert.ok(training.task.kind === "classification" && training.task.classNames.length === 100);
    assert.deepEqual([...training.targets.data], [90, 91, 92, 93, 94, 95, 96, 97, 98, 99]);
    assert.equal(validation.inputs.shape[0], 5);
    assert.equal(notices[0], `${path} differs from the known file (its sha256): figures may not compare`);
    writeFile(path, gzipSync(tar({ "cifar-100-binary/train.bin": cifar(10, { fine: true }) })));
    await assert.rejects(
      loadDataset("cifar100"),
      new UsageError(`cifar100: test.bin missing beside ${path}`),
    );
  });

  it("names the file that is missing", async () => {
    const path = join(own, "cifar10/data_batch_1.bin");
    writeFile(path, cifar(20));
    await assert.rejects(
      loadDataset("cifar10"),
      new UsageError(`cifar10: test_batch.bin missing beside ${path}`),
    );
  });

  it("leaves nothing in the cache of a download that is not the known archive", async () => {
    const archive = gzipSync(tar({ "data_batch_1.bin": cifar(2), "test_batch.bin": cifar(2) }));
    const server = createServer((request, response) => {
      response.end(request.url === "/whole" ? archive : archive.subarray(0, 1000));
    });
    await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
    const site = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const sha256 = [createHash("sha256").update(archive).digest("hex")];
    const set = (url: string) =>
      cifarSet({
        ...{ name: "tiny", summary: "", licence: "", source: "", test: "test_batch.bin", labelBytes: 1 },
        ...{ training: ["data_batch_1.bin"], classNames: ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"] },
        archive: { name: "tiny.tar.gz", url, sha256 },
      });
    const load = (definition: ReturnType<typeof set>) =>
      definition.load({}, (file) => locateFile(definition, file));
    const cache = join(own, "cache/natgrad/tiny");
    try {
      await assert.rejects(
        load(set(`${site}/corrupt`)),
        /what arrived is not the known file \(its sha256 differs\)/,
      );
      assert.deepEqual(readdirSync(cache), []);
      const { training } = await load(set(`${site}/whole`));
      assert.equal(training.inputs.shape[0], 2);
      assert.deepEqual(readdirSync(cache), ["tiny.tar.gz"]);
    } finally {
      server.close();
    }
  });
});

describe("the real files", { skip }, () => {
  beforeEach(() => {
    process.env.NATGRAD_DATA = realData;
  });

  it("mnist: the published mean, deviation and class counts", async () => {
    const { training, validation, notices } = await loadDataset("mnist");
    assert.deepEqual(notices, [
      "mnist: pixels normalized by mean 0.1307 and deviation 0.3081 (of 0 to 1) of the 60000 training images",
    ]);
    assert.deepEqual(
      counts(training.targets.data),
      [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949],
    );
    assert.deepEqual(
      counts(validation.targets.data),
      [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009],
    );
  });

  it("cifar10: two of five training files", async () => {
    const { training, validation, notices } = await loadDataset("cifar10");
    assert.deepEqual(training.inputs.shape, [20_000, 3, 32, 32]);
    assert.deepEqual(counts(validation.targets.data), new Array(10).fill(1000));
    assert.match(notices[0], /^cifar10: 2 of its 5 training files are here/);
    assert.match(notices[1], /10 in data_batch_1.bin, 5 in data_batch_2.bin, 20 in test_batch.bin$/);
  });
});

function counts(labels: ArrayLike<number>): number[] {
  const result = new Array(10).fill(0);
  for (const label of Array.from(labels)) result[label]++;
  return result;
}
