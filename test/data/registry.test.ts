import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { after, before, describe, it } from "node:test";
import { batches } from "../../src/data/batches.ts";
import { type DataSplit, inputCount, toOriginalUnits, validateDataset } from "../../src/data/dataset.ts";
import { fetchDataset, listDatasets, loadDataset } from "../../src/data/registry.ts";
import { UsageError } from "../../src/errors.ts";
import { lines, scratch } from "./scratch.ts";

const { folder, write } = scratch();
const dataFolder = resolve("../shared/data");
const skip = existsSync(dataFolder) ? false : "the real files are not on this machine";
const folderBefore = process.env.NATGRAD_DATA;
before(() => {
  process.env.NATGRAD_DATA = dataFolder;
});
after(() => {
  if (folderBefore === undefined) delete process.env.NATGRAD_DATA;
  else process.env.NATGRAD_DATA = folderBefore;
});

/** Those have files of their own to validate on: images.test.ts. */
const imageSets = ["mnist", "fashion-mnist", "cifar10", "cifar100"];

/** Every dataset of the registry keeps what it says about itself. */
for (const { name, task, rows, inputs, where } of listDatasets()) {
  if (imageSets.includes(name)) continue;
  describe(name, { skip: where === "built in" ? false : skip }, () => {
    let split: DataSplit;
    before(async () => {
      split = await loadDataset(name, { seed: 3 });
    });

    it("has the rows, inputs and task of its definition, all of them finite", () => {
      const { training, validation } = split;
      assert.equal(training.inputs.shape[0] + validation.inputs.shape[0], rows);
      assert.equal(validation.inputs.shape[0], Math.round(rows * 0.2));
      for (const part of [training, validation]) {
        validateDataset(part);
        assert.equal(part.name, name);
        assert.equal(part.task.kind, task);
        assert.equal(inputCount(part), inputs);
        assert.equal(part.inputNames.length, inputs);
      }
    });

    it("is the same for the same seed and another for another", async () => {
      const again = await loadDataset(name, { seed: 3 });
      assert.deepEqual(again, split);
      const other = await loadDataset(name, { seed: 4 });
      assert.notDeepEqual(other.validation.inputs.data, split.validation.inputs.data);
    });

    it("gives batches", () => {
      const [batch] = batches(split.training, { batchSize: 64 });
      assert.deepEqual(batch.inputs.shape, [64, ...split.training.inputs.shape.slice(1)]);
    });
  });
}

describe("the real files", { skip }, () => {
  it("weather: the eight inputs of the 8-4-1 network", async () => {
    const { training, notices } = await loadDataset("weather", { dtype: "float64" });
    assert.deepEqual(training.inputNames, [
      "Precip Type = rain",
      "Precip Type = snow",
      "Temperature (C)",
      "Humidity",
      "Wind Speed (km/h)",
      "Wind Bearing (degrees)",
      "Visibility (km)",
      "Pressure (millibars)",
    ]);
    assert.match(
      notices[1],
      /^filled 1288 missing values of column "Pressure \(millibars\)" with the training mean 1016/,
    );
  });

  it("house: log prices that come back as dollars", async () => {
    const { training, validation } = await loadDataset("house", { dtype: "float64" });
    const { task } = training;
    assert.ok(task.kind === "regression" && task.scaling.log);
    const prices = [training, validation].flatMap((part) => [...toOriginalUnits(task, part.targets).data]);
    assert.ok(Math.abs(Math.min(...prices) - 75_000) < 1e-3);
    assert.ok(Math.abs(Math.max(...prices) - 7_700_000) < 1e-3);
    const mean = prices.reduce((sum, price) => sum + price, 0) / prices.length;
    assert.ok(Math.abs(mean - 540_088.14) < 0.01, `mean price ${mean}`);
  });

  it("house: another target is not taken on the log scale", async () => {
    const { training } = await loadDataset("house", { target: "lat" });
    assert.ok(training.task.kind === "regression" && !training.task.scaling.log);
    assert.ok(training.inputNames.includes("price"));
    const grade = await loadDataset("house", { target: "grade" });
    assert.equal(grade.training.task.kind, "classification");
  });

  it("ecoli: the published class counts", async () => {
    const { training, validation } = await loadDataset("ecoli");
    assert.ok(training.task.kind === "classification");
    const counts = training.task.classNames.map(
      (_, label) =>
        [training, validation].flatMap(({ targets }) => [...targets.data]).filter((c) => c === label).length,
    );
    assert.deepEqual(
      Object.fromEntries(training.task.classNames.map((name, label) => [name, counts[label]])),
      {
        cp: 143,
        im: 77,
        imL: 2,
        imS: 2,
        imU: 35,
        om: 20,
        omL: 5,
        pp: 52,
      },
    );
  });

  it("are found where they are", async () => {
    const paths = await fetchDataset("weather");
    assert.deepEqual(paths, [resolve(dataFolder, "weather/weatherHistory.csv.gz")]);
    const weather = listDatasets().find(({ name }) => name === "weather")!;
    assert.ok(weather.available);
    assert.equal(weather.where, paths[0]);
  });
});

describe("the synthetic tasks", () => {
  it("friedman1 has the function of the paper and noise of variance one", async () => {
    const { training, validation } = await loadDataset("friedman1", { rows: 20_000, dtype: "float64" });
    const { task } = training;
    assert.ok(task.kind === "regression");
    assert.equal(validation.inputs.shape[0], 4000);
    // E y = 10·(mean of sin πuv) + 20/12 + 7.5 = 5.2467 + 1.6667 + 7.5
    assert.ok(Math.abs(task.scaling.mean[0] - 14.413) < 0.15, `mean ${task.scaling.mean[0]}`);
    assert.ok(Math.abs(task.scaling.deviation[0] - 4.98) < 0.15, `deviation ${task.scaling.deviation[0]}`);
  });

  it("glyphs are pictures with a shape", async () => {
    const { training } = await loadDataset("glyphs");
    assert.deepEqual(training.imageShape, [1, 8, 8]);
    assert.deepEqual(training.inputs.shape, [3200, 1, 8, 8]);
    assert.equal((await loadDataset("spirals")).training.imageShape, undefined);
  });

  it("take the number of rows, the dtype, and the binary task only with two classes", async () => {
    const { training } = await loadDataset("teacher", { rows: 100, dtype: "float64" });
    assert.ok(training.inputs.data instanceof Float64Array && training.inputs.shape[0] === 80);
    await assert.rejects(
      loadDataset("spirals", { task: "binary" }),
      new UsageError('target "arm" has 3 classes and the binary task takes two (use task "classification")'),
    );
  });

  it("refuse options of tables", async () => {
    await assert.rejects(
      loadDataset("spirals", { target: "x" }),
      new UsageError("target is for tables, and spirals is a synthetic task"),
    );
    await assert.rejects(
      loadDataset("teacher", { task: "classification" }),
      new UsageError('invalid task: "classification" (teacher is a regression task)'),
    );
    await assert.rejects(
      loadDataset("teacher", { rows: 2.5 }),
      new UsageError("invalid rows: 2.5 (must be a positive integer)"),
    );
    const path = write("table.csv", `x,y\n${lines(20, (row) => `${row},${row / 2}`)}`);
    await assert.rejects(
      loadDataset(path, { rows: 5 }),
      new UsageError(`rows is for synthetic tasks and images, not for ${path}`),
    );
  });
});

describe("names and paths", () => {
  it("a path is read as a CSV file", async () => {
    const path = write("mine.csv", `x,y\n${lines(20, (row) => `${row},${row / 2}`)}`);
    assert.equal((await loadDataset(path)).training.name, "mine");
    write("bare", `x,y\n${lines(20, (row) => `${row},${row / 2}`)}`);
    const workingFolder = process.cwd();
    process.chdir(folder);
    const bare = await loadDataset("bare").finally(() => process.chdir(workingFolder));
    assert.equal(bare.training.name, "bare");
  });

  it("an unknown name is answered with the nearest", async () => {
    await assert.rejects(
      loadDataset("wether"),
      new UsageError('unknown dataset "wether"; did you mean "weather"?'),
    );
    await assert.rejects(
      fetchDataset("nothing like it"),
      new UsageError(
        'unknown dataset "nothing like it"; known ones: friedman1, spirals, teacher, glyphs, weather, house, ecoli, ' +
          "mnist, fashion-mnist, cifar10, cifar100",
      ),
    );
    await assert.rejects(loadDataset("no/such.csv"), new UsageError("no such file: no/such.csv"));
  });
});
