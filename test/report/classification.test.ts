/** Images and classes in the report of a single run. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { decode } from "fast-png";
import { Window } from "happy-dom";
import { renderReport } from "../../src/report/index.ts";
import type { Classification, ClassifiedImage } from "../../src/training/classification.ts";
import { context, run } from "./runs.ts";

const window = new Window();

function render(classification?: Classification) {
  const html = renderReport({ ...context, classification }, [run("tengrad", [])]); // without charts, which take their time
  return new window.DOMParser().parseFromString(html, "text/html");
}

const textOf = (element: { textContent: string | null } | null) =>
  (element?.textContent ?? "").replace(/\s+/g, " ").trim();

const image = (changes: Partial<ClassifiedImage> = {}): ClassifiedImage => ({
  ...{ row: 0, truth: 0, predicted: 1, confidence: 0.987, shape: [1, 2, 3] },
  bytes: Uint8Array.from([0, 50, 100, 150, 200, 250]),
  ...changes,
});

const two: Classification = {
  classNames: ["cat", "<dog>"],
  confusion: [
    [30, 10],
    [1500, 500],
  ],
  images: [image(), image({ truth: 1, confidence: 0.5 })],
};

describe("the images of a report", () => {
  const page = render(two);
  const tiles = [...page.querySelectorAll(".sheet li")];

  it("say what each is and what it is taken for, in words and by a mark", () => {
    assert.deepEqual(
      tiles.map((tile) => [tile.className, tile.querySelector("img")!.getAttribute("alt"), textOf(tile)]),
      [
        ["wrong", "cat, taken for <dog>", "✗ <dog> 98 %is cat"],
        ["right", "<dog>, and taken for it", "✓ <dog> 50 %"],
      ],
    );
    const section = [...page.querySelectorAll("section")].find(
      (one) => textOf(one.querySelector("h2")) === "Images",
    )!;
    assert.equal(
      textOf(section.querySelector("p")),
      "1,510 of 2,040 validation images are taken for something else: 1 of them, then 1 that are right.",
    );
  });

  it("are PNGs of the pixels, enlarged by a whole number", () => {
    const [first] = tiles.map((tile) => tile.querySelector("img")!);
    const png = (source: string) => decode(Buffer.from(source.split(",")[1], "base64"));
    const { width, height, channels, data } = png(first.getAttribute("src")!);
    assert.deepEqual([width, height, channels, [...data]], [3, 2, 1, [0, 50, 100, 150, 200, 250]]);
    assert.deepEqual([first.getAttribute("width"), first.getAttribute("height")], ["90", "60"]);
    const color = image({ shape: [3, 1, 2], bytes: Uint8Array.from([1, 2, 3, 4, 5, 6]) });
    const shown = png(
      render({ ...two, images: [color] })
        .querySelector(".sheet img")!
        .getAttribute("src")!,
    );
    assert.deepEqual([shown.channels, [...shown.data]], [3, [1, 3, 5, 2, 4, 6]]);
  });

  it("are introduced by how many are wrong", () => {
    const sentence = (confusion: number[][], images: ClassifiedImage[]) =>
      textOf(render({ ...two, confusion, images }).querySelector(".sheet")!.previousElementSibling);
    const right = image({ predicted: 0 });
    const diagonal = [
      [3, 0],
      [0, 4],
    ];
    assert.equal(
      sentence(diagonal, [right]),
      "All 7 validation images are taken for what they are, as these.",
    );
    const once = [
      [2, 1],
      [0, 4],
    ];
    assert.equal(
      sentence(once, [image(), right, right]),
      "1 of 7 validation images is taken for something else: it, then 2 that are right.",
    );
    const twice = [
      [1, 2],
      [0, 4],
    ];
    assert.equal(
      sentence(twice, [image(), image()]),
      "2 of 7 validation images are taken for something else: all 2, the most confident first.",
    );
  });

  it("are absent where there are none", () => {
    const headings = (classification?: Classification) =>
      [...render(classification).querySelectorAll("h2")].map(textOf);
    assert.deepEqual(headings().slice(0, 2), ["Results", "Curvature"]);
    assert.deepEqual(headings({ ...two, images: [] }).slice(0, 3), ["Results", "Classes", "Curvature"]);
  });
});

describe("the classes of a report", () => {
  const cells = (classification: Classification) => {
    const page = render(classification);
    const table = [...page.querySelectorAll("section")]
      .find((one) => textOf(one.querySelector("h2")) === "Classes")!
      .querySelector("table")!;
    return [...table.querySelectorAll("tr")].map((row) => [...row.children].map(textOf));
  };

  it("are counted by what they are taken for, with their accuracy", () => {
    assert.deepEqual(cells(two), [
      ["is ↓ taken for →", "cat", "<dog>", "right"],
      ["cat", "30", "10", "75.0 %"],
      ["<dog>", "1,500", "500", "25.0 %"],
    ]);
    const empty = [
      [0, 0],
      [0, 2],
    ];
    assert.deepEqual(cells({ ...two, confusion: empty })[1], ["cat", "0", "0", "–"]);
  });

  it("are pairs, the most frequent mistakes, when there are many", () => {
    const classNames = Array.from({ length: 30 }, (_, k) => `class ${k}`);
    const confusion = classNames.map((_, truth) =>
      classNames.map((_, taken): number => (truth === taken ? 8 : 0)),
    );
    confusion[3][7] = 2;
    confusion[20][1] = 5;
    assert.deepEqual(cells({ classNames, confusion, images: [] }), [
      ["class", "taken for", "examples", "of the class"],
      ["class 20", "class 1", "5", "38.5 %"],
      ["class 3", "class 7", "2", "20.0 %"],
    ]);
  });
});
