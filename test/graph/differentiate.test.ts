/** Differentiation beyond single operations: higher orders, inputs of networks, intermediate nodes, its errors. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import {
  add,
  broadcastTo,
  cast,
  constant,
  divide,
  exp,
  gradient,
  input,
  jvp,
  lowerToOnnx,
  matmul,
  mean,
  multiply,
  type SymbolicTensor,
  sine,
  square,
  stopGradient,
  substitute,
  sum,
  tanh,
  vjp,
} from "../../src/graph/index.ts";
import { Random } from "../../src/random.ts";
import { openRuntime } from "../../src/runtime/runtime.ts";
import type { Runtime } from "../../src/runtime/session.ts";
import { readModel } from "./read-model.ts";
import { assertClose, differences, Evaluator, run, valuesOf } from "./support.ts";

let runtime: Runtime;
before(async () => {
  runtime = await openRuntime({ threads: 1 });
});
after(() => runtime.dispose());

/** f, f′, f″, … of an elementwise function. */
function derivatives(f: (x: SymbolicTensor) => SymbolicTensor, x: SymbolicTensor, order: number) {
  const list = [f(x)];
  while (list.length <= order) list.push(gradient(list[list.length - 1], [x])[0]);
  return list;
}

describe("higher derivatives", () => {
  it("of sine and tanh up to the fourth are the known ones", async () => {
    const points = [-2, -0.7, 0, 0.3, 1.9];
    const x = input("x", [points.length], "float64");
    const tensors = [...derivatives(sine, x, 4), ...derivatives(tanh, x, 4)];
    const values = await valuesOf(runtime, tensors, { x: points });
    const expected = [
      (a: number) => Math.sin(a),
      (a: number) => Math.cos(a),
      (a: number) => -Math.sin(a),
      (a: number) => -Math.cos(a),
      (a: number) => Math.sin(a),
      (_: number, t: number) => t,
      (_: number, t: number) => 1 - t * t,
      (_: number, t: number) => -2 * t * (1 - t * t),
      (_: number, t: number) => (1 - t * t) * (6 * t * t - 2),
      (_: number, t: number) => (1 - t * t) * (16 * t - 24 * t ** 3),
    ];
    expected.forEach((f, k) => {
      assertClose(
        values[k],
        points.map((a) => f(a, Math.tanh(a))),
        `derivative ${k % 5}`,
        { relative: 1e-13 },
      );
    });
  });

  it("of exp(sin x²)/(1 + x²) equal finite differences of the order below, up to the third", async () => {
    const points = Float64Array.of(-1.1, -0.4, 0.2, 0.9);
    const x = input("x", [points.length], "float64");
    const f = (a: SymbolicTensor) => divide(exp(sine(square(a))), add(square(a), 1));
    const named = derivatives(f, x, 3).map((tensor, order) => [`d${order}`, tensor] as const);
    const evaluator = await Evaluator.compile(runtime, Object.fromEntries(named));
    const values = await evaluator.run({ x: points });
    for (const order of [1, 2, 3]) {
      const below = async (moved: Float64Array) => {
        const { data } = (await evaluator.run({ x: moved }))[`d${order - 1}`];
        return [data.reduce((total, value) => total + value, 0)];
      };
      const slopes = await differences(below, points);
      assertClose(
        values[`d${order}`].data,
        slopes.map(([slope]) => slope),
        `order ${order}`,
        { relative: 1e-7 },
      );
    }
    evaluator.dispose();
  });

  it("mixed: ∂²/∂x∂y of x²y³ either way round", async () => {
    const x = input("x", [], "float64");
    const y = input("y", [], "float64");
    const f = multiply(square(x), multiply(y, square(y)));
    const [byX, byY] = gradient(f, [x, y]);
    const mixed = [gradient(byX, [y])[0], gradient(byY, [x])[0]];
    assert.deepEqual(await valuesOf(runtime, mixed, { x: [3], y: [2] }), [[72], [72]]);
  });

  it("a Jacobian-vector product of a Jacobian-vector product is vᵀ∇²f v", async () => {
    const x = input("x", [3], "float64");
    const v = constant([1, -2, 0.5], [3], "float64");
    const f = sum(sine(multiply(x, x)));
    const along = ([y]: SymbolicTensor[]) => jvp([y], [x], [v]);
    const [[twice], [hessian]] = await valuesOf(
      runtime,
      [along(along([f]))[0], sum(multiply(v, gradient(sum(multiply(gradient(f, [x])[0], v)), [x])[0]))],
      { x: [0.3, 1.1, -0.8] },
    );
    assertClose([twice], [hessian], "curvature along v");
    assert.ok(Math.abs(hessian) > 0.1);
  });
});

describe("a physics-informed loss", () => {
  const POINTS = 5;
  const SHAPES = { w1: [3, 1], b1: [3], w2: [1, 3], b2: [1] };
  const names = Object.keys(SHAPES) as (keyof typeof SHAPES)[];
  const random = new Random(3);
  const draw = (size: number) => Float64Array.from({ length: size }, () => 0.7 * random.normal());
  const values = {
    w1: draw(3),
    b1: draw(3),
    w2: draw(3),
    b2: draw(1),
    x: Float64Array.of(-1, -0.3, 0.1, 0.6, 1.2),
  };

  const x = input("x", [POINTS, 1], "float64");
  const weights = Object.fromEntries(names.map((name) => [name, input(name, SHAPES[name], "float64")]));
  const hidden = tanh(add(matmul(x, weights.w1, { transposeB: true }), weights.b1));
  const u = add(matmul(hidden, weights.w2, { transposeB: true }), weights.b2);
  const [slope] = gradient(u, [x]);
  const [curvature] = gradient(slope, [x]);
  const loss = mean(square(add(curvature, u)));
  const gradients = gradient(
    loss,
    names.map((name) => weights[name]),
  );

  it("u′ and u″ at the inputs equal finite differences", async () => {
    const evaluator = await Evaluator.compile(runtime, { u, slope, curvature });
    const results = await evaluator.run(values);
    const total = async (moved: Float64Array) => {
      const { u: value, slope: first } = await evaluator.run({ ...values, x: moved });
      return [value, first].map(({ data }) => data.reduce((all, one) => all + one, 0));
    };
    const columns = await differences(total, values.x);
    assertClose(
      results.slope.data,
      columns.map(([first]) => first),
      "u′",
      { relative: 1e-9 },
    );
    assertClose(
      results.curvature.data,
      columns.map(([, second]) => second),
      "u″",
      { relative: 1e-9 },
    );
    evaluator.dispose();
  });

  it("the gradient of mean (u″ + u)² by the weights equals finite differences", async () => {
    const named = Object.fromEntries(names.map((name, k) => [`by ${name}`, gradients[k]]));
    const evaluator = await Evaluator.compile(runtime, { loss, ...named });
    const results = await evaluator.run(values);
    for (const name of names) {
      const at = async (moved: Float64Array) => (await evaluator.run({ ...values, [name]: moved })).loss.data;
      const slopes = (await differences(at, values[name])).map(([first]) => first);
      assertClose(results[`by ${name}`].data, slopes, `gradient by ${name}`, {
        relative: 1e-8,
        absolute: 1e-10,
      });
    }
    evaluator.dispose();
  });
});

describe("vjp, gradient and jvp", () => {
  const x = input("x", [2], "float64");

  it("differentiate by intermediate nodes", async () => {
    const middle = sine(x);
    const y = multiply(middle, middle);
    const values = await valuesOf(runtime, [gradient(y, [middle])[0]], { x: [0.5, 2] });
    assertClose(values[0], [2 * Math.sin(0.5), 2 * Math.sin(2)], "by the middle");
  });

  it("give the cotangent itself for an output that is an input", async () => {
    const cotangent = constant([3, 4], [2], "float64");
    assert.deepEqual(vjp([x], [cotangent], [x]), [cotangent]);
  });

  it("add up over several outputs, and over an output named twice", async () => {
    const [u, v] = [constant([1, 2], [2], "float64"), constant([10, 20], [2], "float64")];
    const doubled = multiply(x, 2);
    const tripled = multiply(x, 3);
    const tensors = [...vjp([doubled, tripled], [u, v], [x]), ...vjp([doubled, doubled], [u, v], [x])];
    assert.deepEqual(await valuesOf(runtime, tensors, { x: [0, 0] }), [
      [32, 64],
      [22, 44],
    ]);
  });

  it("are zeros of the right shape and dtype where nothing depends on the input", async () => {
    const other = input("other", [3, 1], "float32");
    const [g] = gradient(x, [other]);
    assert.deepEqual([g.shape, g.dtype], [[3, 1], "float32"]);
    const [forward] = jvp([x], [other], [other]);
    assert.deepEqual([forward.shape, forward.dtype], [[2], "float64"]);
    assert.deepEqual(await valuesOf(runtime, [g, forward], { other: [1, 1, 1] }), [
      [0, 0, 0],
      [0, 0],
    ]);
  });

  it("a Jacobian-vector product runs no reverse pass: its probes are dead code", async () => {
    const v = input("v", [2], "float64");
    const [forward] = jvp([sum(tanh(multiply(x, x)))], [x], [v]);
    const model = readModel(lowerToOnnx({ forward }));
    assert.deepEqual(model.inputs.sort(), ["v", "x"]);
    const results = await run(runtime, { forward }, { x: [0.5, -0.2], v: [1, 3] });
    const slope = (a: number) => 2 * a * (1 - Math.tanh(a * a) ** 2);
    assertClose(results.forward.data, [slope(0.5) + 3 * slope(-0.2)], "forward");
  });

  it("goes on from known values where nodes are substituted", async () => {
    const hidden = sine(multiply(x, 2));
    const [derivative] = gradient(square(hidden), [x]);
    const known = input("known", [2], "float64");
    const replaced = substitute([derivative, hidden], new Map([[hidden, known]]));
    assert.equal(replaced[1], known);
    const expected = await valuesOf(runtime, [derivative], { x: [0.3, -1] });
    const actual = await valuesOf(runtime, [replaced[0]], {
      x: [0.3, -1],
      known: [Math.sin(0.6), Math.sin(-2)],
    });
    assertClose(actual[0], expected[0], "gradient");
    const model = readModel(lowerToOnnx({ y: replaced[0] }));
    assert.ok(!model.nodes.some(({ type }) => type === "Sin"), "the known value is not computed again");
  });

  it("stopGradient hides a branch and leaves the other", async () => {
    const y = multiply(stopGradient(sine(x)), x);
    const values = await valuesOf(runtime, [gradient(y, [x])[0]], { x: [1, 2] });
    assertClose(values[0], [Math.sin(1), Math.sin(2)], "gradient");
  });

  it("cast carries the cotangent back in the other float type, and none through integers", async () => {
    const single = cast(x, "float32");
    const [g] = gradient(square(single), [x]);
    assert.equal(g.dtype, "float64");
    const [none] = gradient(cast(cast(x, "int32"), "float64"), [x]);
    const values = await run(runtime, { g, none }, { x: [0.5, 2] });
    assert.deepEqual([...values.g.data], [1, 4]);
    assert.deepEqual([...values.none.data], [0, 0]);
  });

  it("gradient of a tensor is that of the sum of its elements", async () => {
    const y = broadcastTo(square(x), [3, 2]);
    assert.deepEqual(await valuesOf(runtime, gradient(y, [x]), { x: [1, 2] }), [[6, 12]]);
  });

  it("refuse a cotangent or a tangent of another shape or dtype", () => {
    const wrong = constant([1, 2, 3], [3], "float64");
    assert.throws(() => vjp([x], [wrong], [x]), { message: "vjp: cotangent (3) for (2)" });
    assert.throws(() => vjp([x, x], [x], [x]), { message: "vjp: 1 cotangents for 2 outputs" });
    assert.throws(() => jvp([sine(x)], [x], [wrong]), { message: "vjp: cotangent (3) for (2)" });
    const single = constant([1, 2], [2], "float32");
    assert.throws(() => vjp([sine(x)], [single], [x]), {
      message: "multiply: dtypes float32 and float64 differ",
    });
  });
});
