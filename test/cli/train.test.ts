import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { before, describe, it } from "node:test";
import { events, metrics, natgrad, scratchFolder, withoutData, writeFlats } from "./support.ts";

describe("natgrad train", () => {
  const folder = scratchFolder();
  before(() => writeFlats(folder));

  it("trains on a CSV file with nothing but its name, and explains most of the target", async () => {
    const run = await natgrad(folder, ["train", "flats.csv", "--seed", "3"]);
    assert.equal(run.code, 0, run.stderr);
    assert.match(run.stdout, /160 rows to train on, 40 to validate, 5 inputs, regression/);
    assert.match(run.stdout, /after 60 epochs/);
    const records = await metrics(folder, "flats");
    assert.equal(records.length, 61);
    assert.ok(records[60].validationLoss! < 0.1 * records[0].validationLoss!, "ends far below its start");
    assert.equal(run.stderr.split("\n").filter((line) => line.includes("epoch")).length, 61);
    for (const file of ["config.json", "checkpoint.safetensors", "report.html"]) {
      assert.ok(existsSync(join(folder, "runs/flats", file)), file);
    }
  });

  it("takes full batches, and says where a method has too small ones", async () => {
    const args = ["train", "friedman1", "--rows", "500", "--hidden", "4", "--epochs", "4"];
    const [full, small] = await Promise.all([
      natgrad(folder, [
        ...args,
        "--optimizer",
        "levenbergMarquardt",
        "--batch-size",
        "all",
        "--name",
        "full",
      ]),
      natgrad(folder, [...args, "--optimizer", "lbfgs", "--batch-size", "16", "--name", "small"]),
    ]);
    for (const { code, stderr } of [full, small]) assert.equal(code, 0, stderr);
    assert.match(full.stdout, /batch size 400/);
    assert.doesNotMatch(full.stdout, /note: /);
    assert.deepEqual(
      (await metrics(folder, "full")).map(({ step }) => step),
      [0, 1, 2, 3, 4],
    );
    assert.match(small.stdout, /note: lbfgs, \d of 4 epochs: small batches: the loss changes more/);
  });

  it("reports the command, the curvature and the data", async () => {
    const args = [
      "train",
      "flats.csv",
      "--target",
      "price",
      "--drop",
      "age",
      "--log-target",
      "--epochs",
      "2",
    ];
    const run = await natgrad(folder, [...args, "--optimizer", "exactNgd", "--name", "reported"]);
    assert.equal(run.code, 0, run.stderr);
    const report = await readFile(join(folder, "runs/reported/report.html"), "utf8");
    assert.match(report, /natgrad train flats.csv --target price --drop age --log-target/);
    assert.match(report, /--seed 0/);
    assert.match(report, /<code>0.weight<\/code>/);
    assert.match(report, /ONNX Runtime/);
  });

  it("gives one JSON object a line with --json, and nothing else on stdout", async () => {
    const args = [
      "train",
      "spirals",
      "--rows",
      "300",
      "--epochs",
      "2",
      "--optimizer",
      "adam",
      "--hidden",
      "8",
    ];
    const run = await natgrad(folder, [...args, "--json"]);
    assert.equal(run.code, 0, run.stderr);
    const all = events(run);
    assert.deepEqual(
      all.map(({ event }) => event),
      ["start", "epoch", "epoch", "epoch", "end"],
    );
    const [first, , , , last] = all;
    assert.equal(first.parameters, 2 * 8 + 8 + 8 * 3 + 3);
    assert.equal(first.task, "classification");
    assert.equal(last.status, "finished");
    assert.equal((last.metric as { name: string }).name, "accuracy");
  });

  it("gives the same losses for the same seed, and others for another", async () => {
    const args = ["train", "friedman1", "--rows", "300", "--epochs", "2", "--optimizer", "blockDiagonalNgd"];
    const runs = [
      ["a", "5"],
      ["b", "5"],
      ["c", "6"],
    ].map(([name, seed]) => natgrad(folder, [...args, "--name", name, "--seed", seed]));
    for (const { code, stderr } of await Promise.all(runs)) assert.equal(code, 0, stderr);
    assert.deepEqual(await metrics(folder, "a"), await metrics(folder, "b"));
    assert.notDeepEqual(await metrics(folder, "a"), await metrics(folder, "c"));
  });

  it("keeps to --time-budget, and to a learning rate on a schedule", async () => {
    const args = ["train", "friedman1", "--time-budget", "0.2", "--name", "brief"];
    const brief = await natgrad(folder, args);
    assert.equal(brief.code, 0, brief.stderr);
    assert.ok((await metrics(folder, "brief")).length >= 2);
    const cosine = ["train", "friedman1", "--epochs", "4", "--schedule", "cosine", "--learning-rate", "0.1"];
    const run = await natgrad(folder, [...cosine, "--name", "cosine"]);
    assert.equal(run.code, 0, run.stderr);
    const rates = (await metrics(folder, "cosine")).slice(1).map(({ learningRate }) => learningRate);
    assert.deepEqual(
      rates,
      [...rates].sort((a, b) => b - a),
    );
    assert.ok(rates[0] > 0.08 && rates[3] < 0.002, `${rates}`);
  });

  it("trains house and ecoli by name", { skip: withoutData }, async () => {
    const house = natgrad(folder, ["train", "house", "--epochs", "3", "--json"]);
    const ecoli = natgrad(folder, ["train", "ecoli", "--json"]);
    const [houseEnd, ecoliEnd] = (await Promise.all([house, ecoli])).map((run) => {
      assert.equal(run.code, 0, run.stderr);
      return events(run).at(-1)!;
    });
    assert.ok((houseEnd.validationLoss as number) < 0.1, `house ${houseEnd.validationLoss}`);
    const { name, value } = ecoliEnd.metric as { name: string; value: number };
    assert.ok(name === "accuracy" && value > 0.75, `ecoli ${value}`);
  });
});
