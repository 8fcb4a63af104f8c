import assert from "node:assert/strict";
import { copyFileSync, existsSync, statSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { performRun } from "../../src/cli/run.ts";
import { fingerprint, type RunConfig, trainerConfig } from "../../src/cli/run-config.ts";
import { loadDataset } from "../../src/data/index.ts";
import { createRunFolder } from "../../src/training/run-folder.ts";
import { createTrainer, resumeTrainer } from "../../src/training/trainer.ts";
import { scratchFolder } from "./support.ts";

describe("performRun", () => {
  const base = scratchFolder();

  it("keeps a checkpoint within a long epoch, from which training goes on bit by bit", async () => {
    const split = await loadDataset("friedman1", { rows: 40_000 });
    const config: RunConfig = {
      ...{ format: "natgrad run 1", natgrad: "0.0.0", commands: [] },
      dataset: { source: "friedman1", options: { rows: 40_000 }, fingerprint: fingerprint(split.training) },
      model: { hidden: [6], activation: "tanh" },
      optimizer: { name: "tengrad", options: { learningRate: 0.003, refreshEvery: 3 } },
      training: { epochs: 1, batchSize: 4, dtype: "float32", device: "cpu", seed: 0 },
    };
    const settings = trainerConfig(config, split.training);
    const trainer = await createTrainer(settings);
    const folder = await createRunFolder(base, "long");
    const checkpoint = join(folder, "checkpoint.safetensors");
    const stops = new AbortController();
    let first: number | undefined;
    const copy = join(folder, "copy.safetensors");
    const { record } = await performRun({
      ...{ name: "tengrad", folder, config, split, trainer, signal: stops.signal, checkpointInterval: 1 },
      onStep: ({ epoch }) => {
        const { ino } = statSync(checkpoint); // a save replaces the file
        first ??= ino;
        if (ino !== first && epoch < 1 && !existsSync(copy)) copyFileSync(checkpoint, copy);
      },
      onEpoch: () => {},
    });
    assert.equal(record.status, "finished");
    const other = await resumeTrainer(copy, settings);
    assert.ok(other.progress.batch > 0 && other.progress.epoch === 0, "made within the first epoch");
    for await (const { epoch } of other.fit(split.training, { epochs: 1 })) assert.equal(epoch, 1);
    assert.deepEqual(other.getParameters(), trainer.getParameters());
    other.dispose();
    trainer.dispose();
  });
});
