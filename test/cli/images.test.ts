/** Images on the command line, on files in MNIST's format that the test writes. */
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { before, describe, it } from "node:test";
import { idxLabels, writeFile, writeMnist } from "../data/image-files.ts";
import { checkpoint, events, metrics, natgrad, scratchFolder } from "./support.ts";

describe("images", () => {
  const folder = scratchFolder();
  const here = { NATGRAD_DATA: join(folder, "data") };
  const run = (command: string) => natgrad(folder, command.split(" "), here);
  const damaged = join(folder, "data/fashion-mnist/t10k-images-idx3-ubyte");
  before(() => {
    writeMnist(join(folder, "data/mnist"), 64);
    writeMnist(join(folder, "data/fashion-mnist"), 64);
    writeFile(damaged, idxLabels(64));
  });
  const small =
    "train mnist --model small-conv --model-option filters=2 --rows 48 --batch-size 16 --augment crop=2,flip";

  it("train a network by name, which its run remembers", async () => {
    const [whole, part] = await Promise.all([
      run(`${small} --epochs 3 --name whole --json`),
      run(`${small} --epochs 2 --name part`),
    ]);
    assert.equal(whole.code, 0, whole.stderr);
    const [first] = events(whole);
    assert.deepEqual([first.trainingRows, first.validationRows, first.features], [48, 64, 784]);
    assert.match(String(first.model), /^conv2d\(2, kernel 5/);
    assert.equal((events(whole).at(-1)!.metric as { name: string }).name, "accuracy");
    assert.match(part.stdout, /^mnist: 48 rows to train on, 64 to validate, images of 28 × 28 pixels/m);
    assert.match(part.stdout, /^model: small-conv, filters 2 \(\d+ parameters\)$/m);
    const config = JSON.parse(await readFile(join(folder, "runs/part/config.json"), "utf8"));
    assert.deepEqual(config.model, { name: "small-conv", options: { filters: 2 } });
    assert.deepEqual(config.training.augment, { crop: 2, flip: true });
    const report = await readFile(join(folder, "runs/part/report.html"), "utf8");
    assert.match(
      report,
      /<h2>Images<\/h2>\n<p>\d+ of 64 validation images are taken for something else: 15 of/,
    );
    const resumed = await run("resume runs/part --epochs 1");
    assert.equal(resumed.code, 0, resumed.stderr);
    assert.deepEqual(await checkpoint(folder, "part"), await checkpoint(folder, "whole"));
    assert.deepEqual(await metrics(folder, "part"), await metrics(folder, "whole"));
  });

  it("train dense networks too, and can be compared", async () => {
    const ended = await run("compare mnist --hidden 4 --optimizers adam,tengrad --epochs 1 --json");
    assert.equal(ended.code, 0, ended.stderr);
    assert.deepEqual(events(ended)[0].model, { hidden: [4], activation: "tanh" });
    const inspected = await run("inspect runs/mnist-compare/tengrad --methods tengrad --samples 8");
    assert.equal(inspected.code, 0, inspected.stderr);
  });

  const cases: [command: string, line: RegExp][] = [
    ["train mnist --model small-cnov", /invalid --model: "small-cnov" \(did you mean "small-conv"\?\)/],
    [
      "train friedman1 --model 3c1f",
      /invalid --model: "3c1f" \(must be dense for friedman1, which has no images\)/,
    ],
    ["train friedman1 --augment flip", /invalid augment: friedman1 has no images/],
    [
      "train mnist --augment rotate",
      /invalid --augment: "?rotate"? \(must be crop, crop=<pixels>, flip, or both, separated by a comma\)/,
    ],
    ["train fashion-mnist", /t10k-images-idx3-ubyte holds labels \(its magic number is 2049\)/],
  ];
  for (const [command, line] of cases) {
    it(`natgrad ${command} is refused in one line`, async () => {
      const { code, stdout, stderr } = await run(command);
      assert.match(stderr, /^natgrad: [^\n]+\n$/);
      assert.match(stderr, line);
      assert.deepEqual([code, stdout], [2, ""]);
    });
  }
});
