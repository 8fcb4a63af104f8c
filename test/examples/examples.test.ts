import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { missingBuild, runProgram } from "./support.ts";

const checks: Record<string, (lines: string[]) => void> = {
  "regression.ts"(lines) {
    const losses = lines.slice(0, 10).map((line) => Number(/training loss ([\d.]+)/.exec(line)?.[1]));
    assert.ok(losses[9] < losses[0] && losses[9] < 0.03, `losses ${losses}`);
    assert.match(lines[10], /^first prediction -?\d+\.\d{3}, target -?\d+\.\d{3}$/);
  },
  "classification.ts"(lines) {
    assert.match(lines[0], /^note: filled 7 missing values of column "length \(cm\)"/);
    assert.match(lines[1], /colour = blue, colour = green, colour = red, colour = yellow$/);
    const accuracy = Number(/accuracy ([\d.]+)$/.exec(lines[11])?.[1]);
    assert.ok(accuracy > 0.9, lines[11]);
    assert.match(lines[12], /^first validation row: \w+ \(it is \w+\)$/);
  },
  "compare-optimizers.ts"(lines) {
    const losses = new Map(
      lines.flatMap((line) => {
        const match = /^(\w+) +validation loss ([\d.]+)/.exec(line);
        return match ? [[match[1], Number(match[2])] as const] : [];
      }),
    );
    const names = ["sgd", "adam", "exactNgd", "blockDiagonalNgd", "tengrad"];
    assert.deepEqual([...losses.keys()], names);
    assert.ok(losses.get("exactNgd")! < losses.get("adam")!, "exact natural gradient ends below Adam here");
    assert.ok(lines.includes("  0.weight, 0.bias, 2.weight, 2.bias: exact, sample space of order 100"));
  },
  "counts.ts"(lines) {
    assert.match(lines[0], /^poisson: deviance [\d.]+; outputs /);
    assert.match(lines[1], /^binomial: loss [\d.]+; outputs /);
    for (const line of lines) {
      const pairs = [...line.matchAll(/(-?[\d.]+) \((-?[\d.]+)\)/g)];
      assert.equal(pairs.length, 3, line);
      for (const [, output, truth] of pairs) assert.ok(Math.abs(Number(output) - Number(truth)) < 0.3, line);
    }
  },
  "poisson.ts"(lines) {
    const error = Number(/^largest error (.+)$/.exec(lines.at(-1)!)?.[1]);
    assert.ok(error < 1e-3, lines.at(-1));
  },
  "resume.ts"(lines) {
    assert.equal(lines.at(-1), "after 36 steps the parameters are equal, bit by bit");
    assert.deepEqual(lines.slice(0, 3), lines.slice(3, 6));
  },
};

const folder = new URL("../../examples/", import.meta.url);
const examples = readdirSync(folder).filter((name) => name.endsWith(".ts"));

describe("examples", () => {
  it("are all checked", () => {
    assert.deepEqual(examples.sort(), Object.keys(checks).sort());
  });
  for (const name of examples) {
    const skip = missingBuild(readFileSync(new URL(name, folder), "utf8"));
    it(name, { skip }, async () => checks[name](await runProgram(`examples/${name}`)));
  }

  const source = readFileSync(new URL("classification.ts", folder), "utf8");
  it("classification.ts takes another file and column", { skip: missingBuild(source) }, async () => {
    const scratch = await mkdtemp(join(tmpdir(), "natgrad-"));
    const path = join(scratch, "sign.csv");
    const rows = Array.from({ length: 60 }, (_, k) => `${k % 2 ? "plus" : "minus"};${k % 2 ? k : -k - 1}`);
    await writeFile(path, `sign;value\n${rows.join("\n")}\n`);
    try {
      const lines = await runProgram("examples/classification.ts", path, "sign");
      assert.match(lines[0], /^inputs: value$/);
      assert.match(lines.at(-1)!, /^first validation row: (plus|minus) \(it is \1\)$/);
    } finally {
      await rm(scratch, { recursive: true });
    }
  });
});
