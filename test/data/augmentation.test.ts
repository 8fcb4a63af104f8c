import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import type { Augmentation } from "../../src/data/augmentation.ts";
import { batches } from "../../src/data/batches.ts";
import type { Dataset } from "../../src/data/dataset.ts";
import { UsageError } from "../../src/errors.ts";
import type { Pixels } from "../../src/pixels.ts";
import { Random } from "../../src/random.ts";
import { sizeOf, tensor } from "../../src/tensor.ts";

/** Images whose pixels are all different, from 1 on, labelled by their number. */
function pictures(count: number, shape: readonly number[]): Dataset {
  const size = sizeOf(shape);
  return {
    name: "pictures",
    inputs: tensor(
      Float32Array.from({ length: count * size }, (_, k) => k + 1),
      [count, ...shape],
    ),
    targets: tensor(Int32Array.from({ length: count }, (_, row) => row)),
    task: { kind: "classification", targetNames: ["picture"], classNames: [] },
    inputNames: [],
    notices: [],
  };
}

const copies = (dataset: Dataset, options: Parameters<typeof batches>[1]) =>
  Array.from(batches(dataset, options), ({ inputs, targets }) => ({
    inputs: [...inputs.data],
    targets: [...targets.data],
  }));

/** Every window that an image may become, with the mirrored ones if they are allowed. */
function views(
  image: readonly number[],
  [channels, height, width]: readonly number[],
  { crop = 0, flip = false }: Augmentation,
) {
  const at = (c: number, y: number, x: number) =>
    y >= 0 && y < height && x >= 0 && x < width ? image[(c * height + y) * width + x] : 0;
  const all = new Set<string>();
  for (let down = -crop; down <= crop; down++) {
    for (let right = -crop; right <= crop; right++) {
      for (const mirrored of flip ? [false, true] : [false]) {
        const view: number[] = [];
        for (let c = 0; c < channels; c++)
          for (let y = 0; y < height; y++)
            for (let x = 0; x < width; x++)
              view.push(at(c, y + down, (mirrored ? width - 1 - x : x) + right));
        all.add(view.join());
      }
    }
  }
  return all;
}

describe("augmentation", () => {
  it("makes every image a window of the padded original, mirrored or not, beside its own target", () => {
    const side = fc.integer({ min: 1, max: 5 });
    fc.assert(
      fc.property(
        fc.tuple(fc.integer({ min: 1, max: 3 }), side, side),
        fc.record({ crop: fc.integer({ min: 0, max: 3 }), flip: fc.boolean() }),
        fc.integer(),
        (shape, augment, seed) => {
          const dataset = pictures(7, shape);
          const size = sizeOf(shape);
          for (const { inputs, targets } of copies(dataset, {
            ...{ batchSize: 3, dropLast: false, random: new Random(seed), augment },
          })) {
            targets.forEach((row, k) => {
              const original = [...dataset.inputs.data.subarray(row * size, (row + 1) * size)];
              const seen = inputs.slice(k * size, (k + 1) * size).join();
              assert.ok(views(original, shape, augment).has(seen), `${seen} is no view of ${original}`);
            });
          }
        },
      ),
      { numRuns: 60 },
    );
  });

  it("shows all views of an image in the course of the epochs, each about as often", () => {
    const augment = { crop: 1, flip: true };
    const dataset = pictures(1, [1, 3, 3]);
    const seen = new Map<string, number>();
    const epochs = 1800;
    for (let epoch = 0; epoch < epochs; epoch++) {
      const [{ inputs }] = copies(dataset, { batchSize: 1, random: new Random(4), epoch, augment });
      seen.set(inputs.join(), (seen.get(inputs.join()) ?? 0) + 1);
    }
    assert.deepEqual(new Set(seen.keys()), views([...dataset.inputs.data], [1, 3, 3], augment));
    for (const count of seen.values()) assert.ok(count > 60 && count < 145, `${count} of 100`); // four deviations of √(100·17/18)
  });

  it("goes on in the middle of an epoch with the same views, whatever was drawn meanwhile", () => {
    const dataset = pictures(20, [2, 4, 4]);
    const options = { batchSize: 4, epoch: 5, augment: { crop: 2, flip: true } };
    const whole = copies(dataset, { ...options, random: new Random(3) });
    const used = new Random(3);
    used.uniform();
    assert.deepEqual(copies(dataset, { ...options, random: used, start: 2 }), whole.slice(2));
    assert.notDeepEqual(
      copies(dataset, { ...options, random: new Random(3), epoch: 6 })[0].inputs,
      whole[0].inputs,
    );
  });

  it("leaves the order of the rows as it is without", () => {
    const dataset = pictures(20, [1, 4, 4]);
    const options = { batchSize: 4, random: new Random(3) };
    const targets = (augment?: Augmentation) =>
      copies(dataset, { ...options, augment }).map((batch) => batch.targets);
    assert.deepEqual(targets({ crop: 1, flip: true }), targets());
    const unchanged = copies(dataset, { ...options, augment: { crop: 0, flip: false } });
    assert.deepEqual(unchanged, copies(dataset, options));
  });

  it("works on pixels as on the numbers that they stand for", () => {
    const { inputs, ...dataset } = pictures(9, [1, 3, 4]);
    const bytes: Pixels = {
      ...{ shape: inputs.shape, data: Uint8Array.from(inputs.data), dtype: "float64" },
      scaling: { mean: [0.2], deviation: [0.5] },
    };
    const numbers = tensor(
      Float64Array.from(inputs.data, (byte) => (byte / 255 - 0.2) / 0.5),
      inputs.shape,
    );
    const options = { batchSize: 4, random: new Random(1), augment: { crop: 1, flip: true } };
    assert.deepEqual(
      copies({ ...dataset, inputs: bytes }, options),
      copies({ ...dataset, inputs: numbers }, options),
    );
  });

  it("refuses what is no image, and options out of range", () => {
    const dataset = pictures(4, [1, 2, 3]);
    const flat = { ...dataset, inputs: { ...dataset.inputs, shape: [4, 6] } };
    const options = { batchSize: 2, random: new Random(1), augment: { crop: 1 } };
    assert.throws(
      () => batches(flat, options),
      new UsageError("invalid augment: pictures has no images (its inputs are (4, 6), not (N, C, H, W))"),
    );
    assert.throws(
      () => batches(dataset, { ...options, augment: { crop: 1.5 } }),
      new UsageError("invalid augment crop: 1.5 (must be an integer >= 0, in pixels)"),
    );
    assert.throws(() => batches(dataset, { ...options, random: undefined }), /augment needs random/);
  });
});
