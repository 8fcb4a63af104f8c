import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Dataset } from "../../src/data/dataset.ts";
import { type Tensor, tensor } from "../../src/tensor.ts";
import { classify } from "../../src/training/classification.ts";

const classNames = ["a", "b", "c"];

/** Images of 1 × 2 pixels whose numbers are 0, 1, 2, …, with classes in turn. */
function imagesOf(count: number): Dataset {
  return {
    name: "images",
    inputs: tensor(
      Float32Array.from({ length: 2 * count }, (_, k) => k),
      [count, 1, 1, 2],
    ),
    targets: tensor(Int32Array.from({ length: count }, (_, row) => row % 3)),
    task: { kind: "classification", targetNames: ["letter"], classNames },
    inputNames: ["left", "right"],
    notices: [],
  };
}

/** A model that says `class` with logit `strength` over 0 for the row. */
const model = (answers: readonly (readonly [number, number])[]) => ({
  async predict({ shape }: Tensor) {
    assert.equal(shape[0], answers.length);
    return tensor(
      Float64Array.from({ length: 3 * answers.length }, (_, k) => {
        const [predicted, strength] = answers[Math.floor(k / 3)];
        return k % 3 === predicted ? strength : 0;
      }),
      [answers.length, 3],
    );
  },
});

describe("what a classifier makes of its examples", () => {
  it("counts every class by what it is taken for", async () => {
    const right = [0, 1, 2, 0, 1, 2];
    const answers = right.map((truth, row) => [row === 4 ? 2 : truth, 1] as const);
    const found = await classify(model(answers), imagesOf(6));
    assert.deepEqual(found?.classNames, classNames);
    assert.deepEqual(found?.confusion, [
      [2, 0, 0],
      [0, 1, 1],
      [0, 0, 2],
    ]);
  });

  it("shows the most confident mistakes first, then what is right, twenty in all", async () => {
    const answers = Array.from({ length: 60 }, (_, row) => {
      const wrong = row >= 20 && row < 50;
      return [(row + (wrong ? 1 : 0)) % 3, row === 30 ? 100 : 0.1 * row] as const;
    });
    const { images } = (await classify(model(answers), imagesOf(60)))!;
    const rows = images.map(({ row }) => row);
    assert.deepEqual(rows, [30, ...Array.from({ length: 14 }, (_, k) => 49 - k), 0, 1, 2, 3, 4]);
    assert.equal(images[0].confidence, 1 / (1 + 2 * Math.exp(-100)));
    assert.ok(Math.abs(images[1].confidence - 1 / (1 + 2 * Math.exp(-4.9))) < 1e-12);
    assert.deepEqual([images[1].truth, images[1].predicted], [49 % 3, 50 % 3]);
  });

  it("fills up with either where there is too little of the other", async () => {
    const all = (shift: number) => Array.from({ length: 30 }, (_, row) => [(row + shift) % 3, 1] as const);
    const mistakes = async (shift: number) => {
      const { images } = (await classify(model(all(shift)), imagesOf(30)))!;
      assert.equal(images.length, 20);
      return images.filter(({ truth, predicted }) => truth !== predicted).length;
    };
    assert.deepEqual([await mistakes(0), await mistakes(1)], [0, 20]);
  });

  it("gives the brightness of the images: their bytes, or numbers from the least to the largest shown", async () => {
    const dataset = imagesOf(3);
    const answers = [0, 1, 2].map((truth) => [truth, 1] as const);
    const numbers = (await classify(model(answers), dataset))!.images;
    assert.deepEqual(
      numbers.map(({ bytes, shape }) => [[...bytes], shape]),
      [
        [
          [0, 51],
          [1, 1, 2],
        ],
        [
          [102, 153],
          [1, 1, 2],
        ],
        [
          [204, 255],
          [1, 1, 2],
        ],
      ],
    );
    const pixels = {
      ...{ shape: [3, 1, 1, 2], data: Uint8Array.from([5, 6, 7, 8, 9, 10]), dtype: "float32" },
      scaling: { mean: [0.5], deviation: [0.1] },
    };
    const { images } = (await classify(model(answers), { ...dataset, inputs: pixels }))!;
    assert.deepEqual(
      images.map(({ bytes }) => [...bytes]),
      [
        [5, 6],
        [7, 8],
        [9, 10],
      ],
    );
  });

  it("shows no images of a table, and nothing at all of a regression", async () => {
    const dataset = imagesOf(3);
    const answers = [0, 1, 2].map((truth) => [truth, 1] as const);
    const table = { ...dataset, inputs: { ...dataset.inputs, shape: [3, 2] } };
    assert.deepEqual((await classify(model(answers), table))?.images, []);
    const scaling = { mean: [0], deviation: [1], log: false };
    const task = { kind: "regression", targetNames: ["y"], scaling } as const;
    assert.equal(await classify(model(answers), { ...dataset, task }), undefined);
  });
});
