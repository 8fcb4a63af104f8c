import assert from "node:assert/strict";
import { appendFile, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import { checkpoint, type Ended, events, metrics, natgrad, scratchFolder, start } from "./support.ts";

const small = ["--rows", "400", "--batch-size", "32", "--hidden", "8", "--seed", "4"];

describe("natgrad resume", () => {
  const folder = scratchFolder();

  async function assertSameEnd(one: string, other: string): Promise<void> {
    assert.deepEqual(await checkpoint(folder, one), await checkpoint(folder, other));
    assert.deepEqual(await metrics(folder, one), await metrics(folder, other));
  }

  for (const optimizer of ["adam", "tengrad"]) {
    it(`goes on with ${optimizer} as if it had not stopped`, async () => {
      const args = ["train", "friedman1", ...small, "--optimizer", optimizer];
      const extra = optimizer === "tengrad" ? ["--option", "refreshEvery=3"] : [];
      const whole = natgrad(folder, [...args, ...extra, "--epochs", "5", "--name", `${optimizer}-whole`]);
      const part = natgrad(folder, [...args, ...extra, "--epochs", "2", "--name", `${optimizer}-part`]);
      for (const { code, stderr } of await Promise.all([whole, part])) assert.equal(code, 0, stderr);
      const rest = await natgrad(folder, ["resume", `runs/${optimizer}-part`, "--epochs", "3"]);
      assert.equal(rest.code, 0, rest.stderr);
      await assertSameEnd(`${optimizer}-whole`, `${optimizer}-part`);
      const report = await readFile(join(folder, `runs/${optimizer}-part/report.html`), "utf8");
      assert.match(report, /natgrad resume/);
    });
  }

  const long = ["train", "friedman1", "--batch-size", "4", "--optimizer", "exactNgd", "--epochs", "300"];

  /** Starts a long run, ends it by a signal once it trains, and finishes a few epochs of it. */
  async function interrupt(name: string, signal: NodeJS.Signals): Promise<Ended> {
    const running = start(folder, [...long, "--name", name]);
    await running.sees("epoch 2/300");
    running.child.kill(signal);
    return running.ended;
  }

  async function assertResumable(name: string): Promise<void> {
    const rest = await natgrad(folder, ["resume", `runs/${name}`, "--epochs", "1", "--json"]);
    assert.equal(rest.code, 0, rest.stderr);
    const epoch = events(rest).at(-1)!.epoch as number;
    const whole = [...long.slice(0, -1), String(epoch), "--name", `${name}-whole`];
    const { code, stderr } = await natgrad(folder, whole);
    assert.equal(code, 0, stderr);
    await assertSameParameters(name, `${name}-whole`);
  }

  async function assertSameParameters(one: string, other: string): Promise<void> {
    assert.deepEqual(await checkpoint(folder, one), await checkpoint(folder, other));
    const losses = async (run: string) =>
      (await metrics(folder, run)).map(({ epoch, trainLoss }) => [epoch, trainLoss]);
    assert.deepEqual(await losses(one), await losses(other));
  }

  it("goes on after Ctrl-C, which saves a checkpoint and says how", async () => {
    const stopped = await interrupt("stopped", "SIGINT");
    assert.equal(stopped.code, 130);
    assert.match(
      stopped.stdout,
      /stopped at step \d+, checkpoint saved; go on with: natgrad resume runs\/stopped/,
    );
    await assertResumable("stopped");
  });

  it("goes on after kill -9", async () => {
    const killed = await interrupt("killed", "SIGKILL");
    assert.equal(killed.signal, "SIGKILL");
    await appendFile(join(folder, "runs/killed/metrics.jsonl"), '{"epoch":3,"st');
    await assertResumable("killed");
  });

  it("exits with 143 on SIGTERM, and at once on a second signal; until then it has the folder to itself", async () => {
    assert.equal((await interrupt("terminated", "SIGTERM")).code, 143);
    const running = start(folder, [...long, "--name", "twice"]);
    await running.sees("epoch 1/300");
    const refused = await natgrad(folder, ["resume", "runs/twice"]);
    assert.equal(refused.code, 2);
    assert.match(
      refused.stderr,
      new RegExp(
        `^natgrad: runs/twice is being trained by process ${running.child.pid} \\(.*kill \\d+\\)\n$`,
      ),
    );
    running.child.kill("SIGINT");
    await running.sees("stopping");
    running.child.kill("SIGINT");
    assert.equal((await running.ended).code, 130);
  });

  it("refuses another model, changed data, another seed, a finished run and a folder without a run", async () => {
    const csv = "x,y\n" + Array.from({ length: 40 }, (_, k) => `${k % 7},${k % 5}.5\n`).join("");
    await writeFile(join(folder, "changing.csv"), csv);
    const trained = await natgrad(folder, ["train", "changing.csv", "--epochs", "1", "--name", "base"]);
    assert.equal(trained.code, 0, trained.stderr);
    const path = join(folder, "runs/base/config.json");
    const config = await readFile(path, "utf8");
    const refusal = async (args: readonly string[] = ["--epochs", "1"]) => {
      const { code, stderr } = await natgrad(folder, ["resume", "runs/base", ...args]);
      assert.equal(code, 2);
      assert.equal(stderr.trimEnd().split("\n").length, 1, stderr);
      return stderr;
    };
    const tamper = (from: RegExp, to: string) => writeFile(path, config.replace(from, to));
    assert.match(await refusal([]), /has finished its epoch \(add --epochs/);
    assert.match(await refusal(["--epochs", "1", "--seed", "9"]), /invalid --seed: 9 \(must be 0/);
    await tamper(/"hidden": \[\s*32,/, '"hidden": [31,');
    assert.match(await refusal(), /checkpoint of another run: its model is dense\(32\)/);
    await tamper(/"format": "[^"]*"/, '"format": "other"');
    assert.match(await refusal(), /does not describe a single run/);
    await writeFile(path, config);
    await appendFile(join(folder, "changing.csv"), "3,4.5\n");
    assert.match(await refusal(), /has changed since the run began/);
    await writeFile(join(folder, "changing.csv"), csv);
    await rm(join(folder, "runs/base/checkpoint.safetensors"));
    assert.match(
      await refusal(),
      /runs\/base was stopped before its first checkpoint \(there is no checkpoint.safetensors\); train anew: natgrad train changing.csv .*--seed 0$/m,
    );
    const { code, stderr } = await natgrad(folder, ["resume", "runs/nothing"]);
    assert.equal(code, 2);
    assert.match(stderr, /^natgrad: no run in runs\/nothing \(there is no config.json\)\n$/);
  });
});
