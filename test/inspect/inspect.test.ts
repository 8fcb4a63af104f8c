/** The numbers of an inspection against dense matrices in float64, by other routes. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { UsageError } from "../../src/errors.ts";
import { inspect } from "../../src/inspect/inspect.ts";
import { type DirectionComparison, inspectionNumbers } from "../../src/inspect/inspection.ts";
import { impliedInverse, relativeError } from "../../src/inspect/inverses.ts";
import { chooseRows } from "../../src/inspect/network.ts";
import { type LayerRows, layerVector } from "../../src/inspect/score-rows.ts";
import { symmetricEigen } from "../../src/linalg/index.ts";
import { conv2d, dense as denseLayer, flatten, sequential } from "../../src/nn/index.ts";
import { createOptimizer, methods } from "../../src/optimizers/index.ts";
import { createTrainer, resumeTrainer } from "../../src/training/create-trainer.ts";
import { block, damp, dot, invert, type Specimen, times, train, withNetwork } from "./support.ts";

const damping = 0.05;
const samples = 12;

function near(actual: number, expected: number, tolerance = 1e-9, what = ""): void {
  const scale = Math.max(1e-12, Math.abs(expected));
  assert.ok(Math.abs(actual - expected) <= tolerance * scale, `${what}: ${actual} instead of ${expected}`);
}

/** Fisher matrix, gradient, and the layers' sizes, of the same batch and by the trainer. */
async function dense({ config, data, checkpoint }: Specimen, fisher: "exact" | "empirical") {
  const trainer = await resumeTrainer(checkpoint, config);
  try {
    const batch = chooseRows(data, samples, 0);
    const matrix = new Float64Array((await trainer.fisher(batch, fisher)).data);
    const named = await trainer.gradient(batch);
    const parameters = trainer.getParameters();
    const layers = ["0", "2"].map((name) => {
      const [units, features] = parameters.get(`${name}.weight`)!.shape;
      return { name, weight: `${name}.weight`, bias: `${name}.bias`, units, width: features + 1 };
    });
    const gradient = Float64Array.from(
      layers.flatMap((layer) => [...layerVector(layer as LayerRows, named)]),
    );
    return { matrix, gradient, layers, order: gradient.length };
  } finally {
    trainer.dispose();
  }
}

for (const dataset of ["friedman1", "spirals"] as const) {
  for (const fisher of ["exact", "empirical"] as const) {
    describe(`inspect, ${dataset}, ${fisher} Fisher`, async () => {
      const specimen = await train(dataset);
      const { matrix, gradient, layers, order } = await dense(specimen, fisher);
      const { config, data, checkpoint } = specimen;
      const found = await inspect(checkpoint, config, data, { samples, damping, fisher });
      const damped = damp(matrix, order, damping);
      const exact = times(invert(damped, order), gradient);

      it("has the spectrum of the dense matrix and of its blocks", () => {
        const parts = [
          { start: 0, count: order },
          ...layers.map(({ units, width }, l) => {
            const start = l === 0 ? 0 : layers[0].units * layers[0].width;
            return { start, count: units * width };
          }),
        ];
        for (const [k, { start, count }] of parts.entries()) {
          const { eigenvalues, trace, effectiveDimension, condition, rank } = found.spectra[k];
          const part = block(matrix, order, start, count);
          const result = symmetricEigen(part, count);
          assert.ok(result.failure === undefined);
          const values = [...result.values].reverse();
          for (const [j, value] of eigenvalues.entries())
            assert.ok(Math.abs(value - values[j]) < 1e-12 * values[0]);
          near(
            trace,
            values.reduce((a, b) => a + b),
            1e-10,
            "trace",
          );
          near(
            effectiveDimension,
            values.reduce((sum, v) => sum + v / (v + damping), 0),
            1e-9,
            "dimension",
          );
          near(
            condition,
            (values[0] + damping) / (Math.max(0, values[count - 1]) + damping),
            1e-9,
            "condition",
          );
          assert.equal(rank, values.filter((value) => value > 1e-12 * values[0]).length);
        }
      });

      it("compares directions as the dense matrix does", () => {
        const compare = (name: string, direction: Float64Array) => {
          const one = found.directions.find((other) => other.name === name) as DirectionComparison;
          const metric = (x: Float64Array, y: Float64Array) => dot(x, times(damped, y));
          const length = (x: Float64Array) => Math.sqrt(dot(x, x));
          near(one.cosine, dot(direction, exact) / (length(direction) * length(exact)), 1e-8, name);
          const metricCosine =
            metric(direction, exact) / Math.sqrt(metric(direction, direction) * metric(exact, exact));
          near(one.metricCosine, metricCosine, 1e-8, name);
          near(one.lengthRatio, length(direction) / length(exact), 1e-8, name);
          near(one.decrease, dot(gradient, direction) - metric(direction, direction) / 2, 1e-7, name);
          near(one.bestDecrease / found.exactDecrease, metricCosine ** 2, 1e-8, name);
        };
        near(found.exactDecrease, dot(gradient, exact) / 2, 1e-9);
        compare("gradient", gradient);
        compare("exactNgd", exact);
        const diagonal = gradient.map((value, k) => value / damped[k * (order + 1)]);
        compare("diagonalNgd", diagonal);
        const first = layers[0].units * layers[0].width;
        const blocks = [0, first].flatMap((start, l) => {
          const count = l === 0 ? first : order - first;
          return [
            ...times(invert(block(damped, order, start, count), count), gradient.slice(start, start + count)),
          ];
        });
        compare("blockDiagonalNgd", Float64Array.from(blocks));
        compare("tengrad", Float64Array.from(blocks));
      });

      it("measures inverses as the dense blocks do", () => {
        for (const [l, layer] of found.layers.entries()) {
          const { units, width } = layers[l];
          const start = l === 0 ? 0 : layers[0].units * layers[0].width;
          const count = units * width;
          const own = block(damped, order, start, count);
          const inverse = invert(own, count);
          assert.equal(layer.window, count);
          assert.equal(layer.averaged, 1);
          layer.exact.values.forEach((value, k) => {
            assert.ok(Math.abs(value - Math.abs(inverse[k])) < 1e-9 / damping);
          });
          for (const name of ["blockDiagonalNgd", "tengrad", "woodFisher"])
            assert.ok(layer.same.includes(name), name);
          const error = (name: string) =>
            layer.same.includes(name)
              ? 0
              : layer.approximations.find(({ names }) => names.includes(name))!.error;
          const masked = (keep: (row: number, column: number) => boolean) =>
            own.map((value, k) => (keep(Math.floor(k / count), k % count) ? value : 0));
          const diagonal = invert(
            masked((row, column) => row === column),
            count,
          );
          near(error("diagonalNgd"), relativeError(diagonal, inverse), 1e-8, "diagonal");
          const unit = (k: number) => Math.floor(k / width);
          const unitWise = relativeError(
            invert(
              masked((row, column) => unit(row) === unit(column)),
              count,
            ),
            inverse,
          );
          if (unitWise > 1e-6) near(error("unitwiseNgd"), unitWise, 1e-8, "unit-wise");
          else assert.ok(layer.same.includes("unitwiseNgd"));
          const whole = block(invert(damped, order), order, start, count);
          near(error("exactNgd"), relativeError(whole, inverse), 1e-8, "exact");
        }
      });
    });
  }
}

describe("the map of a method", async () => {
  const specimen = await train("spirals");
  const batch = chooseRows(specimen.data, samples, 0);
  for (const { name, kind, options } of methods) {
    if (kind !== "natural") continue;
    it(`of ${name} is its direction, linear, column by column`, () =>
      withNetwork(specimen, async (network) => {
        const own = options.includes("fisher") ? { damping, fisher: "exact" } : { damping };
        const method = await network.start(createOptimizer(name, own));
        const { gradient } = await network.gradient(batch);
        const map = (await method.directionMap!(batch))!;
        try {
          const direction = await map.apply(gradient);
          const fresh = await method.direction(batch);
          const tolerance = map.iterative ? 1e-6 : 1e-9;
          for (const [parameter, { data }] of fresh) {
            const size = Math.max(...data.map(Math.abs));
            data.forEach((value, k) => {
              assert.ok(Math.abs(direction.get(parameter)!.data[k] - value) < tolerance * size, parameter);
            });
          }
          if (map.iterative) {
            await assert.rejects(map.inverseColumn("0", 0, 0), UsageError);
            return;
          }
          const layer = {
            name: "0",
            weight: "0.weight",
            bias: "0.bias",
            units: 3,
            width: 3,
            parameters: 9,
          } as LayerRows;
          const inverse = await impliedInverse(map, layer, 9);
          const unit = new Float64Array(6);
          unit[4] = 2; // unit 2, input 0
          const column = layerVector(layer, await map.apply({ "0.weight": { shape: [3, 2], data: unit } }));
          column.forEach((value, row) => {
            assert.ok(Math.abs(value - 2 * inverse[row * 9 + 6]) < 1e-9 / damping);
          });
          await assert.rejects(
            map.apply({ "1.weight": { shape: [1], data: new Float64Array(1) } }),
            /unknown parameter/,
          );
          await assert.rejects(
            map.apply({ "0.bias": { shape: [1], data: new Float64Array(1) } }),
            /must be 3/,
          );
        } finally {
          map.dispose();
        }
      }));
  }
});

describe("the map of a run's own method", () => {
  const learning = { kfac: { fisher: "exact" }, ekfac: { fisher: "exact" }, kbfgs: {}, tengrad: {} };
  for (const [name, options] of Object.entries(learning)) {
    it(`of ${name} is what its next step takes, history and all`, async () => {
      const learningRate = 0.125;
      const specimen = await train("friedman1", name, { ...options, learningRate, momentum: 0, damping });
      await withNetwork(specimen, async (network) => {
        const batch = chooseRows(specimen.data, 16, 7);
        const map = await network.own.directionMap!(batch, { continued: true });
        const anew = await network.own.directionMap!(batch);
        const { gradient } = await network.gradient(batch);
        const direction = await map.apply(gradient);
        const without = await anew.apply(gradient);
        map.dispose();
        anew.dispose();
        const before = network.own.state.snapshot();
        assert.equal((await network.own.step(batch)).accepted, true);
        const after = network.own.state.snapshot();
        let differs = 0;
        for (const [parameter, { data }] of direction) {
          const size = Math.max(...data.map(Math.abs));
          data.forEach((value, k) => {
            const key = `parameter/${parameter}`;
            const taken = (before.get(key)!.data[k] - after.get(key)!.data[k]) / learningRate;
            assert.ok(Math.abs(value - taken) < 1e-9 * size, `${parameter}: ${value} instead of ${taken}`);
            differs = Math.max(differs, Math.abs(without.get(parameter)!.data[k] - taken) / size);
          });
        }
        assert.equal(differs > 1e-3, name !== "tengrad");
      });
    });
  }
});

describe("inspect", () => {
  it("shows K-BFGS only where the run has taught it, with its own damping", async () => {
    const { checkpoint, config, data } = await train("friedman1", "kbfgs", { damping: 0.2 });
    const found = await inspect(checkpoint, config, data, { samples, methods: ["kbfgs", "kfac"] });
    assert.equal(found.damping, 0.2);
    assert.deepEqual(found.directions.map(({ name }) => name).sort(), [
      "gradient",
      "kbfgs as trained",
      "kfac",
    ]);
    assert.deepEqual(found.leftOut, []);
    const other = await train("friedman1");
    const without = await inspect(other.checkpoint, other.config, other.data, {
      samples,
      methods: ["kbfgs"],
    });
    assert.equal(without.damping, 0.01);
    assert.match(without.leftOut.join("\n"), /^kbfgs: it learns its inverse from the steps of training/);
  });

  it("gives every method the same Monte-Carlo targets, by seed", async () => {
    const { checkpoint, config, data } = await train("spirals");
    const options = { samples, damping, fisher: { type: "monte-carlo", samples: 2 } } as const;
    const once = await inspect(checkpoint, config, data, { ...options, seed: 5 });
    assert.equal(once.rows, 2 * samples);
    const exact = once.directions.find(({ name }) => name === "exactNgd")!;
    near(exact.cosine, 1);
    for (const { same } of once.layers) assert.ok(same.includes("tengrad"));
    const again = await inspect(checkpoint, config, data, { ...options, seed: 5 });
    assert.deepEqual(inspectionNumbers(again), inspectionNumbers(once));
    const other = await inspect(checkpoint, config, data, { ...options, seed: 6 });
    assert.notEqual(other.spectra[0].trace, once.spectra[0].trace);
  });

  it("refuses what it cannot do, in words", async () => {
    const { checkpoint, config, data } = await train("friedman1");
    const refusal = (options: object, message: RegExp) =>
      assert.rejects(inspect(checkpoint, config, data, options), (error) => {
        assert.ok(error instanceof UsageError);
        assert.match(error.message, message);
        return true;
      });
    await refusal(
      { samples: 1000 },
      /invalid samples: 1000 \(must be an integer from 1 to 48, the training rows\)/,
    );
    await refusal({ damping: 0 }, /invalid damping: 0 \(must be > 0\)/);
    await refusal({ methods: ["kfak"] }, /unknown optimizer: kfak \(did you mean kfac\?\)/);
    await refusal({ methods: ["adam"] }, /adam makes no direction of one batch's curvature/);
    await refusal({ layers: ["7"] }, /unknown layer: 7 \(the network has 0, 2\)/);
  });

  it("refuses convolutions, in words", async () => {
    const { config, data: table } = await train("friedman1");
    const [rows] = table.inputs.shape;
    const data = { ...table, inputs: { ...table.inputs, shape: [rows, 1, 2, 5] } };
    const model = sequential([conv2d(2, { kernel: 2 }), flatten(), denseLayer(1)]);
    const images = { ...config, model, inputShape: [1, 2, 5] };
    const trainer = await createTrainer(images);
    const checkpoint = trainer.toBytes();
    trainer.dispose();
    await assert.rejects(inspect(checkpoint, images, data), {
      name: "UsageError",
      message: "natgrad inspect takes dense layers only, and layer 0 is a convolution",
    });
  });
});
