import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { methods } from "../../src/optimizers/index.ts";
import { events, natgrad, scratchFolder } from "./support.ts";

describe("commands that only tell", () => {
  const folder = scratchFolder();

  it("natgrad alone, and --help of every command with examples", async () => {
    const alone = await natgrad(folder, []);
    assert.equal(alone.code, 0);
    assert.match(alone.stdout, /^Usage: natgrad/);
    const commands = [
      "train",
      "compare",
      "resume",
      "predict",
      "inspect",
      "methods",
      "data",
      "data list",
      "data fetch",
      "bench",
      "bench growth",
      "reproduce",
      "doctor",
    ];
    const helps = commands.map((command) => natgrad(folder, [...command.split(" "), "--help"]));
    for (const [index, { code, stdout }] of (await Promise.all(helps)).entries()) {
      assert.equal(code, 0);
      assert.match(stdout, /Examples:\n {2}\$ natgrad /, commands[index]);
      if (!["data", "bench", "predict"].includes(commands[index]))
        assert.match(stdout, /--seed <n>[\s\S]*--json/, commands[index]);
    }
  });

  it("methods lists every method of the registry", async () => {
    const [text, json] = await Promise.all([
      natgrad(folder, ["methods"]),
      natgrad(folder, ["methods", "--json"]),
    ]);
    for (const { name, reference } of methods) {
      assert.ok(text.stdout.includes(name), name);
      assert.ok(events(json).some((method) => method.name === name && method.reference === reference));
    }
    assert.deepEqual(events(json).find(({ name }) => name === "sgd")?.defaults, {
      learningRate: 0.1,
      momentum: 0.9,
    });
  });

  it("data list tells what is here; data fetch of a built-in task needs nothing", async () => {
    const [list, fetched] = await Promise.all([
      natgrad(folder, ["data", "list", "--json"], { NATGRAD_DATA: folder }),
      natgrad(folder, ["data", "fetch", "spirals"]),
    ]);
    const byName = new Map(events(list).map((dataset) => [dataset.name, dataset]));
    assert.equal(byName.get("friedman1")?.available, true);
    assert.equal(byName.get("house")?.task, "regression");
    assert.equal(fetched.code, 0);
    assert.match(fetched.stdout, /spirals is built in/);
  });

  it("doctor tells session, LAPACK and versions, and what to do about what is missing", async () => {
    const [plain, poor] = await Promise.all([
      natgrad(folder, ["doctor"]),
      natgrad(folder, ["doctor", "--json"], {
        NATGRAD_LAPACK: "off",
        NATGRAD_SESSION: "web",
        NATGRAD_DATA: "",
      }),
    ]);
    assert.equal(plain.code, 0);
    for (const name of ["natgrad", "node", "session", "LAPACK", "WebGPU", "data folders"]) {
      assert.match(plain.stdout, new RegExp(`^${name} +\\S`, "m"));
    }
    assert.equal(poor.code, 0);
    const [findings] = events(poor);
    assert.match(String(findings.session), /session web/);
    assert.match(String(findings.advice), /NATGRAD_SESSION.*NATGRAD_LAPACK=off/);
  });
});
