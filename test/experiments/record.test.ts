import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Experiment, ExperimentResult } from "../../src/experiments/experiment.ts";
import { compareWithPaper, describeData, encodeRecord, runExperiment } from "../../src/experiments/record.ts";

function experiment(run: Experiment["run"], quick: boolean | "with data" = true): Experiment {
  return {
    ...{ id: "paper-fig1", title: "A figure", source: "A paper, figure 1", summary: "Does it.", run },
    claims: [
      { id: "first", claim: "It is so.", quick: true },
      { id: "second", claim: "And so is that.", quick },
    ],
    data: { datasets: ["mnist"], synthetic: "glyphs of 8 by 8 pixels" },
    duration: { full: "1 min", quick: "1 s" },
  };
}

const both: ExperimentResult["claims"] = [
  { id: "second", measured: "It is 3.", agrees: false },
  { id: "first", measured: "It is 2.", agrees: true },
];

describe("running an experiment", () => {
  it("keeps what it found, claims in their order, and the command", async () => {
    const values = { typed: Float64Array.of(1, Number.NaN), nested: { endless: Number.POSITIVE_INFINITY } };
    const record = await runExperiment(
      experiment(async ({ seed, progress }) => {
        await progress(0.5, "half");
        return { values: { ...values, seed }, claims: both };
      }),
      { quick: true, synthetic: true, seed: 7 },
    );
    assert.deepEqual(
      record.claims.map(({ id, claim, agrees }) => [id, claim, agrees]),
      [
        ["first", "It is so.", true],
        ["second", "And so is that.", false],
      ],
    );
    assert.equal(record.command, "natgrad reproduce paper-fig1 --quick --synthetic --seed 7");
    assert.equal(record.data, "synthetic stand-in: glyphs of 8 by 8 pixels");
    const kept = JSON.parse(encodeRecord(record));
    assert.deepEqual(kept.values, { typed: [1, "NaN"], nested: { endless: "Infinity" }, seed: 7 });
    assert.equal(kept.format, "natgrad experiment 1");
    assert.match(
      compareWithPaper(record),
      /^Agrees with 1 of 2 claims of the paper\. It disagrees on “And so is that”: It is 3\.$/,
    );
  });

  it("asks for a finding on every claim, but for those that the quick version does not assert", async () => {
    const one = experiment(async () => ({ values: {}, claims: both.slice(1) }), false);
    assert.equal((await runExperiment(one, { quick: true })).claims.length, 1);
    await assert.rejects(runExperiment(one), /no finding on its claim second/);
    const stray = experiment(async () => ({
      values: {},
      claims: [{ id: "third", measured: "3", agrees: true }],
    }));
    await assert.rejects(runExperiment(stray), /a finding on third, which is none of its claims/);
  });

  it("stops where the signal comes", async () => {
    const controller = new AbortController();
    let rounds = 0;
    const endless = experiment(async ({ progress }) => {
      for (;;) {
        await progress(0.1, "on and on");
        if (++rounds === 3) controller.abort(new Error("stopped"));
      }
    });
    await assert.rejects(runExperiment(endless, { signal: controller.signal }), /stopped/);
    assert.equal(rounds, 3);
  });

  it("compares with the paper in words", () => {
    const claim = (agrees: boolean) => ({ id: "a", claim: "It is so.", measured: "It is 2.", agrees });
    assert.equal(compareWithPaper({ claims: [claim(true)] }), "Agrees with the paper's claim.");
    assert.equal(
      compareWithPaper({ claims: [claim(true), claim(true)] }),
      "Agrees with all 2 claims of the paper.",
    );
    assert.equal(
      compareWithPaper({ claims: [claim(true), { ...claim(true), ours: true }] }),
      "Agrees with the paper's claim. Beside them: It is so.",
    );
    assert.equal(
      compareWithPaper({ claims: [claim(true), { ...claim(false), ours: true }] }),
      "Agrees with the paper's claim. What we said beside them does not hold, “It is so”: It is 2.",
    );
    assert.match(
      compareWithPaper({ claims: [claim(false)] }),
      /^Disagrees with the paper's claim\. It disagrees on “It is so”/,
    );
    assert.equal(
      describeData(
        experiment(async () => ({ values: {}, claims: [] })),
        false,
      ),
      "mnist",
    );
    assert.equal(describeData({}, true), "none but what it draws");
  });
});
