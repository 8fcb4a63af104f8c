/** Training on images: what is augmented, what is prepared ahead, what memory it takes in the long run. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import {
  batchNorm,
  categorical,
  conv2d,
  createOptimizer,
  dense,
  flatten,
  relu,
  sequential,
  type Trainer,
} from "../../src/index.ts";
import { openRuntime } from "../../src/runtime/runtime.ts";
import type { Runtime } from "../../src/runtime/session.ts";
import { assertSameBits, counting, type Network, randomBatch, trainerOf } from "../conformance/networks.ts";

let runtime: Runtime;
const folder = mkdtempSync(join(tmpdir(), "natgrad-images-"));
before(async () => {
  runtime = await openRuntime();
});
after(() => {
  rmSync(folder, { recursive: true });
  runtime?.dispose();
});

const network: Network = {
  model: sequential([conv2d(2, { padding: 1, bias: false }), batchNorm(), relu(), flatten(), dense(3)]),
  ...{ likelihood: categorical(), inputShape: [1, 5, 5], outputs: 3, samples: 8, seed: 3 },
};
const examples = randomBatch(network, 50, 1);
const validation = randomBatch(network, 20, 2);
const augment = { crop: 1, flip: true };

const newTrainer = (on: Runtime = runtime) =>
  trainerOf(on, network, createOptimizer("tengrad", { learningRate: 0.01, damping: 0.1, refreshEvery: 3 }), {
    ...{ batchSize: 8, dtype: "float32" },
  });

async function train(trainer: Trainer, options: Parameters<Trainer["fit"]>[1]) {
  const records = [];
  for await (const record of trainer.fit(examples, options)) records.push(record);
  return records;
}

describe("fit on images", () => {
  it("augments what it trains on and nothing that it evaluates", async () => {
    const [plain, augmented] = [await newTrainer(), await newTrainer()];
    const watch = (trainer: Trainer) => {
      const seen: number[][] = [];
      const step = trainer.step.bind(trainer);
      trainer.step = async (batch) => {
        await Promise.resolve(); // the next batch is put together meanwhile
        seen.push([...batch.inputs.data]);
        return step(batch);
      };
      return seen;
    };
    const [original, views] = [watch(plain), watch(augmented)];
    await train(plain, { epochs: 2 });
    const [, last] = await train(augmented, { epochs: 2, validation, augment });
    assert.equal(views.length, 12);
    views.forEach((view, k) => {
      assert.notDeepEqual(view, original[k]);
      const pixels = new Set([0, ...original[k]]);
      assert.ok(view.every((pixel) => pixels.has(pixel)));
    });
    assert.equal(last.trainLoss, (await augmented.evaluate(examples)).loss);
    assert.equal(last.validationLoss, (await augmented.evaluate(validation)).loss);
    for (const trainer of [plain, augmented]) trainer.dispose();
  });

  it("goes on with the same views after a stop in the middle of an epoch", async () => {
    const whole = await newTrainer();
    await train(whole, { epochs: 2, augment });
    const part = await newTrainer();
    const stop = new AbortController();
    const onStep = (_: unknown, { step }: { step: number }) => step === 8 && stop.abort();
    await train(part, { epochs: 2, augment, signal: stop.signal, onStep });
    const resumed = await newTrainer();
    await resumed.load(part.toBytes());
    assert.equal(resumed.progress.batch, 2);
    await train(resumed, { epochs: 1, augment });
    assertSameBits(resumed.getParameters(), whole.getParameters());
    assertSameBits(resumed.getBuffers(), whole.getBuffers());
    for (const trainer of [whole, part, resumed]) trainer.dispose();
  });

  it("measures the training loss on as many rows as it is told", async () => {
    const trainer = await newTrainer();
    const [record] = await train(trainer, { epochs: 1, evaluatedRows: 20 });
    const front = {
      inputs: { shape: [20, 1, 5, 5], data: examples.inputs.data.subarray(0, 500) },
      targets: { shape: [20], data: examples.targets.data.subarray(0, 20) },
    };
    assert.equal(record.trainLoss, (await trainer.evaluate(front)).loss);
    await assert.rejects(train(trainer, { epochs: 1, evaluatedRows: 0 }), /invalid evaluatedRows: 0/);
    trainer.dispose();
  });

  it("does not leak over 1,000 steps with evaluation and a checkpoint in every epoch", async () => {
    const counted = counting(runtime);
    const trainer = await newTrainer(counted);
    const epochs = async (count: number) => {
      for await (const _ of trainer.fit(examples, { epochs: count, validation, augment }))
        await trainer.save(join(folder, "checkpoint"));
    };
    await epochs(17);
    const { loaded } = counted;
    const memory = process.memoryUsage().rss;
    await epochs(150);
    assert.equal(trainer.progress.step, 1002);
    assert.equal(counted.loaded, loaded, "sessions loaded");
    const grown = (process.memoryUsage().rss - memory) / 2 ** 20;
    assert.ok(grown < 64, `resident memory grew by ${grown} MiB`);
    trainer.dispose();
    await new Promise((resolve) => setTimeout(resolve, 0));
    assert.equal(counted.loaded, 0, "sessions left");
  });
});
