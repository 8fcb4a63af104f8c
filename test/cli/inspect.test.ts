import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { before, describe, it } from "node:test";
import { checkpoint, events, natgrad, scratchFolder } from "./support.ts";

describe("natgrad inspect", () => {
  const folder = scratchFolder();
  const read = (path: string) => readFile(join(folder, path), "utf8");

  before(async () => {
    const small = ["--rows", "200", "--batch-size", "16", "--hidden", "4", "--epochs", "2", "--seed", "4"];
    const { code, stderr } = await natgrad(folder, ["train", "friedman1", ...small, "--name", "small"]);
    assert.equal(code, 0, stderr);
  });

  it("writes a page and its numbers beside the run, and leaves the run as it was", async () => {
    const parameters = await checkpoint(folder, "small");
    const { code, stdout, stderr } = await natgrad(folder, ["inspect", "runs/small"]);
    assert.equal(code, 0, stderr);
    assert.match(
      stdout,
      /^exact Fisher matrix of 128 rows, damping 0\.1: rank \d+ of 49, effective dimension /,
    );
    assert.match(stdout, /^exactNgd +1 +1 +1 +100\.0 %$/m);
    assert.match(stdout, /^tengrad as trained +0\.\d+/m);
    assert.match(stdout, /^left out: kbfgs: it learns its inverse/m);
    assert.match(stdout, /^report: runs\/small\/inspect\.html$/m);
    assert.match(stderr, /runs\/small {2}inspected/);
    const html = await read("runs/small/inspect.html");
    assert.match(html, /<title>small: curvature at epoch 2<\/title>/);
    assert.match(html, /natgrad inspect runs\/small --seed 0/);
    const numbers = JSON.parse(await read("runs/small/inspect.json"));
    assert.equal(numbers.format, "natgrad inspection 1");
    assert.equal(numbers.samples, 128);
    assert.deepEqual(
      numbers.spectra.map(({ name, parameters }: { name: string; parameters: number }) => [name, parameters]),
      [
        ["all", 49],
        ["0", 44],
        ["2", 5],
      ],
    );
    assert.deepEqual(await checkpoint(folder, "small"), parameters);
  });

  it("takes samples, Fisher type, damping, methods, layers, seed and a file, and gives JSON", async () => {
    const options = [
      "--samples",
      "20",
      "--fisher",
      "empirical",
      "--damping",
      "0.5",
      "--methods",
      "kfac,diagonalNgd",
    ];
    const ended = await natgrad(folder, [
      ...[
        "inspect",
        "runs/small",
        ...options,
        "--layers",
        "2",
        "--seed",
        "9",
        "--out",
        "pages/one.html",
        "--json",
      ],
    ]);
    assert.equal(ended.code, 0, ended.stderr);
    const [end, ...rest] = events(ended);
    assert.deepEqual(rest, []);
    assert.equal(end.report, "pages/one.html");
    assert.equal(end.rows, 20);
    const numbers = JSON.parse(await read("pages/one.json"));
    assert.equal(numbers.fisher, "empirical");
    assert.equal(numbers.damping, 0.5);
    assert.deepEqual(
      numbers.layers.map(({ name }: { name: string }) => name),
      ["2"],
    );
    assert.deepEqual(numbers.directions.map(({ name }: { name: string }) => name).sort(), [
      "diagonalNgd",
      "gradient",
      "kfac",
      "tengrad as trained",
    ]);
    assert.match(await read("pages/one.html"), /--layers 2 --seed 9 --out pages\/one\.html --json</);
  });

  it("says in one line what is wrong", async () => {
    const config = await read("runs/small/config.json");
    await mkdir(join(folder, "runs/untrained"));
    await writeFile(join(folder, "runs/untrained/config.json"), config);
    await mkdir(join(folder, "runs/other"));
    const other = config.replace(/"hidden": \[\s*4\s*\]/, '"hidden": [5]');
    assert.notEqual(other, config);
    await writeFile(join(folder, "runs/other/config.json"), other);
    await writeFile(
      join(folder, "runs/other/checkpoint.safetensors"),
      await readFile(join(folder, "runs/small/checkpoint.safetensors")),
    );
    const refusals: [string[], RegExp][] = [
      [["runs/none"], /no run in runs\/none/],
      [["runs/untrained"], /runs\/untrained has no checkpoint\.safetensors yet/],
      [["runs/other"], /is a checkpoint of another run: its model is/],
      [["runs/small", "--methods", "tengrd"], /unknown optimizer: tengrd \(did you mean tengrad\?\)/],
      [["runs/small", "--methods", "sgd"], /sgd makes no direction of one batch's curvature/],
      [["runs/small", "--layers", "1"], /unknown layer: 1 \(the network has 0, 2\)/],
      [["runs/small", "--samples", "161"], /invalid samples: 161 \(must be an integer from 1 to 160/],
      [["runs/small", "--damping", "0"], /invalid --damping: "0" \(must be a number > 0\)/],
      [["runs/small", "--fisher", "true"], /invalid --fisher: "true"/],
      [["runs/small", "--out", "page.txt"], /invalid --out: "page\.txt" \(must end in \.html\)/],
    ];
    await rm(join(folder, "runs/small/inspect.html"), { force: true });
    for (const [args, message] of refusals) {
      const { code, stdout, stderr } = await natgrad(folder, ["inspect", ...args]);
      assert.equal(code, 2, args.join(" "));
      assert.equal(stdout, "");
      assert.match(stderr, new RegExp(`^natgrad: .*${message.source}`, "m"), args.join(" "));
      assert.ok(!existsSync(join(folder, "runs/small/inspect.html")));
    }
  });
});
