import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { bestRecord, isExhausted } from "../../src/training/early-stopping.ts";
import type { EpochRecord } from "../../src/training/run-folder.ts";

const records = (...losses: (number | undefined)[]) =>
  losses.map((validationLoss, epoch): EpochRecord => {
    const rest = {
      step: epoch,
      seconds: epoch,
      trainLoss: 1,
      learningRate: 1,
      rejectedSteps: 0,
      notices: [],
    };
    return { epoch, validationLoss, ...rest };
  });

describe("early stopping", () => {
  it("takes the earliest of the lowest validation losses", () => {
    assert.equal(bestRecord(records(3, 1, 2, 1))?.epoch, 1);
    assert.equal(bestRecord(records(Number.NaN, 2, Number.POSITIVE_INFINITY))?.epoch, 1);
    assert.equal(bestRecord(records(undefined, Number.NaN)), undefined);
    assert.equal(bestRecord([]), undefined);
  });

  it("has patience with as many records as it is given", () => {
    assert.equal(isExhausted(records(3, 1, 2), 2), false);
    assert.equal(isExhausted(records(3, 1, 2, 1), 2), true);
    assert.equal(isExhausted(records(3, 1, 2, 0.5), 2), false);
    assert.equal(isExhausted(records(3, 1, Number.NaN, Number.NaN), 2), true);
    assert.equal(isExhausted(records(undefined, undefined), 1), false);
  });
});
