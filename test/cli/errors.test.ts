import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { before, describe, it } from "node:test";
import { gzipSync } from "node:zlib";
import { metrics, natgrad, scratchFolder, start, writeFlats } from "./support.ts";

describe("bad input: one line on stderr and an exit code", () => {
  const folder = scratchFolder();
  before(async () => {
    await writeFlats(folder);
    const files: Record<string, string | Buffer> = {
      "empty.csv": "",
      "oneclass.csv": `x,kind\n${"1,a\n2,a\n3,a\n".repeat(9)}`,
      "text.csv": `x,y\n${"1,2.5\n3,4.5\n".repeat(30)}oops,3.5\n`,
      "infinite.csv": `x,y\n${"1,2.5\n3,4.5\n".repeat(30)}Infinity,3.5\n`,
      "cut.csv.gz": gzipSync("x,y\n" + "1,2.5\n3,4.5\n".repeat(3000)).subarray(0, 60),
    };
    for (const [name, contents] of Object.entries(files)) await writeFile(join(folder, name), contents);
  });

  const cases: [command: string, code: number, line: RegExp][] = [
    ["trian", 2, /unknown command 'trian' \(Did you mean train\?\)/],
    ["data lits", 2, /unknown command 'lits' \(Did you mean list\?\)/],
    ["train", 2, /missing required argument 'dataset'/],
    ["train friedman1 --epoch 3", 2, /unknown option '--epoch' \(Did you mean --epochs\?\)/],
    ["train friedman1 --epochs 0", 2, /invalid --epochs: "0" \(must be a positive integer\)/],
    ["train friedman1 --epochs abc", 2, /invalid --epochs: "abc" \(must be a positive integer\)/],
    ["train friedman1 --epochs", 2, /option '--epochs <n>' argument missing/],
    ["train friedman2", 2, /unknown dataset "friedman2"; did you mean "friedman1"\?/],
    ["train data/none.csv", 2, /no such file: data\/none.csv/],
    ["train flats.csv --target prise", 2, /no column "prise"; did you mean "price"\?/],
    ["train flats.csv --drop quater", 2, /no column "quater"; did you mean "quarter"\?/],
    ["train empty.csv", 2, /empty.csv/],
    ["train oneclass.csv", 2, /oneclass.csv: .*kind/],
    ["train text.csv", 2, /text.csv line 62, column "x": "oops"/],
    ["train infinite.csv", 2, /infinite.csv line 62, column "x": Infinity/],
    ["train cut.csv.gz", 2, /cut.csv.gz/],
    ["train friedman1 --optimizer tengard", 2, /unknown optimizer: tengard \(did you mean tengrad\?\)/],
    ["train none.csv --optimizer tengard", 2, /unknown optimizer: tengard/], // before any data are looked for
    ["train none.csv --learning-rate -1", 2, /invalid learningRate: -1/],
    ["compare none.csv --optimizers kfac --damping -1", 2, /invalid damping: -1/],
    ["train friedman1 --learning-rate -1", 2, /invalid learningRate: -1/],
    ["train friedman1 --damping -0.1", 2, /invalid damping: -0.1/],
    ["train friedman1 --optimizer sgd --damping 1", 2, /sgd has no option damping/],
    ["train friedman1 --option momentm=0.5", 2, /tengrad has no option momentm \(did you mean momentum\?\)/],
    [
      'train none.csv --schedule cosine --option learningRate={"schedule":"exponential","initial":0.1,"decay":0.9}',
      2,
      /invalid --schedule: "cosine" \(must be left out where --option learningRate has a schedule of its own\)/,
    ],
    [
      'compare none.csv --schedule cosine --option sgd.learningRate={"schedule":"warmup","steps":9,"after":0.1}',
      2,
      /invalid --schedule: "cosine"/,
    ],
    [
      "train none.csv --option damping=big",
      2,
      /^natgrad: invalid damping: "big" \(must be a number > 0 or \{ policy, … \}\)\n$/,
    ],
    [
      "train none.csv --option learningRate=big",
      2,
      /invalid learningRate: "big" \(must be a number >= 0 or /,
    ],
    ["train friedman1 --option momentum", 2, /invalid --option: "momentum" \(must be key=value\)/],
    ["train friedman1 --batch-size 5000", 2, /invalid --batch-size: 5000 \(must be at most 1600/],
    [
      "train friedman1 --batch-size most",
      2,
      /invalid --batch-size: "most" \(must be a positive integer, or all\)/,
    ],
    [
      "train spirals --optimizer levenbergMarquardt",
      2,
      /fits least squares, the gaussian likelihood, not the categorical one \(use exactNgd or lbfgs\)/,
    ],
    ["train friedman1 --memory-limit 0.00001", 2, /needs \d+\.\d KiB, the limit is 10\.5 KiB/],
    ["train friedman1 --hidden 3,x", 2, /invalid --hidden: "3,x"/],
    ["train friedman1 --activation tan", 2, /invalid --activation: "tan" \(must be tanh \| relu/],
    ["train friedman1 --device webgpu", 2, /device "webgpu": no WebGPU adapter/],
    ["train friedman1 --validation 1.5", 2, /invalid validation: 1.5/],
    ["train friedman1 --name a/b", 2, /invalid run name: "a\/b"/],
    ["train friedman1 --runs-dir flats.csv", 1, /cannot make a run folder in flats.csv/],
    ["compare friedman1 --optimizers sgd,adan", 2, /unknown optimizer: adan \(did you mean adam\?\)/],
    ["compare friedman1 --optimizers sgd --damping 1", 2, /none of sgd has an option damping/],
    ["compare friedman1 --option adan.beta1=0", 2, /unknown optimizer: adan/],
    ["data fetch friedmann1", 2, /unknown dataset "friedmann1"; did you mean "friedman1"\?/],
  ];
  for (const [command, code, line] of cases) {
    it(`natgrad ${command}`, async () => {
      const run = await natgrad(folder, command.split(" "));
      assert.match(run.stderr, /^natgrad: [^\n]+\n$/);
      assert.match(run.stderr, line);
      assert.equal(run.code, code);
      assert.equal(run.stdout, "");
    });
  }

  it("a damping of 0 where the Fisher matrix is singular fails the run, exit code 1", async () => {
    const args = [
      "train",
      "glyphs",
      "--rows",
      "200",
      "--hidden",
      "none",
      "--batch-size",
      "32",
      "--epochs",
      "20",
    ];
    const run = await natgrad(folder, [...args, "--optimizer", "exactNgd", "--damping", "0"]);
    assert.equal(run.code, 1, run.stderr);
    const failure = run.stderr.split("\n").filter((text) => text.startsWith("natgrad: "));
    assert.equal(failure.length, 1);
    assert.match(failure[0], /training stopped after 20 rejected steps in a row: .*damping/);
  });

  it("a loss that is not finite at the end fails the run, exit code 1, with report and files", async () => {
    const args = [
      "train",
      "friedman1",
      "--rows",
      "400",
      "--hidden",
      "8",
      "--optimizer",
      "sgd",
      "--epochs",
      "3",
    ];
    const run = await natgrad(folder, [...args, "--learning-rate", "1000", "--name", "diverged"]);
    assert.equal(run.code, 1, run.stderr);
    const failure = run.stderr.split("\n").filter((text) => text.startsWith("natgrad: "));
    assert.deepEqual(failure, [
      "natgrad: training ended with a training loss of Infinity (a smaller learning rate or more damping may help)",
    ]);
    assert.match(run.stdout, /\nreport: runs\/diverged\/report.html\n$/);
    for (const file of ["report.html", "checkpoint.safetensors", "config.json"])
      assert.ok(existsSync(join(folder, "runs/diverged", file)), file);
    assert.equal((await metrics(folder, "diverged")).length, 4);
  });

  it("a folder that cannot be written any more fails the run, exit code 1", async () => {
    const running = start(folder, ["train", "friedman1", "--epochs", "5000", "--name", "gone"]);
    await running.sees("epoch 1/5000");
    await rename(join(folder, "runs/gone"), join(folder, "elsewhere"));
    await writeFile(join(folder, "runs/gone"), "a file where the run's folder was");
    const { code, stderr } = await running.ended;
    assert.equal(code, 1);
    assert.match(
      stderr,
      /\nnatgrad: cannot write runs\/gone\/checkpoint.safetensors: E(NOTDIR|EXIST)[^\n]*\n$/,
    );
  });

  it("NATGRAD_DEBUG=1 adds where an error came from", async () => {
    const run = await natgrad(folder, ["train", "friedman2"], { NATGRAD_DEBUG: "1" });
    assert.equal(run.code, 2);
    assert.match(run.stderr, /^natgrad: unknown dataset.*\n(.*\n)*\s+at /);
  });
});
