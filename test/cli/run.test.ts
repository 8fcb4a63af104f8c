import assert from "node:assert/strict";
import { copyFileSync, existsSync, statSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { performRun } from "../../src/cli/run.ts";
import { loadDataset } from "../../src/data/index.ts";
import { createTrainer, resumeTrainer } from "../../src/training/create-trainer.ts";
import { fingerprint, type RunConfig, trainerConfig } from "../../src/training/run-config.ts";
import { createRunFolder, finalRecord, truncateMetrics } from "../../src/training/run-folder.ts";
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
      training: {
        ...{ epochs: 1, batchSize: 4, dtype: "float32", device: "cpu", seed: 0 },
        checkpointMinutes: 1 / 60_000,
      },
    };
    const settings = trainerConfig(config, split.training);
    const trainer = await createTrainer(settings);
    const folder = await createRunFolder(base, "long");
    const checkpoint = join(folder, "checkpoint.safetensors");
    const stops = new AbortController();
    let first: number | undefined;
    const copy = join(folder, "copy.safetensors");
    const { record } = await performRun({
      ...{ name: "tengrad", folder, config, split, trainer, signal: stops.signal },
      onStep: ({ epoch, batch, batches }) => {
        const { ino } = statSync(checkpoint); // a save replaces the file
        first ??= ino;
        if (ino !== first && epoch === 0 && batch < batches && !existsSync(copy))
          copyFileSync(checkpoint, copy);
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

  describe("with patience", () => {
    const options = { rows: 80 };
    const overfitting = async (folderName: string, signal = new AbortController().signal) => {
      const split = await loadDataset("friedman1", options);
      const config: RunConfig = {
        ...{ format: "natgrad run 1", natgrad: "0.0.0", commands: [] },
        dataset: { source: "friedman1", options, fingerprint: fingerprint(split.training) },
        model: { hidden: [16], activation: "tanh" },
        optimizer: { name: "exactNgd", options: { learningRate: 0.3, damping: 0.01 } },
        training: { epochs: 60, patience: 4, batchSize: 16, dtype: "float32", device: "cpu", seed: 0 },
      };
      const folder = await createRunFolder(base, folderName);
      return { name: "exactNgd", folder, config, split, signal, onStep: () => {} };
    };

    it("stops some epochs after the best one, and ends with that one's model", async () => {
      const request = await overfitting("patient");
      const trainer = await createTrainer(trainerConfig(request.config, request.split.training));
      const { record } = await performRun({ ...request, trainer, onEpoch: () => {} });
      const best = record.epochs.findIndex(({ epoch }) => epoch === record.restoredEpoch);
      assert.equal(record.epochs.length - 1 - best, 4);
      assert.ok(record.epochs.length < 60);
      assert.equal(record.status, `finished with epoch ${best}, the best of ${best + 4}`);
      assert.equal(trainer.progress.epoch, best);
      const { loss } = await trainer.evaluate(request.split.validation);
      assert.equal(loss, Math.min(...record.epochs.map(({ validationLoss }) => validationLoss!)));
      assert.equal(finalRecord(record)?.validationLoss, loss);
      assert.ok(!existsSync(join(request.folder, "best.safetensors")));
      const settings = trainerConfig(request.config, request.split.training);
      const saved = await resumeTrainer(join(request.folder, "checkpoint.safetensors"), settings);
      assert.deepEqual(saved.getParameters(), trainer.getParameters());
      saved.dispose();
      trainer.dispose();
    });

    it("stops where an uninterrupted run does when it is resumed", async () => {
      const whole = await overfitting("whole");
      const settings = trainerConfig(whole.config, whole.split.training);
      const trainer = await createTrainer(settings);
      const { record } = await performRun({ ...whole, trainer, onEpoch: () => {} });

      const stop = new AbortController();
      const request = await overfitting("interrupted", stop.signal);
      const first = await createTrainer(settings);
      // Two epochs after the best one the process is asked to end.
      const onEpoch = ({ epoch }: { epoch: number }) => epoch === record.restoredEpoch! + 2 && stop.abort();
      await performRun({ ...request, trainer: first, onEpoch });
      first.dispose();
      const second = await resumeTrainer(join(request.folder, "checkpoint.safetensors"), settings);
      const records = await truncateMetrics(request.folder, second.progress.epoch);
      const { signal } = new AbortController();
      const resumed = await performRun({ ...request, trainer: second, records, signal, onEpoch: () => {} });
      assert.equal(resumed.record.status, record.status);
      assert.deepEqual(second.getParameters(), trainer.getParameters());
      second.dispose();
      trainer.dispose();
    });
  });
});
