/** Muon, Shampoo and SOAP against plain loops, and what must hold of each whatever the network. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { constant } from "../../src/graph/index.ts";
import {
  createOptimizer,
  dense,
  gaussian,
  type NamedTensors,
  Random,
  sequential,
  tanh,
  tensor,
} from "../../src/index.ts";
import { orthogonalize } from "../../src/optimizers/matrix/muon.ts";
import { FIRST_STEP } from "../../src/optimizers/matrix/preconditioned.ts";
import { evaluate } from "../../src/runtime/program.ts";
import { openRuntime } from "../../src/runtime/runtime.ts";
import type { Runtime } from "../../src/runtime/session.ts";
import { assertSameBits, isOneLine, normal, randomBatch, trainerOf } from "../conformance/networks.ts";
import { assertNear } from "../conformance/reference.ts";
import {
  combine,
  eigen,
  identity,
  inverseRoot,
  map,
  newtonSchulz,
  norm,
  orthonormalColumns,
  product,
  type Rows,
  transpose,
  zeros,
} from "./matrix-reference.ts";

let runtime: Runtime;
before(async () => {
  runtime = await openRuntime();
});
after(() => runtime?.dispose());

type Options = Readonly<Record<string, unknown>>;

/** tanh networks of these widths with a gaussian likelihood. */
const network = (widths: readonly number[], seed = 1) => ({
  model: sequential(
    widths.slice(1).flatMap((units, k) => (k === 0 ? [dense(units)] : [tanh(), dense(units)])),
  ),
  likelihood: gaussian(),
  inputShape: [widths[0]],
  outputs: widths[widths.length - 1],
  seed,
});

/** Vectors are columns. */
const rowsOf = (named: NamedTensors): Map<string, Rows> =>
  new Map(
    [...named].map(([name, { shape, data }]) => {
      const [rows, columns] = [shape[0], shape[1] ?? 1];
      return [name, map(zeros(rows, columns), (_, i, j) => data[i * columns + j])];
    }),
  );

/** A parameter's update in plain loops: what is subtracted at step t = 0, 1, … */
type Reference = (parameter: Rows, gradient: Rows, t: number) => Rows;

/** Trains beside the reference, on the same gradients, and compares all parameters after every step. */
async function follow(
  name: string,
  options: Options,
  widths: readonly number[],
  referenceOf: (parameter: string, shape: Rows) => Reference,
): Promise<void> {
  const net = network(widths);
  const trainer = await trainerOf(runtime, net, createOptimizer(name, options));
  const expected = rowsOf(trainer.getParameters());
  const references = new Map([...expected].map(([key, rows]) => [key, referenceOf(key, rows)]));
  for (let t = 0; t < 8; t++) {
    const batch = randomBatch(net, 12, t);
    const gradients = rowsOf(await trainer.gradient(batch));
    const { accepted } = await trainer.step(batch);
    assert.ok(accepted);
    const actual = rowsOf(trainer.getParameters());
    for (const [key, rows] of expected) {
      const next = combine([1, rows], [-1, references.get(key)!(rows, gradients.get(key)!, t)]);
      expected.set(key, next);
      assertNear(actual.get(key)!.flat(), next.flat(), 1e-8, `${key} after step ${t}`);
    }
  }
  trainer.dispose();
}

function adamReference({ rate = 0.01, beta1 = 0.9, beta2 = 0.95, epsilon = 1e-10, decay = 0 }): Reference {
  let [m, s]: Rows[] = [];
  return (parameter, g, t) => {
    m = combine([beta1, m ?? map(g, () => 0)], [1 - beta1, g]);
    s = combine([beta2, s ?? map(g, () => 0)], [1 - beta2, map(g, (value) => value ** 2)]);
    const scale = map(s, (value) => Math.sqrt(value / (1 - beta2 ** (t + 1))) + epsilon);
    const step = map(m, (value, i, j) => (rate * value) / (1 - beta1 ** (t + 1)) / scale[i][j]);
    return combine([1, step], [rate * decay, parameter]);
  };
}

describe("muon", () => {
  const variants: [Options, readonly number[]][] = [
    [{ matrices: "all" }, [3, 5, 2]],
    [{ matrices: "all", nesterov: false, momentum: 0.8, iterations: 3 }, [3, 5, 2]],
    [{ matrices: "all", scale: "rms", weightDecay: 0.1 }, [3, 5, 2]],
    [{ adamLearningRate: 0.03, weightDecay: 0.1 }, [3, 4, 5, 2]],
  ];
  for (const [options, widths] of variants) {
    it(`${widths.join("-")} ${JSON.stringify(options)}`, async () => {
      const {
        momentum = 0.95,
        nesterov = true,
        iterations = 5,
        weightDecay: decay = 0,
      } = options as {
        momentum?: number;
        nesterov?: boolean;
        iterations?: number;
        weightDecay?: number;
      };
      const rms = options.scale === "rms";
      const adamRate = (options.adamLearningRate as number | undefined) ?? (rms ? 0.05 : 0.01);
      const matrix = (key: string) =>
        options.matrices === "all" ? key.endsWith("weight") : key === "2.weight";
      await follow(
        "muon",
        { learningRate: 0.05, scale: "spectral", ...options },
        widths,
        (key, { length: rows, 0: row }) => {
          if (!matrix(key)) return adamReference({ rate: adamRate, decay });
          let velocity = zeros(rows, row.length);
          const shape = rms
            ? 0.2 * Math.sqrt(Math.max(rows, row.length))
            : Math.sqrt(Math.max(1, rows / row.length));
          return (parameter, g) => {
            velocity = combine([momentum, velocity], [1, g]);
            const ahead = nesterov ? combine([1, g], [momentum, velocity]) : velocity;
            return combine([0.05 * shape, newtonSchulz(ahead, iterations)], [0.05 * decay, parameter]);
          };
        },
      );
    });
  }

  it("gives singular values near 1, whatever those of the gradient", async () => {
    for (const [rows, columns] of [
      [4, 4],
      [3, 8],
      [8, 3],
      [1, 5],
      [16, 12],
    ]) {
      const u = normal(new Random(rows), [rows, columns]);
      for (const scale of [1e-3, 1, 1e6]) {
        const node = constant(
          u.data.map((value) => scale * value),
          u.shape,
          "float64",
        );
        const { x } = await evaluate(runtime, { x: orthogonalize(node, 5) });
        const turned = rowsOf(new Map([["x", x]])).get("x")!;
        const given = rowsOf(new Map([["x", u]])).get("x")!;
        const wide = rows <= columns ? turned : transpose(turned);
        const { values } = eigen(product(wide, transpose(wide)));
        for (const value of values) {
          assert.ok(value > 0.6 ** 2 && value < 1.3 ** 2, `singular value ${Math.sqrt(value)}`);
        }
        // The polar factor (GGᵀ)^(−1/2) G is what it comes near.
        const g = rows <= columns ? given : transpose(given);
        const polar = product(inverseRoot(product(g, transpose(g)), 0, 0.5), g);
        const inner = polar.flat().reduce((total, value, k) => total + value * wide.flat()[k], 0);
        assert.ok(inner / norm(polar) / norm(wide) > 0.97);
      }
    }
  });

  it("takes the matrices between the first and the last layer, all where asked, and says which", async () => {
    const structures = async (options: Options) => {
      const trainer = await trainerOf(runtime, network([3, 4, 5, 2]), createOptimizer("muon", options));
      const rows = trainer.curvature().filter(({ structure }) => structure === "orthogonalized");
      trainer.dispose();
      return rows.flatMap(({ parameters }) => parameters);
    };
    assert.deepEqual(await structures({}), ["2.weight"]);
    assert.deepEqual(await structures({ matrices: "all" }), ["0.weight", "2.weight", "4.weight"]);
  });
});

describe("shampoo", () => {
  const variants: Options[] = [
    {},
    { decay: 0.9, epsilon: 1e-3 },
    { refreshEvery: 3, epsilon: 1e-6 },
    { refreshEvery: 7 },
    { refreshEvery: 2, decay: 0.8, grafting: "sgd", momentum: 0.9, weightDecay: 0.01 },
    { grafting: "adam", decay: 0.95 },
    { maxDimension: 3 },
    { maxDimension: 1, refreshEvery: 3 },
  ];
  for (const options of variants) {
    it(JSON.stringify(options), async () => {
      const given = options as Record<string, number | undefined>;
      const { decay = 1, epsilon = 1e-4, refreshEvery = 1, maxDimension = 1200 } = given;
      const { momentum = 0, weightDecay = 0 } = given;
      await follow("shampoo", { learningRate: 0.1, ...options }, [3, 4, 2], (key, shape) => {
        const sides = key.endsWith("bias") ? 1 : 2;
        const grams = [zeros(shape.length, shape.length), zeros(shape[0].length, shape[0].length)];
        let roots: Rows[] = [];
        let velocity = map(shape, () => 0);
        let squares = map(shape, () => 0);
        return (parameter, g, t) => {
          for (const [side, matrix] of [product(g, transpose(g)), product(transpose(g), g)].entries()) {
            const kept = matrix.length > maxDimension ? map(matrix, (x, i, j) => (i === j ? x : 0)) : matrix;
            grams[side] = combine([decay, grams[side]], [decay === 1 ? 1 : 1 - decay, kept]);
          }
          if (t % refreshEvery === 0 || (t < refreshEvery && [1, 2, 4].includes(t))) {
            const correction = decay === 1 ? 1 : 1 / (1 - decay ** (t + 1));
            roots = grams.map((gram) => inverseRoot(combine([correction, gram]), epsilon, 1 / (2 * sides)));
          }
          let direction = product(roots[0], g);
          if (sides === 2) direction = product(direction, roots[1]);
          squares = combine([0.999, squares], [0.001, map(g, (x) => x ** 2)]);
          const correct = 1 - 0.999 ** (t + 1);
          const adam = map(g, (x, i, j) => x / (Math.sqrt(squares[i][j] / correct) + 1e-8));
          if (options.grafting === "sgd") direction = combine([norm(g) / norm(direction), direction]);
          if (options.grafting === "adam") direction = combine([norm(adam) / norm(direction), direction]);
          velocity = combine([momentum, velocity], [1, direction], [weightDecay, parameter]);
          return combine([0.1, velocity]);
        };
      });
    });
  }

  it("is Adagrad on a single number", async () => {
    const scalar = {
      ...network([1, 1]),
      model: sequential([dense(1, { bias: false })]),
    };
    const trainer = await trainerOf(
      runtime,
      scalar,
      createOptimizer("shampoo", { learningRate: 0.3, epsilon: 0.01 }),
    );
    let theta = trainer.getParameters().get("0.weight")!.data[0];
    let squares = 0.01;
    for (let k = 0; k < 6; k++) {
      const batch = randomBatch(scalar, 5, k);
      const [g] = (await trainer.gradient(batch)).get("0.weight")!.data;
      await trainer.step(batch);
      squares += g ** 2;
      theta -= (0.3 * g) / Math.sqrt(squares);
      assertNear([trainer.getParameters().get("0.weight")!.data[0]], [theta], 1e-12, `step ${k}`);
    }
    trainer.dispose();
  });
});

describe("soap", () => {
  const variants: Options[] = [
    {},
    { refreshEvery: 1 },
    { refreshEvery: 3, weightDecay: 0.1, beta1: 0.8, beta2: 0.9 },
    { oneSided: true, refreshEvery: 2 },
    { maxDimension: 2 },
  ];
  for (const options of variants) {
    it(JSON.stringify(options), async () => {
      const given = options as Record<string, number | undefined>;
      const { beta1 = 0.95, beta2 = 0.95, weightDecay: decay = 0, refreshEvery = 10 } = given;
      const [rate, epsilon] = [0.02, 1e-8];
      await follow("soap", { learningRate: rate, ...options }, [3, 3, 3], (key) => {
        const adam = adamReference({ rate, beta1, beta2, epsilon, decay });
        const rotates = key.endsWith("weight") && options.maxDimension === undefined;
        if (!rotates) return (parameter, g, t) => (t === 0 ? map(g, () => 0) : adam(parameter, g, t - 1));
        const grams = [zeros(3, 3), zeros(3, 3)];
        let bases = [identity(3), identity(3)];
        let [m, s] = [zeros(3, 3), zeros(3, 3)];
        const rotated = [0, ...(options.oneSided ? [] : [1])];
        const rotate = (x: Rows) => product(product(transpose(bases[0]), x), bases[1]);
        return (parameter, g, t) => {
          const fresh = [product(g, transpose(g)), product(transpose(g), g)];
          for (const side of [0, 1]) grams[side] = combine([beta2, grams[side]], [1 - beta2, fresh[side]]);
          if (t === 0) {
            for (const side of rotated) bases[side] = eigen(grams[side]).vectors;
            return map(g, () => 0);
          }
          m = combine([beta1, m], [1 - beta1, g]);
          s = combine([beta2, s], [1 - beta2, map(rotate(g), (x) => x ** 2)]);
          const normalized = map(rotate(m), (x, i, j) => {
            return (rate * x) / (1 - beta1 ** t) / (Math.sqrt(s[i][j] / (1 - beta2 ** t)) + epsilon);
          });
          const back = product(product(bases[0], normalized), transpose(bases[1]));
          if (t % refreshEvery === 0) {
            bases = bases.map((basis, side) => {
              if (!rotated.includes(side)) return basis;
              const power = product(grams[side], basis);
              const quotient = (j: number) =>
                basis.reduce((total, row, i) => total + row[j] * power[i][j], 0);
              const order = [0, 1, 2].sort((i, j) => quotient(j) - quotient(i));
              s = map(s, (_, i, j) => (side === 0 ? s[order[i]][j] : s[i][order[j]]));
              return orthonormalColumns(power.map((row) => order.map((j) => row[j])));
            });
          }
          return combine([1, back], [rate * decay, parameter]);
        };
      });
    });
  }

  it("moves no parameter at its first step, and says so", async () => {
    const net = network([3, 4, 2]);
    const trainer = await trainerOf(runtime, net, createOptimizer("soap", { weightDecay: 0.1 }));
    const initial = trainer.getParameters();
    const { status, accepted, stepNorm } = await trainer.step(randomBatch(net, 6, 1));
    assert.deepEqual({ status, accepted, stepNorm }, { status: FIRST_STEP, accepted: true, stepNorm: 0 });
    assertSameBits(trainer.getParameters(), initial);
    assert.equal((await trainer.step(randomBatch(net, 6, 2))).status, "ok");
    assert.notDeepEqual(trainer.getParameters(), initial);
    trainer.dispose();
  });

  it("is Adam where the eigenbasis is that of the parameters", async () => {
    // One input and one unit: the bases are ±1.
    const net = network([1, 1]);
    const options = { learningRate: 0.05, beta1: 0.9, beta2: 0.95, weightDecay: 0.1 };
    const rotated = await trainerOf(runtime, net, createOptimizer("soap", { ...options, refreshEvery: 2 }));
    const plain = await trainerOf(runtime, net, createOptimizer("adamw", options));
    await rotated.step(randomBatch(net, 6, 99));
    for (let k = 0; k < 6; k++) {
      for (const trainer of [rotated, plain]) await trainer.step(randomBatch(net, 6, k));
      for (const [name, { data }] of plain.getParameters()) {
        assertNear(rotated.getParameters().get(name)!.data, data, 1e-12, `${name} after step ${k}`);
      }
    }
    rotated.dispose();
    plain.dispose();
  });
});

describe("rotated inputs", () => {
  /** Losses of a run on inputs xQ with first weights WQ, whose outputs are those of x and W. */
  async function losses(name: string, options: Options, rotation: Rows): Promise<number[]> {
    const net = network([3, 3, 3]);
    const trainer = await trainerOf(runtime, net, createOptimizer(name, options));
    const turn = (data: ArrayLike<number>) => {
      const rows = map(zeros(data.length / 3, 3), (_, i, j) => data[3 * i + j]);
      return tensor(product(rows, rotation).flat(), [rows.length, 3]);
    };
    trainer.setParameters({ "0.weight": turn(trainer.getParameters().get("0.weight")!.data) });
    const found: number[] = [];
    for (let k = 0; k < 12; k++) {
      const { inputs, targets } = randomBatch(net, 12, k);
      found.push((await trainer.step({ inputs: turn(inputs.data), targets })).loss);
    }
    trainer.dispose();
    return found;
  }

  const rotation = orthonormalColumns([
    [1, 2, 0.5],
    [-1, 1, 2],
    [0.3, -2, 1],
  ]);
  const methods: [string, Options, boolean][] = [
    ["muon", { matrices: "all" }, true],
    ["shampoo", { refreshEvery: 3 }, true],
    ["soap", { learningRate: 0.02, refreshEvery: 3 }, true],
    ["adam", { learningRate: 0.02 }, false],
  ];
  for (const [name, options, invariant] of methods) {
    it(`${invariant ? "do not change" : "change"} ${name}'s losses`, async () => {
      const [turned, straight] = [
        await losses(name, options, rotation),
        await losses(name, options, identity(3)),
      ];
      if (invariant) assertNear(turned, straight, 1e-8, "losses");
      else assert.throws(() => assertNear(turned, straight, 1e-3, "losses"));
    });
  }
});

describe("preconditioned methods", () => {
  it("refuse what would take more than the memory limit, in one line", async () => {
    for (const name of ["shampoo", "soap"]) {
      await assert.rejects(
        trainerOf(runtime, network([20, 8, 2]), createOptimizer(name), { memoryLimit: 2000 }),
        (error: Error) => {
          assert.match(
            error.message,
            new RegExp(`^the ${name} block of 0\\.weight needs .*maxDimension below 20`),
          );
          return isOneLine(error);
        },
      );
      const options = { maxDimension: 1 };
      const trainer = await trainerOf(runtime, network([20, 8, 2]), createOptimizer(name, options), {
        memoryLimit: 12_000,
      });
      assert.ok(trainer.curvature().every(({ dimension }) => dimension === 1));
      trainer.dispose();
    }
  });

  it("give the direction of a first step from the batch alone", async () => {
    const net = network([3, 4, 2]);
    const batch = randomBatch(net, 6, 1);
    const trainer = await trainerOf(
      runtime,
      net,
      createOptimizer("shampoo", { learningRate: 1, momentum: 0.9 }),
    );
    const direction = rowsOf(await trainer.direction(batch));
    const initial = rowsOf(trainer.getParameters());
    await trainer.step(batch);
    for (const [name, rows] of rowsOf(trainer.getParameters())) {
      assertNear(
        combine([1, initial.get(name)!], [-1, rows]).flat(),
        direction.get(name)!.flat(),
        1e-12,
        name,
      );
    }
    trainer.dispose();
  });

  it("forget a rejected batch, also when its size comes again at a refresh", async () => {
    const net = network([3, 4, 2]);
    const create = () => trainerOf(runtime, net, createOptimizer("shampoo", { refreshEvery: 3 }));
    const [disturbed, other] = [await create(), await create()];
    const broken = randomBatch(net, 6, 1);
    broken.inputs.data[0] = Number.NaN;
    // Step 5 has old roots, step 6 new ones.
    for (const [k, samples] of [4, 4, 4, 4, 4, 4, 6].entries()) {
      if (k === 5) assert.equal((await disturbed.step(broken)).accepted, false);
      const batch = randomBatch(net, samples, k);
      assert.deepEqual(await disturbed.step(batch), await other.step(batch));
    }
    assertSameBits(disturbed.getParameters(), other.getParameters());
    disturbed.dispose();
    other.dispose();
  });

  it("do not resume with other sides, and say so", async () => {
    const net = network([3, 4, 2]);
    const saved = await trainerOf(runtime, net, createOptimizer("soap", { oneSided: true }));
    await saved.step(randomBatch(net, 6, 1));
    const other = await trainerOf(runtime, net, createOptimizer("soap"));
    await assert.rejects(other.load(saved.toBytes()), isOneLine);
    saved.dispose();
    other.dispose();
  });
});
