/** Inputs that no step should survive but every trainer must. */
import assert from "node:assert/strict";
import { it } from "node:test";
import {
  type Batch,
  type createOptimizer,
  dense,
  gaussian,
  relu,
  sequential,
  type Tensor,
  type Trainer,
  tanh,
  tensor,
} from "../../src/index.ts";
import type { Runtime } from "../../src/runtime/session.ts";
import { assertFinite, assertSameBits, randomBatch, solversOf, trainerOf } from "./networks.ts";
import { levenbergMarquardt, type Options, taken, takes } from "./settings.ts";

/** Whatever happens: parameters stay finite, a rejected step changes no bit, and the status is a sentence. */
export function abuse(
  name: string,
  optimizer: (options?: Options) => ReturnType<typeof createOptimizer>,
  natural: boolean,
  runtime: () => Runtime,
): void {
  const regression = (layers = [dense(4), tanh(), dense(2)]) => ({
    model: sequential(layers),
    likelihood: gaussian(),
    inputShape: [3],
    outputs: 2,
    seed: 1,
  });
  const filled = (value: number, samples = 6): Batch => {
    const { targets } = randomBatch(regression(), samples, 1);
    return { inputs: tensor(new Float64Array(3 * samples).fill(value), [samples, 3]), targets };
  };
  const duplicated = (): Batch => {
    const { inputs, targets } = randomBatch(regression(), 1, 1);
    const repeat = ({ data }: Tensor, width: number) =>
      tensor(
        Float64Array.from({ length: 6 * width }, (_, k) => data[k % width]),
        [6, width],
      );
    return { inputs: repeat(inputs, 3), targets: repeat(targets, 2) };
  };
  const dead = sequential([dense(4), relu(), dense(2)]);

  async function survives(
    network: ReturnType<typeof regression>,
    batch: Batch,
    options: Options,
    dtype: "float32" | "float64",
    setup?: (trainer: Trainer) => void,
  ): Promise<string[]> {
    const trainer = await trainerOf(runtime(), network, optimizer(options), { dtype });
    setup?.(trainer);
    const statuses: string[] = [];
    for (let k = 0; k < 12; k++) {
      const before = trainer.getParameters();
      const { accepted, status, stepNorm } = await trainer.step(batch);
      assertFinite(trainer.getParameters(), `step ${k}, ${status}`);
      assert.match(status, /^[^\n]+$/);
      assert.equal(accepted, !status.startsWith("rejected: "));
      assert.ok(Number.isFinite(stepNorm));
      if (!accepted) assertSameBits(trainer.getParameters(), before, status);
      statuses.push(status);
    }
    trainer.dispose();
    return statuses;
  }

  const variants: [string, Options][] = [
    ["defaults", {}],
    ["dense", { solver: "dense" }],
    ["conjugate gradients", { solver: "cg" }],
    ["stale", { refreshEvery: 3 }],
    ["Monte-Carlo", { fisher: "monte-carlo" }],
    ["improved empirical", { fisher: "improved-empirical" }],
    ["Levenberg-Marquardt", { damping: levenbergMarquardt, refreshEvery: 3 }],
  ];
  for (const [title, options] of variants) {
    if (!takes(name, options)) continue;
    for (const dtype of ["float32", "float64"] as const) {
      it(`${title}, ${dtype}`, async () => {
        const plain = randomBatch(regression(), 6, 1);
        await survives(regression(), filled(0), options, dtype);
        await survives(regression(), filled(1), options, dtype);
        await survives(regression(), duplicated(), options, dtype);
        await survives(regression(), randomBatch(regression(), 1, 1), options, dtype);
        await survives(regression(), plain, { ...options, learningRate: 1e6 }, dtype);
        await survives({ ...regression(), model: dead }, plain, options, dtype, (trainer) => {
          trainer.setParameters({ "0.bias": tensor(new Float64Array(4).fill(-100)) });
        });
        for (const size of [1e4, 1e15, 1e30]) {
          await survives(regression([dense(2)]), filled(size), options, dtype);
          await survives({ ...regression(), model: dead }, filled(-size), options, dtype);
        }
        if (takes(name, { damping: 0 }) && options.damping === undefined) {
          for (const batch of [plain, duplicated(), filled(1)]) {
            await survives(regression(), batch, { ...options, damping: 1e-12 }, dtype);
          }
        }
      });
    }
  }

  it("names the sample that is not finite", async () => {
    for (const value of [Number.NaN, Number.POSITIVE_INFINITY]) {
      const batch = randomBatch(regression(), 6, 1);
      batch.inputs.data[7] = value;
      const statuses = await survives(regression(), batch, {}, "float32");
      assert.equal(statuses[0], `rejected: the inputs hold ${value} (sample 2)`);
    }
  });

  it("recovers after a rejected step as if it had not been", async () => {
    const network = regression();
    const options = taken(name, { refreshEvery: 2 });
    const [disturbed, other] = [
      await trainerOf(runtime(), network, optimizer(options)),
      await trainerOf(runtime(), network, optimizer(options)),
    ];
    const broken = filled(Number.NaN);
    for (let k = 0; k < 4; k++) {
      const batch = randomBatch(network, 6, k);
      if (k % 2 === 0) assert.equal((await disturbed.step(broken)).accepted, false);
      const [a, b] = [await disturbed.step(batch), await other.step(batch)];
      assert.deepEqual(a, b);
    }
    assertSameBits(disturbed.getParameters(), other.getParameters());
    assert.equal(disturbed.progress.step, 4);
    disturbed.dispose();
    other.dispose();
  });

  if (natural && !takes(name, { warmStart: 1 })) {
    it("refuses damping 0 where a block is singular, in words", async () => {
      for (const solver of solversOf(name).filter((solver) => solver !== "cg")) {
        const options = { damping: 0, ...(solver && { solver }) };
        const layers = [dense(4), tanh(), dense(4), tanh(), dense(2)];
        const statuses = await survives(regression(layers), filled(0), options, "float64");
        for (const status of statuses)
          assert.match(status, /^rejected: .*damping 0 needs blocks that are not singular/);
      }
    });
  }
}
