import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { describe, it } from "node:test";
import { fileURLToPath, pathToFileURL } from "node:url";
import { performRun } from "../../src/cli/run.ts";
import { createTrainer, resumeTrainer } from "../../src/training/create-trainer.ts";
import { createRunFolder, truncateMetrics } from "../../src/training/run-folder.ts";
import { assertSameBits } from "../conformance/networks.ts";
import { requestRun, settings } from "./image-run.ts";
import { metrics, scratchFolder } from "./support.ts";

const script = fileURLToPath(new URL("image-run.ts", import.meta.url));
const loader = pathToFileURL(join(script, "../../../node_modules/tsx/dist/loader.mjs")).href;

describe("a run on images", () => {
  const base = scratchFolder();

  it("goes on with the same bits after kill -9 in the middle of an epoch", async () => {
    const [wholeFolder, folder] = await Promise.all([
      createRunFolder(join(base, "runs"), "whole"),
      createRunFolder(join(base, "runs"), "killed"),
    ]);
    const checkpoint = join(folder, "checkpoint.safetensors");
    const { signal } = spawnSync(process.execPath, ["--import", loader, script, folder], {
      stdio: "inherit",
    });
    assert.equal(signal, "SIGKILL");

    const resumed = await resumeTrainer(checkpoint, settings);
    const { epoch, batch } = resumed.progress;
    assert.ok(batch > 0);
    const records = await truncateMetrics(folder, epoch);
    const { record } = await performRun({ ...(await requestRun(folder, resumed)), records });

    const whole = await createTrainer(settings);
    const uninterrupted = await performRun(await requestRun(wholeFolder, whole));
    assert.equal(record.status, "finished");
    assert.deepEqual(resumed.progress.step, whole.progress.step);
    assertSameBits(resumed.getParameters(), whole.getParameters());
    assertSameBits(resumed.getBuffers(), whole.getBuffers());
    assert.equal(uninterrupted.record.epochs.length, 3);
    assert.deepEqual(await metrics(base, "killed"), await metrics(base, "whole"));

    const best = uninterrupted.record.epochs.reduce((a, b) =>
      b.validationLoss! < a.validationLoss! ? b : a,
    );
    const kept = await resumeTrainer(join(wholeFolder, "best.safetensors"), settings);
    assert.equal(kept.progress.epoch, best.epoch);
    for (const trainer of [resumed, whole, kept]) trainer.dispose();
  });
});
