import assert from "node:assert/strict";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import {
  createTrainer,
  dense,
  gaussian,
  Random,
  resumeTrainer,
  sequential,
  type Trainer,
  type TrainerConfig,
  tanh,
  tengrad,
  tensor,
} from "../../src/index.ts";

const config: TrainerConfig = {
  model: sequential([dense(5), tanh(), dense(1)]),
  inputShape: [3],
  likelihood: gaussian(),
  optimizer: tengrad({ learningRate: 0.1, damping: 0.1, momentum: 0.5, refreshEvery: 3 }),
};
const random = new Random(0);
const draw = (columns: number) =>
  tensor(
    Float32Array.from({ length: 20 * columns }, () => random.normal()),
    [20, columns],
  );
const batch = { inputs: draw(3), targets: draw(1) };

async function train(trainer: Trainer, steps: number): Promise<number[]> {
  const losses: number[] = [];
  for (let step = 0; step < steps; step++) losses.push((await trainer.step(batch)).loss);
  return losses;
}

describe("the bytes of a checkpoint", () => {
  it("are those of its file, and resume with the same bits", async () => {
    const folder = await mkdtemp(join(tmpdir(), "natgrad-"));
    try {
      const trainer = await createTrainer(config);
      await train(trainer, 4);
      const path = join(folder, "checkpoint.safetensors");
      await trainer.save(path);
      const bytes = trainer.toBytes();
      assert.deepEqual(new Uint8Array(await readFile(path)), bytes);

      const shifted = new Uint8Array(bytes.length + 3); // bytes need not lie where numbers would
      shifted.set(bytes, 3);
      const resumed = await resumeTrainer(shifted.subarray(3), config);
      assert.deepEqual(resumed.toBytes(), bytes);
      assert.deepEqual(await train(resumed, 5), await train(trainer, 5));
      assert.deepEqual(resumed.getParameters(), trainer.getParameters());
      trainer.dispose();
      resumed.dispose();
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  it("are a copy", async () => {
    const trainer = await createTrainer(config);
    const bytes = trainer.toBytes();
    const before = bytes.slice();
    await train(trainer, 2);
    assert.deepEqual(bytes, before);
    trainer.dispose();
  });

  it("are refused in one line when they are of another run, cut short or none", async () => {
    const trainer = await createTrainer(config);
    const bytes = trainer.toBytes();
    await assert.rejects(resumeTrainer(bytes, { ...config, seed: 1 }), {
      name: "UsageError",
      message: "the data given is a checkpoint of another run: its seed is 0, not 1",
    });
    await assert.rejects(trainer.load(bytes.subarray(0, bytes.length - 8)), {
      name: "RunError",
      message: /^cannot read the data given: cut short: the tensors take \d+ bytes and \d+ are there$/,
    });
    await assert.rejects(trainer.load(new Uint8Array(3)), {
      name: "RunError",
      message: "cannot read the data given: not a safetensors file (3 bytes)",
    });
    assert.deepEqual(trainer.toBytes(), bytes);
    trainer.dispose();
  });
});
