/** Time left, by a clock of the test's own, and what is said of it. */
import assert from "node:assert/strict";
import { describe, it, mock } from "node:test";
import { Pace } from "../../src/cli/pace.ts";
import { describeStep, lineProgress } from "../../src/cli/progress.ts";

/** A run of steps of `step` seconds, with evaluations of `evaluation` seconds. */
function startRun(step: number, evaluation: number) {
  let time = 0;
  const pace = new Pace(() => 1000 * time);
  return {
    pace,
    evaluate() {
      time += evaluation;
      pace.evaluated();
    },
    steps(count: number, seconds = step) {
      for (let k = 0; k < count; k++) {
        time += seconds;
        pace.step();
      }
    },
  };
}

const run = { batches: 20, epochs: 3 };
const near = (actual: number, expected: number) => assert.ok(Math.abs(actual - expected) < 1e-9 * expected);

describe("the pace of a run", () => {
  it("counts the steps and evaluations that are left", () => {
    const { pace, evaluate, steps } = startRun(2, 7);
    assert.equal(pace.left({ ...run, epoch: 0, batch: 0 }), undefined);
    evaluate();
    steps(1, 60); // compilation
    steps(4);
    assert.deepEqual(pace.left({ ...run, epoch: 0, batch: 5 }), {
      ...{ perStep: 2, epoch: 15 * 2 + 7, run: 15 * 2 + 7 + 2 * (20 * 2 + 7) },
    });
    steps(15);
    evaluate();
    assert.deepEqual(pace.left({ ...run, epoch: 1, batch: 0 }), { perStep: 2, epoch: 47, run: 94 });
    assert.deepEqual(pace.left({ ...run, epoch: 3, batch: 0 }), { perStep: 2, epoch: 0, run: 0 });
  });

  it("follows a pace that changes, and is not led astray by a slow first step", () => {
    const { pace, steps } = startRun(1, 0);
    steps(1, 100);
    near(pace.left({ ...run, epoch: 0, batch: 1 })!.perStep, 100);
    steps(300);
    near(pace.left({ ...run, epoch: 0, batch: 1 })!.perStep, 1);
    steps(1000, 3);
    assert.ok(pace.left({ ...run, epoch: 0, batch: 1 })!.perStep > 2.99);
  });

  it("ends with a limit in seconds of training, evaluations on top", () => {
    const { pace, evaluate, steps } = startRun(2, 7);
    evaluate();
    steps(10);
    const left = pace.left({ ...run, epochs: 1000, epoch: 0, batch: 10, budget: 100 })!;
    assert.equal(left.run, 100 + 3 * 7); // two and a half epochs
    assert.equal(left.epoch, 27);
    assert.equal(pace.left({ ...run, epoch: 0, batch: 10, budget: 6 })!.run, 6 + 7);
    assert.equal(pace.left({ ...run, epoch: 0, batch: 10, budget: 1e6 })!.run, 10 * 2 + 7 + 2 * 47);
  });
});

describe("progress", () => {
  const statistics = { step: 0, loss: 0.53, learningRate: 1, stepNorm: 1, accepted: true, status: "ok" };
  const step = { fraction: 0.2, epoch: 2, batch: 120, batches: 468, statistics };

  it("tells the steps of a long epoch, and only the number of a short one", () => {
    const left = { perStep: 1.3, epoch: 452.4, run: 3800 };
    assert.equal(
      describeStep({ ...step, left }, 10),
      "epoch 3/10, step 120/468, 1.3 s a step, 7 min 32 s to its end, batch loss 0.53",
    );
    assert.equal(
      describeStep({ ...step, epoch: 9, left }, 10),
      "epoch 10/10, step 120/468, 1.3 s a step, batch loss 0.53",
    );
    assert.equal(describeStep({ ...step, batch: 468, left }, undefined), "epoch 3, evaluating");
    assert.equal(describeStep({ ...step, left: { ...left, perStep: 0.01 } }, 10), "epoch 3/10");
  });

  it("breaks the silence of a long epoch, again and again, where there is no terminal", () => {
    mock.timers.enable({ apis: ["setTimeout"] });
    try {
      const lines: string[] = [];
      const progress = lineProgress(8, 30_000, (line) => lines.push(line));
      const line = progress.add("tengrad");
      mock.timers.tick(29_000);
      line.update(0.1, "epoch 1/2, step 5/20", { perStep: 6, epoch: 90, run: 210 });
      assert.deepEqual(lines, []);
      mock.timers.tick(1000);
      assert.deepEqual(lines, ["tengrad   epoch 1/2, step 5/20  3 min 30 s left"]);
      line.update(0.2, "epoch 1/2, evaluating");
      for (const _ of [1, 2]) mock.timers.tick(30_000);
      assert.deepEqual(lines.slice(1), Array(2).fill("tengrad   epoch 1/2, evaluating"));
      mock.timers.tick(20_000);
      const record = { epoch: 1, step: 20, seconds: 1, trainLoss: 0.5, learningRate: 1, rejectedSteps: 0 };
      line.epoch({ ...record, notices: [] }, 2, { perStep: 6, epoch: 120, run: 120 });
      assert.equal(lines[3], "tengrad   epoch 1/2  loss 0.5  2 min 0 s left");
      mock.timers.tick(29_000);
      assert.equal(lines.length, 4, "the silence is counted from the last line");
      line.finish("stopped");
      mock.timers.tick(100_000);
      assert.deepEqual(lines.slice(4), ["tengrad   stopped"]);
      progress.stop();
    } finally {
      mock.timers.reset();
    }
  });
});
