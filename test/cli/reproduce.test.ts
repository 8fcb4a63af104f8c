import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import type { ExperimentRecord } from "../../src/experiments/record.ts";
import { experiments } from "../../src/experiments/registry.ts";
import { events, natgrad, scratchFolder, start } from "./support.ts";

const figure = ["reproduce", "johnson-fig1", "--quick"];

describe("natgrad reproduce", () => {
  const folder = scratchFolder();

  it("--list has every experiment, with its source and what it takes", async () => {
    const [text, json] = await Promise.all([
      natgrad(folder, ["reproduce", "--list"]),
      natgrad(folder, ["reproduce", "--list", "--json"]),
    ]);
    assert.equal(text.code, 0, text.stderr);
    assert.match(text.stdout, /^id +what +source +takes +--quick +data\n/);
    assert.deepEqual(
      events(json).map(({ id, title, claims }) => [id, title, claims]),
      experiments.map(({ id, title, claims }) => [id, title, JSON.parse(JSON.stringify(claims))]),
    );
    for (const { id } of experiments) assert.match(text.stdout, new RegExp(`^${id.slice(0, 18)}`, "m"));
  });

  it("prints the claims and leaves files that parse", async () => {
    const ended = await natgrad(folder, figure);
    assert.equal(ended.code, 0, ended.stderr);
    assert.match(ended.stdout, /^johnson-fig1 {2}Steepest descent in two metrics \(Johnson 2017/);
    assert.match(ended.stdout, /\n {2}agrees {5}Of all distributions/);
    assert.match(
      ended.stdout,
      /\nAgrees with all 3 claims of the paper\.\nreport: runs.johnson-fig1.report\.html\n/,
    );
    assert.match(
      ended.stderr,
      /^johnson-fig1: Steepest descent in two metrics\njohnson-fig1 {2}done in [\d.]+ s\n$/,
    );
    const own = join(folder, "runs/johnson-fig1");
    const record: ExperimentRecord = JSON.parse(await readFile(join(own, "result.json"), "utf8"));
    assert.deepEqual(
      [record.format, record.quick, record.synthetic, record.seed, record.command],
      ["natgrad experiment 1", true, false, 0, "natgrad reproduce johnson-fig1 --quick --seed 0"],
    );
    assert.match(record.environment[0], /^natgrad .*Node/);
    for (const { id } of [...record.charts, ...record.pictures]) {
      assert.match(
        await readFile(join(own, `${id}.svg`), "utf8"),
        /^<svg xmlns="[^"]+" width="\d+".*<\/svg>\n$/s,
      );
    }
    const page = await readFile(join(own, "report.html"), "utf8");
    assert.match(page, /natgrad reproduce johnson-fig1 --quick --seed 0</);
  });

  it("--json gives one object a line; a folder that is taken gets a number; several run one after another", async () => {
    const several = [...figure, "johnson-invariance", "--json", "--seed", "3", "--out", "here"];
    const [ended, taken] = await Promise.all([
      natgrad(folder, several),
      mkdir(join(folder, "there/mine"), { recursive: true }).then(() =>
        natgrad(folder, [...figure, "--json", "--out", "there/mine"]),
      ),
    ]);
    assert.equal(ended.code, 0, ended.stderr);
    const all = events(ended);
    const starts = all.filter(({ event }) => event === "start");
    assert.deepEqual(
      starts.map(({ id, folder: own, seed }) => [id, own, seed]),
      [
        ["johnson-fig1", join("here", "johnson-fig1"), 3],
        ["johnson-invariance", join("here", "johnson-invariance"), 3],
      ],
    );
    const ends = all.filter(({ event }) => event === "end");
    for (const { id, claims, agreeing, data } of ends) {
      const own = all.filter((one) => one.event === "claim" && one.id === id);
      assert.equal(own.length, claims);
      assert.equal(own.filter(({ agrees }) => agrees).length, agreeing);
      assert.equal(JSON.parse(await readFile(join(folder, String(data)), "utf8")).id, id);
    }
    assert.equal(events(taken)[0].folder, join("there", "mine-2"));
  });

  it("refuses wrong usage in one line", async () => {
    const wrong = [
      [["johnson-fig2"], /^natgrad: unknown experiment "johnson-fig2"; did you mean "johnson-fig1"\?\n$/],
      [["x"], /^natgrad: unknown experiment "x"; known ones: [^\n]*johnson-fig1[^\n]*\n$/],
      [[], /^natgrad: name experiments, or all; natgrad reproduce --list shows them\n$/],
      [["johnson-fig1", "--seed", "x"], /^natgrad: invalid --seed: "x" \(must be an integer\)\n$/],
      [["johnson-fig1", "--quik"], /^natgrad: unknown option '--quik' \(Did you mean --quick\?\)\n$/],
    ] as const;
    const ended = await Promise.all(wrong.map(([args]) => natgrad(folder, ["reproduce", ...args])));
    for (const [k, { code, stdout, stderr }] of ended.entries()) {
      assert.match(stderr, wrong[k][1]);
      assert.deepEqual([code, stdout], [2, ""]);
    }
  });

  const [wanting] = experiments.filter(({ data }) => data?.datasets.includes("mnist"));
  const none = wanting ? false : "no experiment wants a dataset that can be fetched";
  it("without the files: one line that says what fetches them, and nothing is left", {
    skip: none,
  }, async () => {
    await mkdir(join(folder, "empty"), { recursive: true });
    const empty = join(folder, "empty");
    const places = { NATGRAD_DATA: empty, HOME: empty, XDG_CACHE_HOME: empty, LOCALAPPDATA: empty };
    const ended = await natgrad(folder, ["reproduce", wanting.id, "--quick", "--out", "nothing"], places);
    assert.equal(ended.code, 1);
    assert.match(ended.stderr, /^natgrad: [^\n]*no files of mnist[^\n]*\n$/);
    assert.match(ended.stderr, /"natgrad data fetch mnist" fetches it.*, and --synthetic runs without\n$/);
    assert.ok(!existsSync(join(folder, "nothing")));
  });

  it("Ctrl-C leaves no folder, and tells it by the exit code", async () => {
    const running = start(folder, ["reproduce", "johnson-invariance", "--out", "stopped"]);
    await running.sees("johnson-invariance: The same network");
    running.child.kill("SIGINT");
    const { code, stderr } = await running.ended;
    assert.equal(code, 130, stderr);
    assert.match(stderr, /stopping …/);
    assert.ok(!existsSync(join(folder, "stopped")));
  });
});
