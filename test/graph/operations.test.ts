/** Value and derivatives of every operation, from the table in operations.ts. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import * as graph from "../../src/graph/index.ts";
import { gradient, input, jvp, multiply, type SymbolicTensor, sum, vjp } from "../../src/graph/index.ts";
import { Random } from "../../src/random.ts";
import { openRuntime } from "../../src/runtime/runtime.ts";
import type { Runtime } from "../../src/runtime/session.ts";
import { type FloatDType, sizeOf } from "../../src/tensor.ts";
import { IMAGES } from "./image-operations.ts";
import { type OperationCase, OPERATIONS as TABLES } from "./operations.ts";
import { type Dense, dense, dot } from "./reference.ts";
import { assertClose, differences, directionalDifference, Evaluator, type Values } from "./support.ts";

/** Exports that build no operation of their own. */
const NOT_OPERATIONS = new Set([
  "SymbolicTensor",
  "constant",
  "gradient",
  "input",
  "jvp",
  "largestTensor",
  "peakBytes",
  "lowerToOnnx",
  "outputSize",
  "scalar",
  "substitute",
  "vjp",
]);

const OPERATIONS = [...TABLES, ...IMAGES];

const DERIVATIVE = { relative: 1e-8, absolute: 1e-9 };
const SINGLE = { relative: 2e-6, absolute: 2e-6 };

let runtime: Runtime;
before(async () => {
  runtime = await openRuntime({ threads: 1 });
});
after(() => runtime.dispose());

describe("operations", () => {
  it("the table has an entry for every exported operation", () => {
    const exported = Object.entries(graph).filter(([, value]) => typeof value === "function");
    const operations = exported.map(([name]) => name).filter((name) => !NOT_OPERATIONS.has(name));
    const covered = new Set(OPERATIONS.map(({ name }) => name));
    assert.deepEqual([...covered].sort(), operations.sort());
  });

  for (const operation of OPERATIONS) {
    const { name, variant } = operation;
    it(`${name}: ${variant}`, () => check(operation));
  }
});

/** Value, Jᵀu, its derivative, Jv, in one program. */
function trace({ build, inputs }: OperationCase, dtype: FloatDType) {
  const named = (prefix: string) => inputs.map(({ shape }, k) => input(`${prefix}${k}`, shape, dtype));
  const [x, weights, tangents] = [named("x"), named("w"), named("v")];
  const value = build(...x);
  const cotangent = input("u", value.shape, dtype);
  const first = vjp([value], [cotangent], x);
  const weighted = first.map((g, k) => sum(multiply(g, weights[k])));
  const total = weighted.reduce((all, one) => graph.add(all, one));
  const second = gradient(total, x);
  const [tangent] = jvp([value], x, tangents);
  const numbered = (prefix: string, tensors: readonly SymbolicTensor[]) =>
    Object.fromEntries(tensors.map((tensor, k) => [`${prefix}${k}`, tensor]));
  return {
    value,
    outputs: { value, tangent, total, ...numbered("first", first), ...numbered("second", second) },
  };
}

async function check(operation: OperationCase): Promise<void> {
  const { inputs, reference, constant, name, variant } = operation;
  const random = new Random(7).fork(`${name} ${variant}`);
  const { value, outputs } = trace(operation, "float64");
  const evaluator = await Evaluator.compile(runtime, outputs);
  const x = inputs.map((example) => dense(example.draw(random), example.shape));
  const point = Float64Array.from(x.flatMap(({ data }) => [...data]));
  const normal = (size: number) => Float64Array.from({ length: size }, () => random.normal());
  const tangent = normal(point.length);
  const fixed: Values = {
    u: normal(value.size),
    ...split("v", tangent, operation),
    ...split("w", normal(point.length), operation),
  };
  const at = (moved: Float64Array) => evaluator.run({ ...fixed, ...split("x", moved, operation) });
  const results = await at(point);
  const gather = (prefix: string, from = results) =>
    Float64Array.from(inputs.flatMap((_, k) => [...from[`${prefix}${k}`].data]));

  const expected = reference(...x);
  assert.deepEqual(value.shape, expected.shape, "shape");
  assertClose(results.value.data, expected.data, "value");

  if (constant) {
    assert.ok(
      [gather("first"), gather("second"), results.tangent.data].every((g) => g.every((d) => d === 0)),
    );
  } else {
    const weigh = async (moved: Float64Array) => {
      const { value: y, total } = await at(moved);
      return [dot(y.data, fixed.u), total.data[0]];
    };
    const slopes = await differences(weigh, point);
    assertClose(
      gather("first"),
      slopes.map(([slope]) => slope),
      "first derivative",
      DERIVATIVE,
    );
    assertClose(
      gather("second"),
      slopes.map(([, slope]) => slope),
      "second derivative",
      DERIVATIVE,
    );
    const forward = await directionalDifference(
      async (moved) => (await at(moved)).value.data,
      point,
      tangent,
    );
    assertClose(results.tangent.data, forward, "Jacobian-vector product", DERIVATIVE);
    const [left, right] = [dot(fixed.u, results.tangent.data), dot(gather("first"), tangent)];
    assertClose([left], [right], "⟨u, Jv⟩ = ⟨Jᵀu, v⟩", { relative: 1e-11, absolute: 1e-13 });
  }
  evaluator.dispose();
  await checkSingle(operation, { ...fixed, ...split("x", point, operation) }, results);
}

/** In float32 everything is near its value in float64. */
async function checkSingle(operation: OperationCase, values: Values, expected: Record<string, Dense>) {
  const evaluator = await Evaluator.compile(runtime, trace(operation, "float32").outputs);
  const single = await evaluator.run(values);
  for (const name of Object.keys(expected)) {
    assertClose(single[name].data, expected[name].data, `${name} in float32`, SINGLE);
  }
  evaluator.dispose();
}

/** One list of numbers for all inputs, as one array for each. */
function split(prefix: string, all: Float64Array, { inputs }: OperationCase): Values {
  let start = 0;
  const parts = inputs.map(({ shape }, k) => {
    const from = start;
    start += sizeOf(shape);
    return [`${prefix}${k}`, all.subarray(from, start)];
  });
  return Object.fromEntries(parts);
}
