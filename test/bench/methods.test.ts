/** The benchmark of all methods: budget, results file, aggregation, pages, and a tiny run from end to end. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { appendFileSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { choosingTables } from "../../bench/methods/choosing.ts";
import { methodFigure } from "../../bench/methods/figures.ts";
import { duration, figure, markdownTable, replaceBetweenMarks, times } from "../../bench/methods/markdown.ts";
import { resultsPage } from "../../bench/methods/page.ts";
import { fullPlan, onCosine, quickPlan, settingsOf } from "../../bench/methods/plan.ts";
import {
  appendOutcome,
  type Outcome,
  openResults,
  type Results,
  readResults,
  type Training,
} from "../../bench/methods/results.ts";
import { combine, median, standings } from "../../bench/methods/summary.ts";
import { loadTask, runCombination } from "../../bench/methods/train.ts";
import { methods } from "../../src/optimizers/index.ts";
import { openRuntime } from "../../src/runtime/runtime.ts";

const root = fileURLToPath(new URL("../../", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "natgrad-bench-"));
after(() => rmSync(folder, { recursive: true }));

/** A training in `seconds` whose loss over the training rows falls evenly from 1 to `loss`, looked at four times. */
function training(loss: number | null, seconds = 1, steps = 100): Training {
  const fractions = [0.25, 0.5, 0.75, 1];
  const curve = fractions.map((part) => [part * steps, loss && round(1 - (1 - loss) * part)] as const);
  return {
    ...{ seed: 0, steps, seconds, trainLoss: loss, heldOutLoss: loss && 2 * loss, rejected: 0, curve },
    metric: loss === null ? null : { name: "rmse", value: round(Math.sqrt(loss)) },
  };
}

const round = (value: number) => +value.toPrecision(5);

function outcome(method: string, trainings: readonly Training[], changes: Partial<Outcome> = {}): Outcome {
  return {
    ...{ task: "friedman1", network: "4", kind: "regression", method, options: { learningRate: 0.1 } },
    ...{ trials: 28, divergedTrials: 0, nearTrials: 7, plannedSteps: 100, trainings },
    ...changes,
  };
}

const invented: Results = {
  ...{ plan: fullPlan, machine: "a machine" },
  outcomes: [
    outcome("sgd", [training(0.4, 1), training(0.5, 1), training(0.6, 1)]),
    outcome("adam", [training(0.2, 2), training(0.3, 2), training(0.4, 2)]),
    outcome("kfac", [training(0.1, 8), training(0.1, 8), training(null, 8)], {
      divergedTrials: 7,
      nearTrials: 14,
    }),
    outcome("ekfac", [training(null), training(null)]),
    outcome("hessianFree", [], { failure: "out of | memory", options: undefined, trials: 3 }),
    outcome("tengrad", [training(0.15, 3, 50)]),
  ],
};

describe("the budget", () => {
  it("is as many different settings for every method that has something to tune", () => {
    for (const { name, options } of methods) {
      const tunable = options.includes("learningRate") || options.includes("damping");
      const settings = settingsOf(name, fullPlan);
      assert.equal(new Set(settings.map((one) => JSON.stringify(one))).size, settings.length, name);
      assert.equal(settings.length, tunable ? fullPlan.trials : 1, name);
    }
  });

  it("covers the grid with the first of them", () => {
    const first = settingsOf("kfac", { trials: 7 });
    assert.equal(new Set(first.map(({ learningRate }) => learningRate)).size, 7);
    assert.equal(new Set(first.map(({ damping }) => damping)).size, 4);
  });

  it("lets the rate fall to a hundredth", () => {
    const schedule = { schedule: "cosine", initial: 0.3, final: 0.003, steps: 50 };
    assert.deepEqual(onCosine({ learningRate: 0.3, damping: 1 }, 50), { learningRate: schedule, damping: 1 });
    assert.deepEqual(onCosine({ damping: 1 }, 50), { damping: 1 });
  });
});

describe("the results file", () => {
  it("gives back what was appended, and leaves out what a killed process left unfinished", () => {
    const path = join(folder, "new", "results.jsonl");
    assert.deepEqual(openResults(path, quickPlan, "m").outcomes, []);
    appendOutcome(path, invented.outcomes[0]);
    appendFileSync(path, '{"task":"friedm');
    assert.deepEqual(openResults(path, quickPlan, "m").outcomes, [invented.outcomes[0]]);
    appendOutcome(path, invented.outcomes[3]);
    const read = readResults(path);
    assert.deepEqual(read, {
      plan: quickPlan,
      machine: "m",
      outcomes: [invented.outcomes[0], invented.outcomes[3]],
    });
  });

  it("refuses results of another plan, other files and missing ones in a line", () => {
    const path = join(folder, "plan.jsonl");
    openResults(path, quickPlan, "m");
    assert.throws(() => openResults(path, fullPlan, "m"), /results of another plan/);
    const other = join(folder, "other.jsonl");
    writeFileSync(other, '{"a":1}\n');
    assert.throws(() => readResults(other), /holds no results of this benchmark/);
    assert.throws(() => readResults(join(folder, "none.jsonl")), /there is no .*none.jsonl yet/);
  });
});

describe("the summary", () => {
  const [{ lines }] = combine(invented);
  const line = (method: string) => lines.find((one) => one.outcome.method === method)!;

  it("takes medians, with what diverged as the worst", () => {
    assert.equal(median([3, 1, Infinity]), 3);
    assert.equal(median([1, 2]), 1.5);
    assert.equal(median([1, Infinity]), Infinity);
    assert.equal(median([Infinity, Infinity]), Infinity);
    assert.ok(Number.isNaN(median([])));
    assert.equal(line("kfac").trainLoss, 0.1);
    assert.equal(line("ekfac").heldOutLoss, Infinity);
  });

  it("puts the lowest held-out loss first and what has none last", () => {
    const order = lines.map(({ outcome: { method } }) => method);
    assert.deepEqual(order, ["kfac", "tengrad", "adam", "sgd", "ekfac", "hessianFree"]);
  });

  it("finds when a method was where Adam's middle training ended", () => {
    // Adam's middle training ends at 0.3 after 2 s; the looks at K-FAC find 0.775, 0.55, 0.325 and 0.1.
    assert.equal(line("adam").secondsToAdam, 2);
    assert.equal(line("kfac").secondsToAdam, 8);
    assert.equal(line("sgd").secondsToAdam, Infinity);
    assert.equal(line("hessianFree").secondsToAdam, Infinity);
  });

  it("adds up places, firsts and costs", () => {
    const twice = standings(
      combine({
        ...invented,
        outcomes: [
          ...invented.outcomes,
          outcome("sgd", [training(0.1, 1)], { task: "ecoli" }),
          outcome("adam", [training(0.2, 3)], { task: "ecoli" }),
          outcome("kfac", [training(0.3, 9)], { task: "ecoli" }),
        ],
      }),
    );
    const kfac = twice.find(({ method }) => method === "kfac")!;
    assert.deepEqual(kfac, {
      ...{
        method: "kfac",
        combinations: 2,
        rank: 2,
        trainRank: 2,
        wins: 1,
        reached: 1,
        timeToAdam: Infinity,
      },
      ...{ stepCost: 8.5, near: 21 / 56, diverged: 7 / 56, cut: 0 },
    });
    assert.equal(twice.find(({ method }) => method === "hessianFree")?.rank, 6);
    assert.equal(twice.find(({ method }) => method === "tengrad")?.cut, 1);
  });
});

describe("the pages", () => {
  it("write figures and durations as people read them", () => {
    assert.deepEqual([0.03125, 12.345, 1234.5, 1.25e-5, 0, Infinity].map(figure), [
      "0.0313",
      "12.3",
      "1235",
      "1.25e-5",
      "0.00",
      "–",
    ]);
    assert.deepEqual([8.5e-5, 1.234e-3, 0.2, 123.4, Number.NaN].map(duration), [
      "85 µs",
      "1.2 ms",
      "0.2 s",
      "123 s",
      "–",
    ]);
    assert.deepEqual([0.5, 17.3, Infinity].map(times), ["0.50×", "17×", "–"]);
  });

  it("make tables, and replace what is between marks alone", () => {
    assert.equal(markdownTable(["a", "b"], [["1", "2"]]), "| a | b |\n| --- | ---: |\n| 1 | 2 |");
    const page = "before\n<!-- x: generated, do not edit -->\nold\n<!-- x: end -->\nafter";
    const replaced = replaceBetweenMarks(page, "x", "new");
    assert.equal(replaced, "before\n<!-- x: generated, do not edit -->\n\nnew\n\n<!-- x: end -->\nafter");
    assert.equal(replaceBetweenMarks(replaced, "x", "new"), replaced);
    assert.throws(() => replaceBetweenMarks("nothing", "x", "new"), /lacks the marks of x/);
  });

  it("show who lost, who failed and who was cut", () => {
    const page = resultsPage(invented);
    assert.match(page, /^\| ekfac \| – \| – \| – .* 2 of 2 trainings diverged/m);
    assert.match(page, /^\| hessianFree .*\| out of \\\| memory \|$/m);
    assert.match(page, /^\| tengrad .* cut after 50 of 100 steps; 1 of 3 trainings \|$/m);
    assert.match(page, /^\| kfac \| 0\.200 .* 1 of 3 trainings diverged; 7 trials diverged \|$/m);
    const losers = [...page.matchAll(/^\| (\w+) \|/gm)].map(([, name]) => name);
    for (const { method } of invented.outcomes) assert.ok(losers.includes(method), method);
  });

  it("name for every aim the method that the standings speak for", () => {
    const tables = choosingTables(invented);
    assert.match(
      tables,
      /whatever a step costs \| \[kfac\]\(methods\/kfac\.md\) \| mean place 1\.0, first in 1 of 1/,
    );
    assert.match(tables, /little tuning.* \| \[kfac\].* 50 % of the settings end near its best/);
    assert.match(tables, /by first-order steps \| \[adam\]/);
    assert.match(tables, /at most four times SGD's \| \[adam\]/);
    assert.match(tables, /where Adam ends, soonest \| \[tengrad\].* 1\.5× Adam's time, gets there in 1 of 1/);
    assert.match(
      tables,
      /\| friedman1 \(regression\) \| \[kfac\].* \| \[hessianFree\].* \| 3 of 6 \(3\.0\) \|/,
    );
  });

  const results = join(root, "bench/results/methods.jsonl");
  const skip = existsSync(results) ? false : "the benchmark has not been run";
  it("are those that the results give", { skip }, () => {
    const page = (name: string) => readFileSync(join(root, "docs", name), "utf8");
    assert.equal(page("results.md"), resultsPage(readResults(results)));
    const choosing = page("choosing.md");
    assert.equal(choosing, replaceBetweenMarks(choosing, "results", choosingTables(readResults(results))));
    for (const { name } of methods) {
      const svg = methodFigure(readResults(results), name);
      if (svg) assert.equal(page(`images/methods/${name}.svg`), svg);
    }
  });

  it("draw a method beside Adam and SGD, and nothing where it has no curve", () => {
    const on = (task: string) => invented.outcomes.map((one) => ({ ...one, task, network: "32-16" }));
    const svg = methodFigure({ ...invented, outcomes: [...on("house"), ...on("ecoli")] }, "tengrad")!;
    for (const text of [
      "house",
      "ecoli",
      "tengrad 0.150",
      "adam 0.300",
      "sgd 0.500",
      "prefers-color-scheme: dark",
    ]) {
      assert.ok(svg.includes(text), text);
    }
    assert.equal(methodFigure({ ...invented, outcomes: on("house") }, "ekfac"), undefined);
    assert.equal(methodFigure({ ...invented, outcomes: on("house") }, "hessianFree"), undefined);
  });
});

describe("a run", () => {
  it("makes an error of a method its line", async () => {
    const runtime = await openRuntime();
    const combination = { task: "friedman1", network: "4", method: "nonsense" };
    const { failure } = await runCombination(combination, await loadTask("friedman1"), quickPlan, runtime);
    assert.match(failure!, /^unknown optimizer: nonsense/);
    runtime.dispose();
  });

  it("goes from settings to tables, and does nothing twice", async () => {
    const path = join(folder, "quick.jsonl");
    const args = ["--import", "tsx", "bench/methods/main.ts", "--quick", "--results", path];
    const part = ["--task", "friedman1", "--network", "4"];
    const run = (methodNames: string) =>
      promisify(execFile)(process.execPath, [...args, ...part, "--method", methodNames], { cwd: root });
    await run("sgd,adam");
    const before = readFileSync(path, "utf8");
    const { stdout, stderr } = await run("sgd,adam,exactNgd");
    assert.match(stderr, /2 of 3 are done already/);
    assert.ok(readFileSync(path, "utf8").startsWith(before));
    const { outcomes } = readResults(path);
    assert.deepEqual(
      outcomes.map(({ method }) => method),
      ["sgd", "adam", "exactNgd"],
    );
    for (const { failure, trials, trainings, plannedSteps } of outcomes) {
      assert.deepEqual([failure, trials > 0, trainings.length], [undefined, true, 1]);
      const [{ curve, steps, trainLoss, seconds }] = trainings;
      assert.equal(curve.at(-1)![0], steps);
      assert.equal(curve.at(-1)![1], trainLoss);
      assert.ok(steps <= plannedSteps && seconds > 0);
    }
    for (const name of ["sgd", "adam", "exactNgd"]) assert.match(stdout, new RegExp(`^\\| ${name} \\|`, "m"));
  });
});
