import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import {
  createTrainer,
  dense,
  exactNgd,
  gaussian,
  kfac,
  layerwiseNgd,
  type Model,
  type Optimizer,
  sequential,
  sgd,
  tanh,
  unitwiseNgd,
} from "../../src/index.ts";
import { openRuntime, type Runtime } from "../../src/runtime/runtime.ts";
import {
  type DynamicsResult,
  empiricalKernels,
  exactDynamics,
  finiteNetwork,
  gradientDescentDynamics,
  initialValues,
  jacobianFactors,
  kernelMatrix,
  kfacDynamics,
  type LayerMove,
  layerWiseDynamics,
  linearizedParameters,
  unitWiseNetworkDynamics,
} from "../../src/theory/index.ts";
import { assertClose, randomMatrix } from "./support.ts";

let runtime: Runtime;
before(async () => {
  runtime = await openRuntime();
});
after(() => runtime?.dispose());

/** Parameters after each of some full-batch steps of real training, and the outputs at both sets of points. */
async function train(
  model: Model,
  optimizer: Optimizer,
  { x, y, test, steps }: { x: ReturnType<typeof randomMatrix>; y: typeof x; test: typeof x; steps: number },
) {
  const trainer = await createTrainer(
    {
      ...{ model, optimizer, inputShape: [x.shape[1]], likelihood: gaussian(), batchSize: x.shape[0] },
      ...{ dtype: "float64", seed: 3 },
    },
    { runtime },
  );
  try {
    const course = [];
    for (let step = 0; step <= steps; step++) {
      if (step > 0) assert.ok((await trainer.step({ inputs: x, targets: y })).accepted);
      const parameters = new Map(
        [...trainer.getParameters()].map(([name, { shape, data }]) => [name, { shape, data: data.slice() }]),
      );
      course.push({
        parameters,
        train: (await trainer.predict(x)).data.slice(),
        test: (await trainer.predict(test)).data.slice(),
      });
    }
    return course;
  } finally {
    trainer.dispose();
  }
}

/** The predictions of a metric from the network's own kernels. */
async function predicted(
  model: Model,
  inputs: {
    x: ReturnType<typeof randomMatrix>;
    y: ReturnType<typeof randomMatrix>;
    test: ReturnType<typeof randomMatrix>;
  },
  metric: "sgd" | "exact" | "identity" | "tridiagonal" | "kfac" | "unit-wise",
) {
  const { x, y, test } = inputs;
  const built = model.build([x.shape[1]]);
  const network = { model: built, parameters: initialValues(built, 3) };
  const kernels = await empiricalKernels(network, x, test, { runtime });
  const problem = { targets: y, initial: kernels.train.outputs, initialTest: kernels.test!.outputs };
  let result: DynamicsResult;
  if (metric === "sgd")
    result = await gradientDescentDynamics(kernels.train.theta, problem, kernels.test!.theta);
  else if (metric === "exact")
    result = await exactDynamics(kernels.train.theta, problem, kernels.test!.theta);
  else if (metric === "kfac") {
    const of = ({ Q: A, B }: typeof kernels.train) => ({ A, B });
    result = await kfacDynamics(of(kernels.train), problem, of(kernels.test!));
  } else if (metric === "unit-wise") {
    const factors = (points: typeof x) => jacobianFactors(network, points, { runtime });
    result = await unitWiseNetworkDynamics(await factors(x), problem, await factors(test));
  } else result = await layerWiseDynamics(kernels.train.layers, problem, metric, kernels.test!.layers);
  assert.ok(result.failure === undefined, result.failure);
  const dynamics = result;
  const at = async (step: number, rate: number) => ({
    ...dynamics.at(step, rate),
    parameters: await linearizedParameters(network, x, await dynamics.moves!(step, rate), { runtime }),
  });
  return { ...dynamics, at };
}

describe("predicted parameters", () => {
  const linear = sequential([dense(2, { ntk: { sigmaW: 1.3, sigmaB: 0.5 } })]);
  const data = { x: randomMatrix(4, 7, 1), y: randomMatrix(4, 2, 2), test: randomMatrix(3, 7, 4) };

  it("initial values are those that a trainer of the same seed begins with", async () => {
    const [{ parameters }] = await train(linear, sgd({ learningRate: 1 }), { ...data, steps: 0 });
    for (const [name, { data: values }] of initialValues(linear.build([7]), 3)) {
      assert.deepEqual(Float64Array.from(parameters.get(name)!.data), Float64Array.from(values), name);
    }
  });

  // Damping of 1e-10 changes steps by about as much, relative to the kernel's eigenvalues.
  for (const [metric, optimizer, rate, tolerance] of [
    ["sgd", (learningRate: number) => sgd({ learningRate }), 0.4, 1e-12],
    ["exact", (learningRate: number) => exactNgd({ learningRate, damping: 1e-10 }), 0.3, 1e-7],
  ] as const) {
    it(`${metric}: a model linear in its parameters goes where predicted, for six steps`, async () => {
      const course = await train(linear, optimizer(rate), { ...data, steps: 6 });
      const dynamics = await predicted(linear, data, metric);
      for (const [t, own] of course.entries()) {
        const { parameters, train: f, test } = await dynamics.at(t, rate);
        for (const [name, { data: values }] of parameters) {
          assertClose(own.parameters.get(name)!.data, values, tolerance, `${name} after ${t} steps`);
        }
        assertClose(own.train, f.data, tolerance, `f_${t}`);
        assertClose(own.test, test!.data, tolerance, `f_${t}, test`);
      }
    });
  }

  for (const [metric, sigma] of [
    ["exact", "ones"],
    ["identity", "identity"],
    ["tridiagonal", "tridiagonal"],
  ] as const) {
    it(`${metric}: the first step of any network is the predicted one`, async () => {
      const model = sequential([dense(9), tanh(), dense(8), tanh(), dense(1)]);
      const own = { x: randomMatrix(5, 6, 1), y: randomMatrix(5, 1, 2), test: randomMatrix(3, 6, 4) };
      const optimizer = layerwiseNgd({ learningRate: 0.2, damping: 1e-10, sigma, fisher: "exact" });
      const course = await train(model, optimizer, { ...own, steps: 1 });
      const { parameters } = await (await predicted(model, own, metric)).at(1, 0.2);
      for (const [name, { data: values }] of parameters) {
        assertClose(course[1].parameters.get(name)!.data, values, 1e-5, name);
      }
    });
  }

  // Every method's parameters are those of its own outputs: J(θ_t − θ_0) = f_t − f_0, at training and test points alike.
  for (const [metric, outputs, widths] of [
    ["exact", 2, [9, 8]],
    ["tridiagonal", 2, [9, 8]],
    ["kfac", 1, [9, 8]],
    ["kfac", 1, [4, 8]],
    ["unit-wise", 1, [9, 8]],
    ["unit-wise", 1, [3, 8]],
    ["unit-wise", 2, [9, 8]],
  ] as const) {
    it(`${metric}, ${outputs} outputs, widths ${widths}: the linear model at θ_t has the outputs f_t`, async () => {
      const model = sequential([
        ...widths.flatMap((width) => [dense(width, { bias: false }), tanh()]),
        dense(outputs, { bias: false }),
      ]);
      const own = {
        ...{ x: randomMatrix(5, 6, 1), y: randomMatrix(5, outputs, 2), test: randomMatrix(3, 6, 4) },
      };
      const built = model.build([6]);
      const initial = initialValues(built, 3);
      const dynamics = await predicted(model, own, metric);
      const rate = 0.7 * dynamics.optimalRate;
      const factors = (points: typeof own.x) =>
        jacobianFactors({ model: built, parameters: initial }, points, { runtime });
      for (const step of [1, 4]) {
        const { parameters, ...f } = await dynamics.at(step, rate);
        for (const of of ["train", "test"] as const) {
          const { layers, outputs: start } = await factors(of === "train" ? own.x : own.test);
          const [count] = start.shape;
          const linear = start.data.slice();
          for (const { name, inputs, deltas } of layers) {
            const weight = `${name}.weight`;
            const moved = parameters.get(weight)!.data;
            const before = initial.get(weight)!.data;
            const [rows, units] = deltas.shape;
            const width = inputs.shape[1];
            for (let q = 0; q < rows; q++) {
              const [c, n] = [Math.floor(q / count), q % count];
              for (let k = 0; k < units * width; k++) {
                const [o, i] = [Math.floor(k / width), k % width];
                linear[n * outputs + c] +=
                  deltas.data[q * units + o] * inputs.data[n * width + i] * (moved[k] - before[k]);
              }
            }
          }
          assertClose(linear, f[of]!.data, 1e-7, `${of} after ${step} steps`);
        }
      }
    });
  }

  // Damping enters K-FAC by its square root, beside factors whose least eigenvalues are 1e-6 here.
  for (const [metric, optimizer, damping] of [
    ["kfac", kfac, 1e-18],
    ["unit-wise", unitwiseNgd, 1e-12],
  ] as const) {
    it(`${metric}: the first step of any network is the predicted one`, async () => {
      const model = sequential(
        [9, 8, 1].flatMap((width, l) => [...(l > 0 ? [tanh()] : []), dense(width, { bias: false })]),
      );
      const own = { x: randomMatrix(5, 6, 1), y: randomMatrix(5, 1, 2), test: randomMatrix(3, 6, 4) };
      const options = { learningRate: 0.01, damping, fisher: "exact" } as const;
      const course = await train(model, optimizer(options), { ...own, steps: 1 });
      const { parameters } = await (await predicted(model, own, metric)).at(1, 0.01);
      for (const [name, { data: values }] of parameters) {
        const before = course[0].parameters.get(name)!.data;
        const movedTo = (data: ArrayLike<number>) => Float64Array.from(data, (value, k) => value - before[k]);
        assertClose(movedTo(course[1].parameters.get(name)!.data), movedTo(values), 1e-3, name);
      }
    });
  }

  it("a wide network follows the prediction at training and test points, closer the wider it is", async () => {
    const x = randomMatrix(6, 8, 5);
    const own = {
      x,
      y: kernelMatrix(
        6,
        1,
        Float64Array.of(1, -1, 1, 1, -1, -1).map((v) => v / 2),
      ),
      test: randomMatrix(5, 8, 6),
    };
    const errors: number[] = [];
    for (const width of [64, 1024]) {
      const model = finiteNetwork({ depth: 3, activation: "relu", sigmaW: Math.SQRT2 }, width);
      const course = await train(model, exactNgd({ learningRate: 0.5, damping: 1e-9 }), { ...own, steps: 3 });
      const { train: f, test } = await (await predicted(model, own, "exact")).at(3, 0.5);
      let worst = 0;
      course[3].train.forEach((value, k) => {
        worst = Math.max(worst, Math.abs(value - f.data[k]));
      });
      course[3].test.forEach((value, k) => {
        worst = Math.max(worst, Math.abs(value - test!.data[k]));
      });
      errors.push(worst);
    }
    assert.ok(errors[1] < 0.1 && errors[1] < errors[0], errors.join(", "));
  });

  it("refuses moves of another number or shape", async () => {
    const built = linear.build([7]);
    const network = { model: built, parameters: initialValues(built, 3) };
    const carriedOut = (moves: LayerMove[]) => linearizedParameters(network, data.x, moves, { runtime });
    const rows = kernelMatrix(4, 2);
    await assert.rejects(carriedOut([{ rows }, { rows }]), /invalid moves: 2 \(must be 1/);
    await assert.rejects(
      carriedOut([{ rows: kernelMatrix(3, 2) }]),
      /invalid moves: shape \(6, 1\) \(must be \(8, 1\)\)/,
    );
    await assert.rejects(
      carriedOut([{ units: kernelMatrix(4, 2) }]),
      /invalid moves: shape \(4, 2\) \(must be \(8, 2\)\)/,
    );
    await assert.rejects(carriedOut([{ core: kernelMatrix(4, 4) }]), /a core with 2 outputs \(must be one\)/);
  });
});
