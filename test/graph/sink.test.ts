/** Scalar factors: where they go, where they must not, and that values stay what they are. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import fc from "fast-check";
import {
  add,
  divide,
  input,
  matmul,
  multiply,
  relu,
  type SymbolicTensor,
  subtract,
  sum,
} from "../../src/graph/index.ts";
import { sinkFactors } from "../../src/graph/sink.ts";
import { topologicalOrder } from "../../src/graph/symbolic.ts";
import { openRuntime } from "../../src/runtime/runtime.ts";
import type { Runtime } from "../../src/runtime/session.ts";
import { arbitraryProgram, interpret } from "./programs.ts";
import { assertClose, run } from "./support.ts";

let runtime: Runtime;
before(async () => {
  runtime = await openRuntime({ threads: 1 });
});
after(() => runtime.dispose());

const SHAPES = { a: [8, 2], b: [2, 9], c: [8, 9], d: [8, 9], column: [8, 1], s: [], t: [] } as const;
const { a, b, c, d, column, s, t } = Object.fromEntries(
  Object.entries(SHAPES).map(([name, shape]) => [name, input(name, shape, "float64")]),
) as Record<keyof typeof SHAPES, SymbolicTensor>;
const values = Object.fromEntries(
  Object.entries(SHAPES).map(([name, shape], k) => {
    const size = shape.reduce((product: number, axis) => product * axis, 1);
    return [name, Array.from({ length: size }, (_, index) => Math.sin(1 + k + index))];
  }),
);

/** How many numbers the scalars multiply, whichever they are. */
function multiplied(...results: readonly SymbolicTensor[]): number {
  const scalars = topologicalOrder(results).filter(
    ({ operation, inputs, rank }) =>
      operation.name === "multiply" && rank > 0 && inputs.some((operand) => operand.rank === 0),
  );
  return scalars.reduce((total, { size }) => total + size, 0);
}

describe("scalar factors", () => {
  const product = matmul(a, b);
  for (const [what, y, elements] of [
    ["go onto the smaller operand of a product", multiply(product, s), 16],
    ["go through an elementwise product", multiply(multiply(product, c), s), 16],
    ["go onto a column in an elementwise product", multiply(multiply(c, column), s), 8],
    ["go through both sides of a difference", multiply(subtract(product, multiply(c, column)), s), 24],
    ["go into a numerator", multiply(divide(product, c), s), 16],
    ["go together", multiply(multiply(product, s), t), 16],
    ["stay outside a function", multiply(relu(product), s), 72],
    ["stay where a sum has no small side", multiply(add(c, d), s), 72],
    ["stay off what is used twice", multiply(multiply(product, product), s), 72],
  ] as const) {
    it(what, async () => {
      const [sunk] = sinkFactors([y]);
      assert.equal(multiplied(sunk), elements);
      const [expected, actual] = [await run(runtime, { y }, values), await run(runtime, { y: sunk }, values)];
      assertClose(actual.y.data, expected.y.data, what);
    });
  }

  it("are shared by a tensor and a sum over it, and then go on as with one use", async () => {
    const direction = multiply(product, c);
    for (const order of [
      (x: SymbolicTensor, y: SymbolicTensor) => [x, y],
      (x: SymbolicTensor, y: SymbolicTensor) => [y, x],
    ]) {
      const results = order(multiply(direction, s), multiply(sum(multiply(d, direction), [1]), s));
      const sunk = sinkFactors(results);
      assert.equal(multiplied(...sunk), 16);
      const named = ([x, y]: readonly SymbolicTensor[]) => ({ x, y });
      const expected = await run(runtime, named(results), values);
      const actual = await run(runtime, named(sunk), values);
      for (const name of ["x", "y"]) assertClose(actual[name].data, expected[name].data, name);
    }
  });

  it("stay off what is an output too", () => {
    assert.equal(multiplied(sinkFactors([multiply(product, s), product])[0]), 72);
  });

  it("never change the value of a random program", async () => {
    let changed = 0;
    const factor = input("factor", [], "float64");
    await fc.assert(
      fc.asyncProperty(arbitraryProgram, async (program) => {
        fc.pre(program.dtype === "float64");
        const { outputs, values: given, largest } = interpret(program);
        fc.pre(largest < 1e3);
        const scaled = Object.values(outputs).flatMap((output) => [
          sum(multiply(output, factor)),
          multiply(sum(multiply(output, output)), factor),
        ]);
        const sunk = sinkFactors(scaled);
        if (sunk.some((node, k) => node !== scaled[k])) changed++;
        const named = (nodes: readonly SymbolicTensor[]) =>
          Object.fromEntries(nodes.map((node, k) => [`y${k}`, node]));
        const feeds = { ...given, factor: [0.37] };
        const [expected, actual] = [
          await run(runtime, named(scaled), feeds),
          await run(runtime, named(sunk), feeds),
        ];
        for (const name of Object.keys(expected)) {
          const tolerance = { relative: 0, absolute: 1e-11 * largest };
          assertClose(actual[name].data, expected[name].data, name, tolerance);
        }
      }),
      { numRuns: 200, seed: 5 },
    );
    assert.ok(changed >= 20, `only ${changed} programs were changed`);
  });
});
