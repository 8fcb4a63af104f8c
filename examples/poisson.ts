// A loss of your own: solve u″ = f on [0, 1], u(0) = u(1) = 0, with a network, f = −π² sin πx, so that u = sin πx.
// Run: node --import tsx examples/poisson.ts
//
// The residuals r hold second derivatives of the network with respect to its input, which the graph differentiates once
// more, with respect to the parameters. For the loss ½‖r‖² the Fisher matrix is JᵀJ, J = ∂r/∂θ, and the natural gradient
// in sample space is δθ = Jᵀ(JJᵀ + λI)⁻¹ r: the push-through form of docs/mathematics.md with Levenberg's damping.

import { dense, Random, sequential, tanh } from "natgrad";
import * as graph from "natgrad/graph";
import { choleskySolve, dampedCholesky } from "natgrad/linalg";
import { compile, openRuntime } from "natgrad/runtime";

const points = 24;
const rows = points + 2;

// Symbolic: the residuals at the collocation points and at both ends (M), their Jacobian (M, P) and JJᵀ (M, M).
const model = sequential([dense(16), tanh(), dense(16), tanh(), dense(1)]).build([1]);
const symbols = new Map(
  [...model.parameters].map(([name, { shape }]) => [name, graph.input(name, shape, "float64")]),
);
const positions = Float64Array.from({ length: points }, (_, k) => (k + 0.5) / points);
const x = graph.constant(positions, [points, 1], "float64");
const u = model.forward(x, symbols).outputs;
const [slope] = graph.gradient(u, [x]); // row n of u depends on row n of x alone
const [curvature] = graph.gradient(slope, [x]);
const force = graph.multiply(graph.sine(graph.multiply(x, Math.PI)), -(Math.PI ** 2));
const ends = model.forward(graph.constant([0, 1], [2, 1], "float64"), symbols).outputs;
const column = graph.concatenate([graph.subtract(curvature, force), graph.multiply(ends, 10)]);
const residuals = graph.reshape(column, [rows]);
const jacobian = graph.concatenate(
  Array.from({ length: rows }, (_, row) => {
    const parts = graph.gradient(graph.slice(residuals, [row], [row + 1]), [...symbols.values()]);
    return graph.reshape(graph.concatenate(parts.map((part) => graph.reshape(part, [-1]))), [1, -1]);
  }),
);
const gram = graph.matmul(jacobian, jacobian, { transposeB: true });

// Numeric: parameters, results, and a program that reads the ones and writes the others.
const random = new Random(0);
const parameters = Object.fromEntries(
  [...model.parameters].map(([name, { initialize }]) => [name, initialize(random.fork(name))]),
);
const size = jacobian.shape[1];
const results = {
  residuals: new Float64Array(rows),
  jacobian: new Float64Array(rows * size),
  gram: new Float64Array(rows * rows),
};
const runtime = await openRuntime();
const program = await compile(runtime, { residuals, jacobian, gram });
const binding = program.bind(parameters, results);
const measure = async () => {
  await binding.run();
  return 0.5 * results.residuals.reduce((total, r) => total + r * r, 0);
};

let damping = 1;
let loss = await measure();
for (let iteration = 1; iteration <= 60 && loss > 1e-12; iteration++) {
  const system = dampedCholesky(results.gram, rows, damping);
  if (system.failure !== undefined) throw new Error(system.failure);
  const weights = results.residuals.slice();
  choleskySolve(system.factor, rows, weights);
  const before = Object.values(parameters).map((values) => values.slice());
  let at = 0;
  for (const values of Object.values(parameters)) {
    for (let k = 0; k < values.length; k++, at++) {
      for (let row = 0; row < rows; row++) values[k] -= results.jacobian[row * size + at] * weights[row];
    }
  }
  const after = await measure();
  if (after < loss) {
    loss = after;
    damping /= 3;
  } else {
    Object.values(parameters).forEach((values, k) => {
      values.set(before[k]);
    });
    damping *= 4;
    await measure();
  }
  if (iteration % 10 === 0) console.log(`iteration ${iteration}: loss ${loss.toExponential(2)}`);
}

// How far is the network from sin πx?
const inputs = graph.constant(
  Float64Array.from({ length: 101 }, (_, k) => k / 100),
  [101, 1],
  "float64",
);
const solution = new Float64Array(101);
const check = await compile(runtime, { solution: model.forward(inputs, symbols).outputs });
await check.bind(parameters, { solution }).run();
const error = Math.max(...solution.map((value, k) => Math.abs(value - Math.sin((Math.PI * k) / 100))));
console.log(`largest error ${error.toExponential(1)}`);
runtime.dispose();
