import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { before, describe, it } from "node:test";
import { splitRows } from "../../src/data/dataset.ts";
import { loadCsv, openRun, resumeTrainer, toOriginalUnits } from "../../src/index.ts";
import { readRunConfig, trainerConfig } from "../../src/training/run-config.ts";
import { type Ended, metrics, natgrad, scratchFolder, writeFlats } from "./support.ts";

const small = ["--epochs", "2", "--hidden", "4", "--batch-size", "20"];

/** The cells of the CSV on stdout, and its header. */
function cellsOf({ stdout }: Ended): { header: string; cells: string[][] } {
  assert.ok(stdout.endsWith("\n"));
  const [header, ...lines] = stdout.trimEnd().split("\n");
  return { header, cells: lines.map((line) => line.split(",")) };
}

function assertClose(actual: readonly number[], expected: ArrayLike<number>): void {
  assert.equal(actual.length, expected.length);
  actual.forEach((value, index) => {
    const tolerance = 1e-6 * Math.max(1, Math.abs(expected[index]));
    assert.ok(Math.abs(value - expected[index]) <= tolerance, `${value} is not ${expected[index]}`);
  });
}

describe("natgrad predict", () => {
  const folder = scratchFolder();
  const predict = (...args: string[]) => natgrad(folder, ["predict", ...args]);
  const write = (name: string, text: string) => writeFile(join(folder, name), text);
  const train = async (command: string, ...args: string[]) => {
    const { code, stderr } = await natgrad(folder, [command, ...args, ...small]);
    assert.equal(code, 0, stderr);
  };
  /** The split of a file, and outputs on its validation rows by the checkpoint of a run, without the code that is tested. */
  const trained = async (run: string, file: string, options: object) => {
    const split = await loadCsv(join(folder, file), options);
    const config = await readRunConfig(join(folder, "runs", run));
    const path = join(folder, "runs", run, "checkpoint.safetensors");
    const trainer = await resumeTrainer(path, trainerConfig(config, split.training));
    const outputs = await trainer.predict(split.validation.inputs);
    trainer.dispose();
    return { split, outputs };
  };

  before(async () => {
    await writeFlats(folder);
    const flats = (await readFile(join(folder, "flats.csv"), "utf8")).trimEnd().split("\n");
    const cells = flats.slice(1).map((line) => line.split(","));
    const kind = ([size, age]: string[]) => (+size < 60 ? '"small, cheap"' : +age < 50 ? "new" : "old");
    const kinds = cells.map((row) => [...row.slice(0, 3), kind(row)].join(","));
    const yesNo = cells.map((row) => [+row[0] < 60 ? "no" : "yes", ...row.slice(0, 3)].join(","));
    await Promise.all([
      write("kinds.csv", `size,age,quarter,kind\n${kinds.join("\n")}\n`),
      write("large.csv", `large,size,age,quarter\n${yesNo.join("\n")}\n`),
    ]);
    await Promise.all([
      train("train", "flats.csv", "--log-target"),
      train("train", "large.csv", "--task", "binary", "--target", "large"),
      train("compare", "kinds.csv", "--optimizers", "kfac,adam", "--name", "both"),
      train("train", "flats.csv", "--task", "count", "--name", "counts"),
    ]);
    await train("train", "glyphs", "--rows", "200");
  });

  it("gives numbers in the file's units, from rows in another order without target, and touches nothing", async () => {
    const { split, outputs } = await trained("flats", "flats.csv", { target: "price", logTarget: true });
    const { task } = split.validation;
    assert.equal(task.kind, "regression");
    const lines = await validationLines("flats.csv");
    const turned = lines.map((line) => line.split(",").slice(0, 3).reverse().join(";"));
    await write("turned.csv", ["quarter;age;size", ...turned].join("\n"));
    await write("runs/flats/running", `${process.pid}\n`); // as if it were under way
    const stateOf = async () => {
      const names = (await readdir(join(folder, "runs/flats"))).sort();
      return Promise.all(names.map(async (name) => [name, await readFile(join(folder, "runs/flats", name))]));
    };
    const before = await stateOf();
    const ended = await predict("runs/flats", "turned.csv");
    assert.deepEqual(await stateOf(), before);
    await rm(join(folder, "runs/flats/running"));
    assert.equal(ended.code, 0, ended.stderr);
    assert.equal(ended.stderr, "turned.csv: 40 rows\n");
    const { header, cells } = cellsOf(ended);
    assert.equal(header, "price");
    assertClose(cells.flat().map(Number), toOriginalUnits(task, outputs).data);
  });

  it("gives expected counts, from about their mean on", async () => {
    const ended = await predict("runs/counts", "flats.csv");
    assert.equal(ended.code, 0, ended.stderr);
    assert.match(ended.stderr, /^flats\.csv: \d+ rows\nloss \S+, deviance \S+\n$/);
    const { split, outputs } = await trained("counts", "flats.csv", { target: "price", task: "count" });
    const { task } = split.validation;
    assert.ok(task.kind === "count");
    const { cells } = cellsOf(ended);
    const { validation } = splitRows(cells.length, "flats", {});
    assertClose(
      Array.from(validation, (row) => Number(cells[row][0])),
      Array.from(outputs.data, (value) => task.mean[0] * Math.exp(value)),
    );
  });

  it("says loss and metric, those of training, where the file has the targets", async () => {
    const lines = await validationLines("flats.csv");
    await write("known.csv", ["size,age,quarter,price", ...lines, "50,,east,"].join("\n"));
    const ended = await predict("runs/flats", "known.csv");
    assert.equal(ended.code, 0, ended.stderr);
    assert.equal(cellsOf(ended).cells.length, 41);
    const { validationLoss, metric } = (await metrics(folder, "flats")).at(-1)!;
    const shown = (value: number | undefined) => String(+value!.toPrecision(4));
    assert.match(ended.stderr, /^note: filled 1 missing value of column "age" with the training mean/);
    assert.match(ended.stderr, /\nnote: took 1 cell of column "quarter" for no category \(.*"east"\)\n/);
    assert.ok(
      ended.stderr.endsWith(
        `\nknown.csv: 41 rows\nloss ${shown(validationLoss)}, rmse ${shown(metric?.value)} (40 of the rows)\n`,
      ),
      ended.stderr,
    );
  });

  it("gives classes of a method in a comparison, in a file, with probabilities", async () => {
    const args = ["runs/both/kfac", "kinds.csv", "--probabilities", "--out", "found/classes.csv"];
    const [ended, plain] = await Promise.all([predict(...args), predict("runs/both/kfac", "kinds.csv")]);
    assert.equal(ended.code, 0, ended.stderr);
    assert.equal(ended.stdout, "");
    assert.match(
      ended.stderr,
      /^kinds\.csv: 200 rows, predictions in found\/classes\.csv\nloss \S+, accuracy \S+\n$/,
    );
    const [header, ...lines] = (await readFile(join(folder, "found/classes.csv"), "utf8"))
      .trimEnd()
      .split("\n");
    assert.equal(header, 'kind,P(new),P(old),"P(small, cheap)"');
    const run = await openRun(join(folder, "runs/both/kfac"));
    const { decoded } = await run.predict(join(folder, "kinds.csv"));
    run.dispose();
    assert.equal(decoded.kind, "classification");
    const classes = decoded.classes.map((name) => (name.includes(",") ? `"${name}"` : name));
    assert.equal(plain.stdout, ["kind", ...classes, ""].join("\n"));
    const numbers = lines.map((line, row) => {
      assert.ok(line.startsWith(`${classes[row]},`));
      return line.split(",").slice(-3).map(Number);
    });
    assertClose(numbers.flat(), decoded.probabilities.data);
    for (const row of numbers) assertClose([row[0] + row[1] + row[2]], [1]);
  });

  it("gives the more probable of two classes, also from a run without encoding.json", async () => {
    const { outputs } = await trained("large", "large.csv", { target: "large", task: "binary" });
    const lines = await validationLines("large.csv");
    await write("some.csv", ["large,size,age,quarter", ...lines].join("\n"));
    const ended = await predict("runs/large", "some.csv", "--probabilities");
    assert.equal(ended.code, 0, ended.stderr);
    const { header, cells } = cellsOf(ended);
    assert.equal(header, "large,P(no),P(yes)");
    const yes = Array.from(outputs.data, (logit) => 1 / (1 + Math.exp(-logit)));
    assertClose(
      cells.map((row) => Number(row[2])),
      yes,
    );
    assertClose(
      cells.map((row) => Number(row[1]) + Number(row[2])),
      yes.fill(1),
    );
    for (const [name, no, yes] of cells) assert.equal(name, +yes > +no ? "yes" : "no");
    await rm(join(folder, "runs/large/encoding.json"));
    assert.deepEqual(await predict("runs/large", "some.csv", "--probabilities"), ended);
    assert.ok(!existsSync(join(folder, "runs/large/encoding.json")));
  });

  it("openRun predicts from tensors as from files", async () => {
    const { split, outputs } = await trained("flats", "flats.csv", { target: "price", logTarget: true });
    const run = await openRun(join(folder, "runs/flats"));
    const { outputs: own, decoded, evaluation } = await run.predict(split.validation.inputs);
    run.dispose();
    assert.deepEqual(own, outputs);
    assert.equal(evaluation, undefined);
    assert.equal(decoded.kind, "regression");
    assert.deepEqual(decoded.values, toOriginalUnits(split.validation.task as never, outputs));
  });

  it("refuses in one line what cannot be", async () => {
    await Promise.all([
      write("misnamed.csv", "sise,age,quarter\n1,2,west\n"),
      write("text.csv", "size,age,quarter\n1,2,west\nbig,2,west\n"),
    ]);
    const refusals: [args: string[], message: RegExp][] = [
      [["runs/nothing", "flats.csv"], /no run in runs\/nothing \(there is no config\.json\)/],
      [["runs/both", "kinds.csv"], /\(it is a comparison; name the folder of a method in it\)/],
      [["runs/glyphs", "flats.csv"], /runs\/glyphs was trained on images, and predictions are for tables/],
      [["runs/flats", "none.csv"], /no such file: none\.csv/],
      [["runs/flats", "misnamed.csv"], /misnamed\.csv has no column "size"; did you mean "sise"\?/],
      [["runs/flats", "text.csv"], /text\.csv line 3, column "size": "big" is not a number/],
      [["runs/flats", "flats.csv", "--probabilities"], /--probabilities is for classes, and runs\/flats/],
      [["runs/flats", "flats.csv", "--out", "./flats.csv"], /invalid --out: ".\/flats\.csv" \(must not be/],
      [["runs/flats", "flats.csv", "--delimiter", ";"], /flats\.csv has no column "size"/],
    ];
    const all = await Promise.all(refusals.map(([args]) => predict(...args)));
    for (const [index, { code, stdout, stderr }] of all.entries()) {
      const [args, message] = refusals[index];
      assert.equal(code, 2, `${args.join(" ")}: ${stderr}`);
      assert.equal(stdout, "");
      assert.match(stderr, /^natgrad: [^\n]+\n$/);
      assert.match(stderr, message);
    }
  });

  /** The lines of a file that became the validation rows. */
  async function validationLines(file: string): Promise<string[]> {
    const lines = (await readFile(join(folder, file), "utf8")).trimEnd().split("\n").slice(1);
    return Array.from(splitRows(lines.length, file).validation, (row) => lines[row]);
  }
});
