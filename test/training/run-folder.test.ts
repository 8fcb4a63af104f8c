import assert from "node:assert/strict";
import { appendFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { loadDataset } from "../../src/data/index.ts";
import { RunError, UsageError } from "../../src/errors.ts";
import {
  createRunFolder,
  type EpochRecord,
  openMetrics,
  readConfig,
  readEncoding,
  readMetrics,
  runFiles,
  truncateMetrics,
  writeConfig,
  writeEncoding,
  writeReport,
} from "../../src/training/run-folder.ts";

const base = mkdtempSync(join(tmpdir(), "natgrad-runs-"));
after(() => rmSync(base, { recursive: true }));

function record(epoch: number, trainLoss = 1 / epoch): EpochRecord {
  const metric = { name: "rmse", value: Math.sqrt(trainLoss) };
  return {
    ...{ epoch, step: 10 * epoch, seconds: 0.5 * epoch, trainLoss, validationLoss: 1.1 * trainLoss, metric },
    ...{ learningRate: 0.1, damping: 0.01, rejectedSteps: 0, notices: [`epoch ${epoch}`, "NaN"] },
  };
}

async function folderWith(name: string, records: EpochRecord[]): Promise<string> {
  const folder = await createRunFolder(base, name);
  const log = await openMetrics(folder);
  for (const entry of records) await log.append(entry);
  await log.close();
  return folder;
}

describe("createRunFolder", () => {
  it("never takes a folder that is there", async () => {
    const names = [];
    for (let i = 0; i < 3; i++) names.push(await createRunFolder(join(base, "new/base"), "weather"));
    assert.deepEqual(
      names,
      ["weather", "weather-2", "weather-3"].map((name) => join(base, "new/base", name)),
    );
  });

  it("gives folders of their own to those who ask at the same time", async () => {
    const folders = await Promise.all(Array.from({ length: 8 }, () => createRunFolder(base, "together")));
    assert.equal(new Set(folders).size, 8);
  });

  it("takes only names that are folder names everywhere", async () => {
    for (const name of [
      "",
      ".",
      "..",
      "a/b",
      "..\\up",
      ".hidden",
      "a:b",
      "what?",
      "end.",
      "end ",
      "a\nb",
      "x".repeat(101),
    ]) {
      await assert.rejects(createRunFolder(base, name), UsageError, JSON.stringify(name));
    }
    for (const name of ["a", "weather adam", "v1.2", "größe", "x".repeat(100)])
      await createRunFolder(base, name);
  });

  it("says in one line that a base is no folder", async () => {
    writeFileSync(join(base, "file"), "");
    await assert.rejects(
      createRunFolder(join(base, "file"), "run"),
      /^RunError: cannot make a run folder in .*file: .*$/,
    );
  });
});

describe("config.json", () => {
  it("is read as it was written", async () => {
    const folder = await createRunFolder(base, "config");
    const config = { seed: 3, optimizer: { name: "tengrad", damping: 0.01 }, hidden: [4, 4] };
    await writeConfig(folder, config);
    assert.deepEqual(await readConfig(folder), config);
  });

  it("says when there is no run, or a damaged one", async () => {
    const folder = await createRunFolder(base, "no-config");
    await assert.rejects(readConfig(folder), new UsageError(`no run in ${folder} (there is no config.json)`));
    writeFileSync(join(folder, runFiles.config), "[1]");
    await assert.rejects(
      readConfig(folder),
      new RunError(`cannot read ${join(folder, "config.json")}: not a JSON object`),
    );
  });
});

describe("encoding.json", () => {
  it("is read as it was written, and need not be there", async () => {
    const folder = await createRunFolder(base, "encoding");
    await writeEncoding(folder, undefined);
    assert.equal(await readEncoding(folder), undefined);
    const { encoding } = await loadDataset("friedman1", { rows: 20 });
    await writeEncoding(folder, encoding);
    assert.deepEqual(await readEncoding(folder), encoding);
  });

  it("says when it is damaged", async () => {
    const folder = await createRunFolder(base, "damaged-encoding");
    const path = join(folder, runFiles.encoding);
    for (const text of ["", "[]", "{}"]) {
      writeFileSync(path, text);
      const message = `cannot read ${path}: not an encoding (its format is not "natgrad encoding 1")`;
      await assert.rejects(readEncoding(folder), new RunError(message));
    }
  });
});

describe("metrics.jsonl", () => {
  it("gives back every record, NaN and infinities too", async () => {
    const records = [record(1), { ...record(2), trainLoss: Number.NaN, stepNorm: Number.POSITIVE_INFINITY }];
    records[1].metric = { name: "rmse", value: Number.NEGATIVE_INFINITY };
    const folder = await folderWith("records", records);
    assert.deepEqual(await readMetrics(folder), { records });
    const lines = readFileSync(join(folder, runFiles.metrics), "utf8").split("\n");
    assert.equal(lines.length, 3);
    assert.equal(JSON.parse(lines[0]).trainLoss, 1);
  });

  it("is empty before the first epoch", async () => {
    assert.deepEqual(await readMetrics(await createRunFolder(base, "fresh")), { records: [] });
  });

  it("is in the file as soon as append returns", async () => {
    const folder = await createRunFolder(base, "flushed");
    const log = await openMetrics(folder);
    for (const epoch of [1, 2]) {
      await log.append(record(epoch));
      assert.equal((await readMetrics(folder)).records.length, epoch);
    }
    await log.close();
  });

  it("is read up to the line that a killed process left unfinished, and says so", async () => {
    const folder = await folderWith("torn", [record(1), record(2)]);
    const path = join(folder, runFiles.metrics);
    const line = JSON.stringify(record(3));
    const text = readFileSync(path, "utf8");
    for (const length of [1, 20, line.length - 1]) {
      writeFileSync(path, text + line.slice(0, length));
      const { records, notice } = await readMetrics(folder);
      assert.deepEqual(records, [record(1), record(2)]);
      assert.equal(notice, `${path}: the last line is unfinished (a killed process?) and was left out`);
    }
    writeFileSync(path, text + line); // only the line break is missing
    assert.deepEqual(await readMetrics(folder), { records: [record(1), record(2), record(3)] });
  });

  it("refuses damage in the middle, naming the line", async () => {
    const folder = await folderWith("damaged", [record(1)]);
    const path = join(folder, runFiles.metrics);
    appendFileSync(path, `{"epoch":2}\n${JSON.stringify(record(3))}\n`);
    await assert.rejects(readMetrics(folder), new RunError(`${path}:2: not an epoch record`));
  });

  it("goes on after the checkpoint's epoch, once", async () => {
    const folder = await folderWith(
      "resumed",
      [1, 2, 3, 4].map((epoch) => record(epoch)),
    );
    appendFileSync(join(folder, runFiles.metrics), '{"epoch":5,"st');
    assert.deepEqual(await truncateMetrics(folder, 2), [record(1), record(2)]);
    const log = await openMetrics(folder);
    await log.append(record(3, 0.25));
    await log.close();
    assert.deepEqual(await readMetrics(folder), { records: [record(1), record(2), record(3, 0.25)] });
    assert.deepEqual(readdirSync(folder), [runFiles.metrics]);
  });
});

describe("report.html", () => {
  it("lands in the run folder", async () => {
    const folder = await createRunFolder(base, "report");
    assert.equal(await writeReport(folder, "<!doctype html>"), join(folder, "report.html"));
    assert.equal(readFileSync(join(folder, "report.html"), "utf8"), "<!doctype html>");
  });
});
