/** Results written where an operand lies: which may be, and that it changes no bit. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import {
  add,
  input,
  lowerToOnnx,
  matmul,
  multiply,
  type NamedOutputs,
  subtract,
  sum,
} from "../../src/graph/index.ts";
import type { InPlacePair } from "../../src/graph/onnx-model.ts";
import { Random } from "../../src/random.ts";
import { compile } from "../../src/runtime/program.ts";
import { openRuntime } from "../../src/runtime/runtime.ts";
import type { Runtime } from "../../src/runtime/session.ts";

let runtime: Runtime;
before(async () => {
  runtime = await openRuntime();
});
after(() => runtime.dispose());

const [rows, inner, columns] = [70, 9, 130];
const a = input("a", [rows, inner], "float32");
const b = input("b", [inner, columns], "float32");
const u = input("u", [rows, columns], "float32");
const theta = input("theta", [rows, columns], "float32");

const velocity = add(multiply(u, 0.9), matmul(a, b));
const momentum: NamedOutputs = { "next/u": velocity, "next/theta": subtract(theta, velocity) };
const both: InPlacePair[] = [
  ["next/u", "u"],
  ["next/theta", "theta"],
];

describe("in place", () => {
  it("refuses what something else may read later", () => {
    const cases: readonly (readonly [string, NamedOutputs])[] = [
      ["a second reader", { out: add(u, theta), other: multiply(u, 2) }],
      ["the operand of a product", { out: matmul(u, input("s", [columns, columns], "float32")) }],
      ["another order of reading", { out: add(multiply(u, 2), sum(u, [0], true)), also: sum(u) }],
      ["the input as it was", { out: multiply(u, 2), same: u }],
    ];
    for (const [name, outputs] of cases) {
      const refused = () => lowerToOnnx(outputs, { inPlace: [["out", "u"]] });
      assert.throws(refused, /^Error: out cannot overwrite u: something else may read it later$/, name);
    }
    assert.throws(
      () => lowerToOnnx(momentum, { inPlace: [["next/u", "v"]] }),
      /next\/u and v are not an output and an input/,
    );
  });

  it("gives the bits that a result of its own has", async () => {
    const random = new Random(3);
    const normal = (size: number) => Float32Array.from({ length: size }, () => random.normal());
    const feeds = {
      ...{ a: normal(rows * inner), b: normal(inner * columns) },
      ...{ u: normal(rows * columns), theta: normal(rows * columns) },
    };
    const beside = { "next/u": normal(rows * columns), "next/theta": normal(rows * columns) };
    const apart = await compile(runtime, momentum);
    await apart.bind(feeds, beside).run();
    const program = await compile(runtime, momentum, both);
    await program.bind(feeds, { "next/u": feeds.u, "next/theta": feeds.theta }).run();
    assert.deepEqual(feeds.u, beside["next/u"]);
    assert.deepEqual(feeds.theta, beside["next/theta"]);
    apart.dispose();
    program.dispose();
  });

  it("only binds the memory that was asked for", async () => {
    const program = await compile(runtime, momentum, both);
    const numbers = (size: number) => new Float32Array(size);
    const feeds = {
      ...{ a: numbers(rows * inner), b: numbers(inner * columns) },
      ...{ u: numbers(rows * columns), theta: numbers(rows * columns) },
    };
    assert.throws(
      () => program.bind(feeds, { "next/u": feeds.theta, "next/theta": numbers(rows * columns) }),
      /^Error: invalid output next\/u: it shares memory with theta$/,
    );
    program.dispose();
  });
});
