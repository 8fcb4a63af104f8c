/** Accuracy where it is hard: large and tiny arguments, both ends of the range. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import * as graph from "../../src/graph/index.ts";
import { gradient, input, type SymbolicTensor, scalar } from "../../src/graph/index.ts";
import { openRuntime } from "../../src/runtime/runtime.ts";
import type { Runtime } from "../../src/runtime/session.ts";
import { type FloatDType, sizeOf } from "../../src/tensor.ts";
import { erf } from "./reference.ts";
import { assertClose, valuesOf } from "./support.ts";

let runtime: Runtime;
before(async () => {
  runtime = await openRuntime({ threads: 1 });
});
after(() => runtime.dispose());

/** The values of functions of one input. */
function applied(
  functions: readonly ((x: SymbolicTensor) => SymbolicTensor)[],
  x: readonly number[],
  { shape = [x.length], dtype = "float64" as FloatDType } = {},
): Promise<number[][]> {
  assert.equal(x.length, sizeOf(shape));
  const argument = input("x", shape, dtype);
  const tensors = functions.map((f) => f(argument));
  return valuesOf(runtime, tensors, { x });
}

/** Asserts |actual/expected − 1| ≤ tolerance everywhere; infinities and zeros must be equal. */
function assertRelative(
  actual: readonly number[],
  expected: readonly number[],
  x: readonly number[],
  tolerance: number,
): void {
  expected.forEach((value, k) => {
    const error = Math.abs(actual[k] - value);
    const fits = actual[k] === value || error <= tolerance * Math.abs(value);
    assert.ok(
      fits,
      `at ${x[k]}: ${actual[k]}, expected ${value} (relative error ${error / Math.abs(value)})`,
    );
  });
}

/** ±1e-300 … ±1e300 by factors of 10^step. */
const magnitudes = (step: number, last = 300) =>
  Array.from({ length: Math.floor((last + 300) / step) + 1 }, (_, k) => 10 ** (k * step - 300));

describe("erf", () => {
  it("is exact to 1e-15 relative over [−7, 7] in float64", async () => {
    const grid = Array.from({ length: 2801 }, (_, k) => (k - 1400) / 200);
    const edges = [0.46875, 0.46875 + 2 ** -53, 4, 4 + 2 ** -50, 6, 6 + 2 ** -50].flatMap((x) => [x, -x]);
    const x = [...grid, ...edges];
    const [y] = await applied([graph.erf], x);
    assertRelative(y, x.map(erf), x, 1e-15);
  });

  it("is 2x/√π for tiny x, ±1 far out and NaN of NaN", async () => {
    const tiny = magnitudes(20, -10).flatMap((x) => [x, -x]);
    const [small] = await applied([graph.erf], tiny);
    const slopes = tiny.map((x) => x * (2 / Math.sqrt(Math.PI)));
    assertRelative(small, slopes, tiny, 1e-15);
    const [far] = await applied([graph.erf], [7.5, -30, 1e300, -1e300, Infinity, -Infinity, 0, NaN]);
    assert.deepEqual(far, [1, -1, 1, -1, 1, -1, 0, NaN]);
  });

  it("is good to 1e-6 in float32", async () => {
    const x = Array.from({ length: 141 }, (_, k) => Math.fround((k - 70) / 20));
    const [y] = await applied([graph.erf], x, { dtype: "float32" });
    assertClose(y, x.map(erf), "erf", { relative: 1e-6 });
  });
});

describe("log1p", () => {
  it("is exact to 1e-15 relative from −1 to 1e300", async () => {
    const positive = magnitudes(1.7);
    const negative = [...magnitudes(1.7, -1).map((x) => -x), -0.3, -0.5, -0.9, -0.999, -(1 - 2 ** -53)];
    const x = [...positive, ...negative, 0.5, 1, 1.5, 2 ** -52, 2 ** -53, 3 * 2 ** -53];
    const [y] = await applied([graph.log1p], x);
    assertRelative(y, x.map(Math.log1p), x, 1e-15);
  });

  it("at the ends of its domain and outside", async () => {
    const [y] = await applied([graph.log1p], [-1, Infinity, 0, -1.5, NaN]);
    assert.deepEqual(y, [-Infinity, Infinity, 0, NaN, NaN]);
  });
});

describe("softplus", () => {
  /** From mpmath, 50 digits. */
  const KNOWN: [x: number, value: number][] = [
    [-700, 9.85967654375977e-305],
    [-100, 3.720075976020836e-44],
    [-40, 4.248354255291589e-18],
    [-36, 2.319522830243569e-16],
    [-20, 2.061153620314381e-9],
    [-1, 0.3132616875182228],
    [-1e-10, 0.6931471805099453],
    [0, Math.LN2],
    [1, 1.3132616875182228],
    [20, 20.000000002061153],
    [36, 36],
    [100, 100],
    [1e300, 1e300],
    [-1e300, 0],
    [Infinity, Infinity],
    [-Infinity, 0],
  ];

  it("is exact to 1e-15 relative at both ends", async () => {
    const x = KNOWN.map(([argument]) => argument);
    const [y] = await applied([graph.softplus], x);
    assertRelative(
      y,
      KNOWN.map(([, value]) => value),
      x,
      1e-15,
    );
  });

  it("has finite first and second derivatives everywhere", async () => {
    const first = (x: SymbolicTensor) => gradient(graph.softplus(x), [x])[0];
    const second = (x: SymbolicTensor) => gradient(first(x), [x])[0];
    const values = await applied([first, second], [-1e300, -800, 0, 800, 1e300]);
    assert.deepEqual(values, [
      [0, 0, 0.5, 1, 1],
      [0, 0, 0.25, 0, 0],
    ]);
  });
});

describe("softmax and logSoftmax", () => {
  const rows = [1e4, 1e4 + 1, 1e4 - 2, -1e4, 0, 1e4, -1e300, 0, 1e300];
  const shape = [3, 3];

  it("hold at large values, in both float types", async () => {
    const [p, logs] = await applied([graph.softmax, graph.logSoftmax], rows, { shape });
    const total = 1 + Math.E + Math.exp(-2);
    assertClose(p, [1 / total, Math.E / total, Math.exp(-2) / total, 0, 0, 1, 0, 0, 1], "softmax");
    const log = Math.log(total);
    assertClose(logs.slice(0, 3), [-log, 1 - log, -2 - log], "logSoftmax", { relative: 1e-13 });
    assert.deepEqual(logs.slice(3), [-2e4, -1e4, 0, -2e300, -1e300, 0]);

    const moderate = [88, 89, 90, -200, 0, 200, -1e30, 0, 1e30];
    const single = await applied([graph.softmax, graph.logSoftmax], moderate, { shape, dtype: "float32" });
    const double = await applied([graph.softmax, graph.logSoftmax], moderate, { shape });
    assertClose(single[0], double[0], "softmax in float32", { relative: 1e-6 });
    assertClose(single[1].slice(0, 6), double[1].slice(0, 6), "logSoftmax in float32", { relative: 1e-6 });
  });

  it("have derivatives that sum to zero over the last axis and stay finite", async () => {
    const picked = (f: (x: SymbolicTensor) => SymbolicTensor) => (x: SymbolicTensor) =>
      gradient(graph.multiply(f(x), graph.constant([1, 0, 0], [3], "float64")), [x])[0];
    const values = await applied([picked(graph.softmax), picked(graph.logSoftmax)], rows, { shape });
    for (const gradients of values) {
      assert.ok(gradients.every(Number.isFinite));
      for (const row of [0, 3, 6])
        assert.ok(Math.abs(gradients[row] + gradients[row + 1] + gradients[row + 2]) < 1e-15);
    }
  });
});

describe("ties and special values", () => {
  it("sign(0), relu′(0) and |·|′(0) are 0", async () => {
    const slope = (f: (x: SymbolicTensor) => SymbolicTensor) => (x: SymbolicTensor) => gradient(f(x), [x])[0];
    const functions = [graph.sign, slope(graph.relu), slope(graph.absolute), slope(graph.sign)];
    const values = await applied(functions, [0, 2, -2]);
    assert.deepEqual(
      values.map((row) => row.map((value) => value + 0)),
      [
        [0, 1, -1],
        [0, 1, 0],
        [0, 1, -1],
        [0, 0, 0],
      ],
    );
  });

  it("maximum and minimum give the derivative at a tie to the first operand", async () => {
    const a = input("a", [3], "float64");
    const b = input("b", [3], "float64");
    const tensors = [graph.maximum, graph.minimum].flatMap((f) => gradient(f(a, b), [a, b]));
    const values = await valuesOf(runtime, tensors, { a: [1, 2, 3], b: [2, 2, 2] });
    assert.deepEqual(values, [
      [0, 1, 1],
      [1, 0, 0],
      [1, 1, 0],
      [0, 0, 1],
    ]);
  });

  it("max shares the derivative among the elements that attain it", async () => {
    const x = [3, 1, 3, 5, 5, 5];
    const slope = (a: SymbolicTensor) => gradient(graph.max(a, [-1]), [a])[0];
    const [shared] = await applied([slope], x, { shape: [2, 3] });
    assertClose(shared, [0.5, 0, 0.5, 1 / 3, 1 / 3, 1 / 3], "shares");
  });

  it("relu, maximum, minimum and max keep NaN", async () => {
    const functions = [
      graph.relu,
      (x: SymbolicTensor) => graph.maximum(x, 0),
      (x: SymbolicTensor) => graph.minimum(x, 0),
      (x: SymbolicTensor) => graph.maximum(scalar(0, "float64"), x),
      (x: SymbolicTensor) => graph.max(x),
    ];
    const values = await applied(functions, [NaN, 1, -1]);
    assert.deepEqual(
      values.map(([first]) => first),
      [NaN, NaN, NaN, NaN, NaN],
    );
  });

  it("where takes nothing from the branch it does not choose, not even NaN", async () => {
    const x = input("x", [2], "float64");
    const safe = graph.where(graph.greater(x, 0), graph.log(x), 0);
    const values = await valuesOf(runtime, [safe], { x: [1, -1] });
    assert.deepEqual(values, [[0, 0]]);
  });
});
