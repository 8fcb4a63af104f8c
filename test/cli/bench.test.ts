import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import type { GrowthResult } from "../../src/experiments/growth.ts";
import { fitPowerLaw, upperPart } from "../../src/experiments/power-law.ts";
import { events, natgrad, scratchFolder, start } from "./support.ts";

const growth = [
  "bench",
  "growth",
  "--quick",
  "--seconds",
  "0.01",
  "--batch-size",
  "8",
  "--time-limit",
  "300",
];
const tiny = [
  ...growth,
  "--widths",
  "2,4,8",
  "--depths",
  "1",
  "--methods",
  "sgd,tengrad",
  "--time-limit",
  "60",
];

describe("natgrad bench growth", () => {
  const folder = scratchFolder();

  it("measures every point, fits them, and writes numbers and report", async () => {
    const ended = await natgrad(folder, [...tiny, "--json"]);
    assert.equal(ended.code, 0, ended.stderr);
    const all = events(ended);
    const points = all.filter(({ event }) => event === "point");
    assert.deepEqual(
      points.map(({ axis, method, x }) => `${axis} ${x} ${method}`),
      [2, 4, 8]
        .flatMap((x) => [`width ${x} sgd`, `width ${x} tengrad`])
        .concat(["depth 1 sgd", "depth 1 tengrad"]),
    );
    const result: GrowthResult = JSON.parse(await readFile(join(folder, "runs/growth/growth.json"), "utf8"));
    assert.equal(result.plan.memoryLimit, 2 ** 30);
    for (const { method, points, time } of result.sweeps[0].curves) {
      const costs = points.map(({ x, secondsPerStep }) => ({ x, y: secondsPerStep }));
      assert.deepEqual(time, fitPowerLaw(upperPart(costs)));
      const fit = all.find(
        ({ event, axis, method: of }) => event === "fit" && axis === "width" && of === method,
      );
      assert.deepEqual(fit?.time, time);
    }
    assert.equal(result.sweeps[1].curves[0].time, undefined);
    const end = all.at(-1)!;
    assert.deepEqual([end.event, end.report], ["end", join("runs", "growth", "report.html")]);
    const page = await readFile(join(folder, "runs/growth/report.html"), "utf8");
    assert.match(page, /natgrad bench growth --quick .*--seed 0</);
    for (const lines of ended.stderr.matchAll(/^(width|depth) .*/gm)) {
      assert.match(lines[0], /^(width|depth) \d {2}(sgd|tengrad): [\d.]+ m?s a step, [\d.]+ \w?i?B$/);
    }
  });

  it("prints tables, also as Markdown; what exceeds a limit is left out in words", async () => {
    const few = [...growth, "--widths", "2", "--depths", "1", "--methods", "exact-dense"];
    const [plain, markdown] = await Promise.all([
      natgrad(folder, [...few, "--out", "plain"]),
      natgrad(folder, [...few, "--out", "here/markdown", "--markdown", "--memory-limit", "0.00001"]),
    ]);
    assert.equal(plain.code, 0, plain.stderr);
    assert.match(
      plain.stdout,
      /^Time per step against width, 2 hidden layers\n\nmethod +width 2 +exponent\nexact-dense .*–\n/,
    );
    assert.match(plain.stdout, /There are too few points for a fit\.\nreport: plain.report\.html\n$/);
    assert.equal(markdown.code, 1, "nothing was measured");
    const left = /its curvature needs [\d.]+ KiB by the report's estimate, the limit is \d+\.\d KiB/;
    assert.match(markdown.stderr, left);
    assert.match(
      markdown.stdout,
      /\| method \| width 2 \| exponent \|\n\| --- \| ---: \| ---: \|\n\| exact-dense \| left out \| – \|\n/,
    );
    assert.match(markdown.stdout, new RegExp(`Left out:\\n\\n- exact-dense, width 2: ${left.source}`));
    assert.ok(existsSync(join(folder, "here/markdown/growth.json")));
  });

  it("keeps what is measured when Ctrl-C comes, and tells it by the exit code", async () => {
    const running = start(folder, [...tiny, "--widths", "2,4,8,16,32,64,128,256,512", "--out", "part"]);
    await running.sees("width 2  sgd:");
    running.child.kill("SIGINT");
    const part = await running.ended;
    assert.equal(part.code, 130, part.stderr);
    const { sweeps }: GrowthResult = JSON.parse(await readFile(join(folder, "part/growth.json"), "utf8"));
    assert.equal(sweeps[0].curves[0].points[0].x, 2);
    assert.ok(sweeps[0].curves[0].points.length < 9);
    assert.match(part.stdout, /not run/);
    assert.ok(existsSync(join(folder, "part/report.html")));
  });

  it("refuses wrong usage in one line", async () => {
    const wrong = [
      [["--methods", "adam"], /^natgrad: invalid --methods: adam \(must be of sgd, /],
      [
        ["--widths", "16,0"],
        /^natgrad: invalid --widths: "16,0" \(must be positive integers, separated by commas\)/,
      ],
      [["--seconds", "0"], /^natgrad: invalid --seconds: "0" \(must be a number > 0\)/],
    ] as const;
    const ended = await Promise.all(wrong.map(([args]) => natgrad(folder, ["bench", "growth", ...args])));
    for (const [k, { code, stderr }] of ended.entries()) {
      assert.equal(code, 2);
      assert.match(stderr, wrong[k][1]);
      assert.equal(stderr.trimEnd().split("\n").length, 1);
    }
  });
});
