import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import { methods as registry } from "../../src/optimizers/index.ts";
import { checkpoint, events, metrics, natgrad, scratchFolder, start, withoutData } from "./support.ts";

describe("natgrad compare", () => {
  const folder = scratchFolder();

  it("trains every method from the same weights, ranks them and writes one report", async () => {
    const args = ["compare", "friedman1", "--rows", "400", "--epochs", "3", "--hidden", "8", "--json"];
    const run = await natgrad(folder, [...args, "--optimizers", "all,lbfgs,levenbergMarquardt"]);
    assert.equal(run.code, 0, run.stderr);
    const all = events(run);
    const methods = all[0].methods as string[];
    assert.deepEqual(
      methods,
      registry.map(({ name }) => name),
    );
    const starts = all.filter(({ event, epoch }) => event === "epoch" && epoch === 0);
    assert.equal(new Set(starts.map(({ trainLoss }) => trainLoss)).size, 1, "one start for all");
    const results = all.filter(({ event }) => event === "result");
    const losses = results.map(({ validationLoss }) => validationLoss as number);
    assert.deepEqual(
      losses,
      [...losses].sort((a, b) => a - b),
    );
    assert.equal(results.length, methods.length);
    for (const method of methods)
      assert.equal((await metrics(folder, `friedman1-compare/${method}`)).length, 4);
    const report = await readFile(join(folder, "runs/friedman1-compare/report.html"), "utf8");
    assert.match(report, /natgrad compare friedman1 --rows 400/);
    assert.match(report, /block-diagonal/);
  });

  it("leaves out methods that are made for another likelihood, unless they are named", async () => {
    const args = ["compare", "spirals", "--rows", "60", "--epochs", "1", "--hidden", "2"];
    const all = await natgrad(folder, [...args, "--name", "fitting"]);
    assert.equal(all.code, 0, all.stderr);
    assert.match(all.stdout, /left out, made for regression: levenbergMarquardt\n/);
    assert.ok(!existsSync(join(folder, "runs/fitting/levenbergMarquardt")));
    const named = await natgrad(folder, [
      ...args,
      "--name",
      "named",
      "--optimizers",
      "adam,levenbergMarquardt",
    ]);
    assert.equal(named.code, 0, named.stderr);
    assert.match(named.stdout, /not run: levenbergMarquardt fits least squares/);
  });

  it("leaves out what takes long or wants full batches, and says what takes them in", async () => {
    const args = [
      "compare",
      "friedman1",
      "--rows",
      "60",
      "--epochs",
      "1",
      "--hidden",
      "2",
      "--name",
      "short",
    ];
    const run = await natgrad(folder, args);
    assert.equal(run.code, 0, run.stderr);
    const costly = "woodFisher, layerwiseNgd, blockTridiagonalNgd, hessianFree, customMetric";
    assert.deepEqual(
      run.stdout.split("\n").filter((line) => line.startsWith("left out")),
      [
        `left out, for they take long: ${costly} (taken in by --optimizers all)`,
        "left out, for they want full batches: lbfgs, levenbergMarquardt (taken in by --optimizers all --batch-size all)",
      ],
    );
    assert.ok(!existsSync(join(folder, "runs/short/woodFisher")));
  });

  it("trains a method of a comparison as train does, and resume goes on with it", async () => {
    const shared = ["friedman1", "--rows", "400", "--hidden", "8"];
    const compared = natgrad(folder, [
      "compare",
      ...shared,
      "--epochs",
      "2",
      "--optimizers",
      "adam",
      "--name",
      "one",
    ]);
    const trained = natgrad(folder, [
      "train",
      ...shared,
      "--epochs",
      "3",
      "--optimizer",
      "adam",
      "--name",
      "alone",
    ]);
    for (const { code, stderr } of await Promise.all([compared, trained])) assert.equal(code, 0, stderr);
    const resumed = await natgrad(folder, ["resume", "runs/one/adam", "--epochs", "1"]);
    assert.equal(resumed.code, 0, resumed.stderr);
    assert.deepEqual(await checkpoint(folder, "one/adam"), await checkpoint(folder, "alone"));
  });

  it("tries as many settings of every method and says which won", async () => {
    const args = ["compare", "spirals", "--rows", "200", "--hidden", "6", "--epochs", "2", "--tune"];
    const run = await natgrad(folder, [
      ...args,
      "--optimizers",
      "sgd,tengrad",
      "--fisher",
      "exact",
      "--json",
    ]);
    assert.equal(run.code, 0, run.stderr);
    const trials = events(run).filter(({ event }) => event === "trial");
    const learningRates = (method: string) =>
      trials
        .filter(({ optimizer }) => optimizer === method)
        .map(({ options }) => (options as Record<string, number>).learningRate);
    for (const [method, distinct] of [
      ["sgd", 28],
      ["tengrad", 7],
    ] as const) {
      const rates = learningRates(method);
      assert.equal(rates.length, 28);
      assert.equal(new Set(rates).size, distinct);
      assert.deepEqual([Math.max(...rates), Math.min(...rates)], [1, 0.001]);
    }
    for (const { run: name, options, trials: count } of events(run).filter(
      ({ event }) => event === "result",
    )) {
      assert.equal(count, 28);
      const own = trials.filter(({ optimizer, diverged }) => optimizer === name && !diverged);
      const lowest = own.reduce((a, b) => (Number(b.validationLoss) < Number(a.validationLoss) ? b : a));
      const { learningRate } = lowest.options as Record<string, number>;
      assert.equal((options as Record<string, number>).learningRate, learningRate);
    }
    assert.match(await readFile(join(folder, "runs/spirals-compare/report.html"), "utf8"), /All 56 trials/);
    const fixed = ["--damping", "0.1", "--tune-steps", "2", "--name", "fixed"];
    const table = await natgrad(folder, [...args, "--optimizers", "sgd,kfac", ...fixed]);
    assert.equal(table.code, 0, table.stderr);
    assert.match(table.stdout, / settings tried +settings/);
    for (const method of ["sgd", "kfac"])
      assert.match(table.stdout, new RegExp(` ${method} .* 28 +learningRate `));
  });

  it("goes on without a method that fails, and says so", async () => {
    const options = ["--option", "exactNgd.damping=0", "--option", "exactNgd.fisher=exact"];
    const args = [
      "compare",
      "glyphs",
      "--rows",
      "200",
      "--epochs",
      "6",
      "--optimizers",
      "sgd,exactNgd",
      ...options,
    ];
    const run = await natgrad(folder, [...args, "--hidden", "none", "--batch-size", "32", "--json"]);
    assert.equal(run.code, 0, run.stderr);
    const results = events(run).filter(({ event }) => event === "result");
    assert.deepEqual(
      results.map(({ run: name }) => name),
      ["sgd", "exactNgd"],
    );
    assert.match(String(results[1].status), /^diverged: training stopped after 20 rejected steps/);
  });

  it("ranks last, and marks, a method whose loss is not finite; fails when all are such", async () => {
    const args = ["compare", "friedman1", "--rows", "400", "--hidden", "8", "--epochs", "3"];
    const rates = ["--option", "sgd.learningRate=1000", "--option", "rmsprop.learningRate=1e30"];
    const some = await natgrad(folder, [...args, ...rates, "--optimizers", "sgd,rmsprop,adam", "--json"]);
    assert.equal(some.code, 0, some.stderr);
    const results = events(some).filter(({ event }) => event === "result");
    assert.deepEqual(
      results.map(({ run, diverged }) => [run, diverged]),
      [
        ["adam", false],
        ["sgd", true],
        ["rmsprop", true],
      ],
    );
    assert.match(String(results[1].status), /^diverged: training ended with a training loss of Infinity /);
    const none = await natgrad(folder, [...args, ...rates.slice(0, 2), "--optimizers", "sgd"]);
    assert.equal(none.code, 1);
    assert.match(
      none.stderr,
      /\nnatgrad: no method ended with a finite loss: sgd diverged: training ended [^\n]+\n$/,
    );
    assert.match(none.stdout, /sgd +Infinity +Infinity .* diverged: training ended/);
  });

  it("keeps what is finished when it is stopped, and writes the report", async () => {
    const args = [
      "compare",
      "friedman1",
      "--optimizers",
      "adam,exactNgd",
      "--batch-size",
      "4",
      "--epochs",
      "300",
    ];
    const running = start(folder, [...args, "--time-budget", "2", "--name", "stopped", "--json"]);
    await running.sees('"run":"exactNgd","epoch":1');
    running.child.kill("SIGINT");
    const ended = await running.ended;
    assert.equal(ended.code, 130, ended.stderr);
    const results = events(ended).filter(({ event }) => event === "result");
    assert.deepEqual(results.map(({ run, status }) => [run, String(status).split(" ")[0]]).sort(), [
      ["adam", "finished"],
      ["exactNgd", "stopped"],
    ]);
    assert.ok(existsSync(join(folder, "runs/stopped/report.html")));
  });

  it("shows exact natural gradients below SGD and Adam on weather", { skip: withoutData }, async () => {
    const args = ["compare", "weather", "--hidden", "4", "--epochs", "1", "--json"];
    const run = await natgrad(folder, [...args, "--optimizers", "sgd,adam,exactNgd,blockDiagonalNgd"]);
    assert.equal(run.code, 0, run.stderr);
    const results = events(run).filter(({ event }) => event === "result");
    const best = results.slice(0, 2).map(({ run: name }) => name);
    assert.deepEqual(best.sort(), ["blockDiagonalNgd", "exactNgd"]);
  });
});
