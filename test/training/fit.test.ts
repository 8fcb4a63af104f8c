/** The epoch loop: order of batches, stopping and going on, budgets, patience. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import {
  type Batch,
  createOptimizer,
  dense,
  type EpochRecord,
  gaussian,
  methods,
  type Optimizer,
  sequential,
  type Trainer,
  tanh,
  tensor,
} from "../../src/index.ts";
import { openRuntime } from "../../src/runtime/runtime.ts";
import type { Runtime } from "../../src/runtime/session.ts";
import { assertSameBits, isOneLine, type Network, randomBatch, trainerOf } from "../conformance/networks.ts";

let runtime: Runtime;
const folder = mkdtempSync(join(tmpdir(), "natgrad-fit-"));
before(async () => {
  runtime = await openRuntime();
});
after(() => {
  rmSync(folder, { recursive: true });
  runtime?.dispose();
});

const network: Network = {
  ...{ model: sequential([dense(4), tanh(), dense(1)]), likelihood: gaussian(), inputShape: [2] },
  ...{ outputs: 1, samples: 30, seed: 2 },
};
const data = randomBatch(network, 30, 1);
const validation = randomBatch(network, 9, 2);
const trainerWith = (optimizer: Optimizer = createOptimizer("adam"), batchSize = 4) =>
  trainerOf(runtime, network, optimizer, { batchSize, dtype: "float32" });

async function all(trainer: Trainer, options: Parameters<Trainer["fit"]>[1], examples: Batch = data) {
  const records: EpochRecord[] = [];
  for await (const record of trainer.fit(examples, options)) records.push(record);
  return records;
}

/** The first input of every batch that a trainer is given. */
function watchBatches(trainer: Trainer): number[] {
  const seen: number[] = [];
  const step = trainer.step.bind(trainer);
  trainer.step = (batch) => {
    seen.push(batch.inputs.data[0]);
    return step(batch);
  };
  return seen;
}

describe("fit", () => {
  it("refuses misspelt options", async () => {
    const trainer = await trainerWith();
    const misspelt = { epochs: 1, validaton: validation };
    await assert.rejects(all(trainer, misspelt), {
      name: "UsageError",
      message: "fit has no option validaton (did you mean validation?)",
    });
    trainer.dispose();
  });

  it("gives every method the same batches in the same order, another in every epoch and for every seed", async () => {
    const orders: number[][] = [];
    for (const { name } of methods) {
      const trainer = await trainerWith(createOptimizer(name));
      const seen = watchBatches(trainer);
      await all(trainer, { epochs: 2 });
      orders.push(seen);
      trainer.dispose();
    }
    assert.equal(orders[0].length, 14); // 30 rows make 7 whole batches of 4
    for (const order of orders) assert.deepEqual(order, orders[0]);
    assert.notDeepEqual(orders[0].slice(0, 7), orders[0].slice(7));

    const other = await trainerOf(runtime, { ...network, seed: 3 }, createOptimizer("sgd"), { batchSize: 4 });
    const seen = watchBatches(other);
    await all(other, { epochs: 1 });
    assert.notDeepEqual(seen, orders[0].slice(0, 7));
    other.dispose();
  });

  it("yields a record after every epoch", async () => {
    const trainer = await trainerWith();
    const steps: number[] = [];
    const records = await all(trainer, {
      ...{ epochs: 3, validation },
      onStep: (_, { batch, batches }) => steps.push(batch / batches),
    });
    assert.deepEqual(
      records.map(({ epoch, step }) => [epoch, step]),
      [
        [1, 7],
        [2, 14],
        [3, 21],
      ],
    );
    assert.equal(steps.length, 21);
    assert.equal(steps[6], 1);
    const last = records[2];
    const evaluated = await trainer.evaluate(data);
    assert.equal(last.trainLoss, evaluated.loss);
    assert.equal(last.validationLoss, (await trainer.evaluate(validation)).loss);
    assert.equal(last.metric?.name, "rmse");
    assert.ok(Math.abs(evaluated.metric.value ** 2 / 2 / evaluated.loss - 1) < 1e-6);
    assert.ok(last.trainLoss < records[0].trainLoss);
    assert.ok(last.seconds > records[0].seconds && last.rejectedSteps === 0 && last.notices.length === 0);
    assert.deepEqual(trainer.progress, { epoch: 3, batch: 0, step: 21, seconds: last.seconds });
    trainer.dispose();
  });

  for (const name of ["adam", "tengrad"]) {
    it(`stops at the step of an abort and goes on with the same bits, by ${name}`, async () => {
      const optimizer = () => createOptimizer(name, name === "tengrad" ? { refreshEvery: 3 } : {});
      const whole = await trainerWith(optimizer());
      await all(whole, { epochs: 3 });
      for (const stop of [1, 5, 7, 10]) {
        const trainer = await trainerWith(optimizer());
        const controller = new AbortController();
        const options = { epochs: 3, signal: controller.signal };
        const records = await all(trainer, {
          ...options,
          onStep: (_, { step }) => step === stop && controller.abort(),
        });
        assert.equal(trainer.progress.step, stop);
        assert.equal(records.length, Math.floor((stop - 1) / 7));
        assert.deepEqual(await all(trainer, options), [], "an aborted signal starts nothing");
        assert.equal(trainer.progress.step, stop);

        const path = join(folder, `${name}-${stop}`);
        await trainer.save(path);
        const resumed = await trainerWith(optimizer());
        await resumed.load(path);
        for (const continued of [trainer, resumed]) {
          await all(continued, { epochs: 3 - continued.progress.epoch });
          assertSameBits(continued.getParameters(), whole.getParameters(), `stopped after ${stop}`);
          const { epoch, batch, step } = continued.progress;
          assert.deepEqual({ epoch, batch, step }, { epoch: 3, batch: 0, step: 21 });
          continued.dispose();
        }
      }
      whole.dispose();
    });
  }

  it("stops when the time budget is spent, in the middle of an epoch", async () => {
    const trainer = await trainerWith();
    const records = await all(trainer, { epochs: 1000, timeBudget: 1e-9 });
    assert.equal(records.length, 1);
    assert.equal(trainer.progress.step, 1);
    assert.ok(Math.abs(records[0].epoch - 1 / 7) < 1e-12);
    trainer.dispose();
  });

  it("lets the event loop breathe", async () => {
    const trainer = await trainerWith(createOptimizer("exactNgd"));
    let ticks = 0;
    const timer = setInterval(() => ticks++, 1);
    const start = performance.now();
    await all(trainer, { epochs: 1e6, timeBudget: 0.4 });
    clearInterval(timer);
    assert.ok(ticks >= 4, `${ticks} ticks in ${performance.now() - start} ms`);
    trainer.dispose();
  });

  it("gives up after 20 rejected steps in a row, counted across epochs", async () => {
    const broken = {
      ...data,
      inputs: tensor(
        data.inputs.data.map(() => Number.NaN),
        [30, 2],
      ),
    };
    for (const batchSize of [1, 10]) {
      const trainer = await trainerWith(createOptimizer("sgd"), batchSize);
      const before = trainer.getParameters();
      let steps = 0;
      const run = all(trainer, { epochs: 100, onStep: () => steps++ }, broken);
      await assert.rejects(run, (error: Error) => {
        assert.equal(error.name, "RunError");
        assert.match(
          error.message,
          /^training stopped after 20 rejected steps in a row: rejected: the inputs hold NaN/,
        );
        return isOneLine(error);
      });
      assert.equal(steps, 20);
      assertSameBits(trainer.getParameters(), before);
      trainer.dispose();
    }
  });

  it("goes on after a few rejected steps, and says so in the record", async () => {
    const inputs = tensor(data.inputs.data.slice(), [30, 2]);
    inputs.data[8] = Number.POSITIVE_INFINITY;
    const trainer = await trainerWith();
    const [first, second] = await all(trainer, { epochs: 2 }, { ...data, inputs });
    assert.ok(first.rejectedSteps + second.rejectedSteps >= 1);
    assert.match(
      [...first.notices, ...second.notices][0],
      /^rejected: the inputs hold Infinity \(sample \d\)$/,
    );
    trainer.dispose();
  });

  it("refuses what it cannot do in one line", async () => {
    const trainer = await trainerWith(createOptimizer("sgd"), 31);
    const message = "invalid batchSize: 31 (must be at most 30, the rows of the dataset)";
    await assert.rejects(all(trainer, { epochs: 1 }), { name: "UsageError", message });
    for (const options of [
      { epochs: -1 },
      { epochs: 1.5 },
      { epochs: 1, timeBudget: 0 },
      { epochs: Number.NaN },
    ]) {
      await assert.rejects(all(trainer, options), isOneLine);
    }
    trainer.dispose();
  });
});
