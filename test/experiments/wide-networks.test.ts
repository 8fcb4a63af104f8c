/** What the experiments on wide networks share: their data, their training and what it is compared with. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { examplesOf, firstOfClasses, loadSubset } from "../../src/experiments/class-subset.ts";
import { trainKfac } from "../../src/experiments/kfac-training.ts";
import { kinkCrossings, openUnits } from "../../src/experiments/kinks.ts";
import { compareWithTheory } from "../../src/experiments/wide-comparison.ts";
import { wideMethods } from "../../src/experiments/wide-methods.ts";
import {
  accuracyOf,
  largestGap,
  lossOf,
  reluNetwork,
  trainWide,
} from "../../src/experiments/wide-training.ts";
import { blockTridiagonalNgd, kfac } from "../../src/optimizers/index.ts";
import { openRuntime, type Runtime } from "../../src/runtime/runtime.ts";
import { tensor } from "../../src/tensor.ts";
import { analyticKernels, finiteNetwork, initialValues } from "../../src/theory/index.ts";

const request = { dataset: "mnist", classes: [0, 7], training: 12, test: 6 };

describe("the first images of some classes", () => {
  const pixels = { shape: [5, 1, 1, 2], data: Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8, 9, 10) };

  it("are taken in their order, and too few are refused", () => {
    const { data, labels } = firstOfClasses(pixels, [7, 3, 0, 7, 0], [0, 7], 3);
    assert.deepEqual([...data], [1, 2, 5, 6, 7, 8]);
    assert.deepEqual([...labels], [1, 0, 1]);
    assert.throws(
      () => firstOfClasses(pixels, [7, 3, 0, 7, 0], [0, 7], 5),
      /4 images of these classes \(wanted 5\)/,
    );
  });

  it("are standardized as a whole, and their rows have one length", () => {
    const rows = { data: Float64Array.of(1, 2, 5, 6, 7, 9), labels: Int32Array.of(1, 0, 1) };
    const { inputs, targets } = examplesOf(rows, { classes: [0, 7] });
    assert.deepEqual([...targets.data], [-0.5, 0.5, -0.5]);
    assert.deepEqual(targets.shape, [3, 1]);
    // Mean 5: the first row is (−4, −3) over the deviation, which the length takes out.
    assert.ok(Math.abs(inputs.data[0] + 0.8) < 1e-15 && Math.abs(inputs.data[1] + 0.6) < 1e-15);
    const long = examplesOf(rows, { classes: [0, 7], squaredLength: "features" }).inputs;
    for (let n = 0; n < 3; n++)
      assert.ok(Math.abs(long.data[2 * n] ** 2 + long.data[2 * n + 1] ** 2 - 2) < 1e-14);
    const three = examplesOf(rows, { classes: [0, 7, 8] });
    assert.deepEqual([...three.targets.data], [0, 1, 0, 1, 0, 0, 0, 1, 0]);
  });

  it("have a stand-in of both parts, the same for the same seed", async () => {
    const [a, b, other] = await Promise.all(
      [1, 1, 2].map((seed) => loadSubset(request, { synthetic: true, seed })),
    );
    assert.deepEqual(a, b);
    assert.notDeepEqual(a.training.inputs, other.training.inputs);
    assert.deepEqual(a.training.inputs.shape, [12, 784]);
    assert.deepEqual(a.test.targets.shape, [6, 1]);
  });
});

describe("losses and accuracies", () => {
  const labels = Int32Array.of(0, 1);
  const inputs = tensor(new Float64Array(2), [2, 1]);

  it("of one output and of several", () => {
    const one = { inputs, labels, targets: tensor(Float64Array.of(0.5, -0.5), [2, 1]) };
    assert.equal(lossOf({ data: Float64Array.of(1.5, -0.5) }, one), 0.25);
    assert.equal(accuracyOf({ data: Float64Array.of(0.1, 0.1) }, one), 0.5);
    const two = { inputs, labels, targets: tensor(Float64Array.of(1, 0, 0, 1), [2, 2]) };
    assert.equal(lossOf({ data: Float64Array.of(1, 0, 0, 3) }, two), 1);
    assert.equal(accuracyOf({ data: Float64Array.of(0.1, 0, 0, 3) }, two), 1);
  });

  it("differ by the largest gap above a threshold", () => {
    assert.ok(Math.abs(largestGap([1, 0.9, 5], [1, 1, 1e-5], 1e-4) - 0.1) < 1e-15);
    assert.equal(largestGap([1], [0], 1e-4), 0);
  });
});

describe("training wide networks", () => {
  let runtime: Runtime;
  before(async () => {
    runtime = await openRuntime();
  });
  after(() => runtime.dispose());
  const setting = { network: reluNetwork(3), width: 48, seed: 3 };
  const load = () => loadSubset({ ...request, squaredLength: "features" }, { synthetic: true, seed: 0 });

  it("by K-FAC in the space of the samples is kfac() with next to no damping", async () => {
    const subset = await load();
    const learningRate = 0.2 / wideMethods["K-FAC"].factor(3, 12);
    const optimizer = kfac({ learningRate, damping: 1e-18, fisher: "exact", decay: 0 });
    const own = await trainKfac(subset, { ...setting, learningRate, steps: 3, runtime });
    const other = await trainWide(subset, { ...setting, optimizer, steps: 3, runtime });
    assert.equal(own.losses[0], other.losses[0]);
    assert.ok(largestGap(own.losses, other.losses, 0) < 1e-4, `${own.losses} beside ${other.losses}`);
    assert.ok(largestGap(own.testLosses, other.testLosses, 0) < 1e-4);
    assert.ok(own.losses[3] < 0.5 * own.losses[0]);
  });

  it("follows the theory of every method at small rates", async () => {
    const subset = await load();
    const kernels = {
      train: analyticKernels(setting.network, subset.training.inputs),
      test: analyticKernels(setting.network, subset.training.inputs, subset.test.inputs),
    };
    for (const method of Object.values(wideMethods)) {
      const steps: number[] = [];
      const { gap, trained, predicted, learningRate } = await compareWithTheory(method, subset, kernels, {
        ...{ ...setting, fraction: 0.01, steps: 3, leastLoss: 0, name: method.name, runtime },
        onStep: async (step) => void steps.push(step),
      });
      assert.deepEqual(steps, [1, 2, 3]);
      assert.equal(learningRate, 0.01 / method.factor(3, 12));
      assert.ok(gap < 2e-3, `${method.name}: ${gap}`);
      assert.equal(trained.losses[0], predicted.losses[0]);
      assert.ok(trained.losses[3] < 0.96 * trained.losses[0]);
    }
  });

  it("knows which units are open at which points", async () => {
    const { inputs } = (await load()).training;
    const model = finiteNetwork(setting.network, 48).build([784]);
    const parameters = initialValues(model, 3);
    const open = await openUnits({ model, parameters }, inputs, { runtime });
    assert.equal(open.length, 2 * 12 * 48);
    const [first, second] = [...parameters.values()];
    const product = (rows: ArrayLike<number>, weights: ArrayLike<number>, fanIn: number) =>
      Float64Array.from({ length: 12 * 48 }, (_, k) => {
        const [n, o] = [Math.floor(k / 48), k % 48];
        let sum = 0;
        for (let i = 0; i < fanIn; i++) sum += rows[n * fanIn + i] * weights[o * fanIn + i];
        return sum; // the factors √2/√fanIn do not change its sign
      });
    const u1 = product(inputs.data, first.data, 784);
    const u2 = product(
      u1.map((u) => Math.max(0, u)),
      second.data,
      48,
    );
    assert.deepEqual(
      [...open],
      [...u1, ...u2].map((u) => Number(u > 0)),
    );
  });

  it("counts K-FAC's crossings of kinks, and none of smooth activations", async () => {
    const subset = await load();
    const learningRate = 0.2 / wideMethods["K-FAC"].factor(3, 12);
    const train = (activation: "relu" | "erf") => {
      const network = { ...setting.network, activation };
      return trainKfac(subset, { ...setting, network, learningRate, steps: 3, runtime });
    };
    const { crossings } = await train("relu");
    assert.ok(crossings!.changed > 0 && crossings!.changed < 0.2);
    assert.ok(crossings!.returned <= crossings!.changed);
    assert.equal((await train("erf")).crossings, undefined);
    const sides = [
      [1, 0, 0, 1, 1],
      [0, 0, 1, 1, 1],
      [1, 1, 1, 1, 1],
    ].map((one) => Uint8Array.from(one));
    assert.deepEqual(kinkCrossings(sides), { changed: 2 / 5, returned: 1 / 5 });
    assert.equal(kinkCrossings(sides.slice(1)), undefined);
  });

  it("says which step was refused", async () => {
    const subset = await load();
    const repeated = { ...subset.training, inputs: { ...subset.training.inputs } };
    repeated.inputs.data = repeated.inputs.data.slice();
    repeated.inputs.data.copyWithin(784, 0, 784); // two equal samples: a singular kernel
    const optimizer = blockTridiagonalNgd({ learningRate: 0.1, damping: 0 });
    await assert.rejects(
      trainWide({ ...subset, training: repeated }, { ...setting, optimizer, steps: 1, runtime }),
      /blockTridiagonalNgd, step 1: /,
    );
  });
});
