/** What every optimizer must do, whatever its mathematics: one suite over the registry. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { constant } from "../../src/graph/index.ts";
import {
  type Batch,
  createOptimizer,
  dense,
  findMethod,
  gaussian,
  type MethodInfo,
  methods,
  Random,
  relu,
  sequential,
  type Tensor,
  type Trainer,
  tanh,
  tensor,
} from "../../src/index.ts";
import { evaluate } from "../../src/runtime/program.ts";
import { openRuntime } from "../../src/runtime/runtime.ts";
import type { Runtime } from "../../src/runtime/session.ts";
import { shareSessions } from "../../src/runtime/session-cache.ts";
import {
  assertFinite,
  assertSameBits,
  counting,
  isOneLine,
  type LikelihoodName,
  type Network,
  networkOf,
  randomBatch,
  solversOf,
  trainerOf,
} from "./networks.ts";
import { assertNear, flatten, layoutOf, project, type StructureName, solve } from "./reference.ts";

/** The structure of each method with curvature, `"own"` where it is no cut of the Fisher matrix: the line that a new method adds. */
const structures: Record<string, StructureName | "own"> = {
  exactNgd: "full",
  blockDiagonalNgd: "block-diagonal",
  tengrad: "block-diagonal",
  diagonalNgd: "diagonal",
  quasiDiagonalNgd: "quasi-diagonal",
  unitwiseNgd: "unit-wise",
  woodFisher: "block-diagonal",
  layerwiseNgd: "block-tridiagonal",
  blockTridiagonalNgd: "block-tridiagonal",
  kbfgs: "own",
  hessianFree: "full",
  customMetric: "own",
  kfac: "own",
  ekfac: "own",
  muon: "own",
  shampoo: "own",
  soap: "own",
};

type Options = Readonly<Record<string, unknown>>;

/** Options that each method trains the small tasks below with. */
const training: Record<string, Options> = {
  sgd: { learningRate: 0.05, momentum: 0.9 },
  rmsprop: { learningRate: 0.01 },
  adam: { learningRate: 0.02 },
  adamw: { learningRate: 0.02 },
  lbfgs: {},
  levenbergMarquardt: { damping: 0.1 },
  muon: { learningRate: 0.05, matrices: "all" },
  shampoo: { learningRate: 0.1 },
  soap: { learningRate: 0.02 },
  exactNgd: { learningRate: 0.3, damping: 0.05 },
  blockDiagonalNgd: { learningRate: 0.3, damping: 0.05 },
  tengrad: { learningRate: 0.1, damping: 0.1 },
  diagonalNgd: { learningRate: 0.1, damping: 0.1 },
  quasiDiagonalNgd: { learningRate: 0.1, damping: 0.1 },
  unitwiseNgd: { learningRate: 0.1, damping: 0.1 },
  woodFisher: { learningRate: 0.1, damping: 0.1 },
  layerwiseNgd: { learningRate: 0.1, damping: 0.1 },
  blockTridiagonalNgd: { learningRate: 0.1, damping: 0.1 },
  kbfgs: { learningRate: 0.3, damping: 0.1, momentum: 0 },
  hessianFree: { learningRate: 0.3, damping: 0.05 },
  customMetric: { learningRate: 0.3, damping: 0.05 },
  kfac: { learningRate: 0.1, damping: 0.1, fisher: "exact" },
  ekfac: { learningRate: 0.1, damping: 0.1, fisher: "exact" },
};

const levenbergMarquardt = { policy: "levenberg-marquardt", initial: 0.1, every: 2 };
const monteCarlo = { type: "monte-carlo", samples: 2 };

const naturalVariants: Record<string, Options> = {
  "in the middle of a refresh interval": { refreshEvery: 3 },
  "with Monte-Carlo targets": { fisher: monteCarlo, momentum: 0.5 },
  "with Levenberg-Marquardt, Monte-Carlo targets and stale curvature": {
    damping: levenbergMarquardt,
    fisher: monteCarlo,
    refreshEvery: 3,
    momentum: 0.9,
    klClip: 1e-2,
  },
  "with coefficients from the quadratic model and an adaptive trust region": {
    stepRule: { coefficients: "quadratic-model", trustRegion: { initial: 1e-3, maximum: 0.03 } },
    refreshEvery: 2,
    weightDecay: 0.01,
  },
  "with a line search": { stepRule: { lineSearch: "strong-wolfe" }, momentum: 0, refreshEvery: 2 },
  "with SPRING's momentum, stale": { momentumRule: "spring", momentum: 0.9, refreshEvery: 3 },
  "with a limited memory": { memory: 3, refreshEvery: 2 },
  "with warm-started conjugate gradients": { solver: "cg", refreshEvery: 2, klClip: 1e-3 },
};

const fullBatchVariants: Record<string, Options> = {
  "by Armijo steps with damped pairs": { lineSearch: "armijo", memory: 2, powell: true },
  "without a line search": { lineSearch: "none", learningRate: 0.1 },
  "with scaled damping and delayed gratification": {
    scaling: "diagonal",
    adaptation: "delayed-gratification",
  },
};

/** Whether a method has all of some options. */
const takes = (name: string, options: Options) =>
  Object.keys(options).every((option) => findMethod(name).options.includes(option)) &&
  (options.solver === undefined || solversOf(name).includes(options.solver as string));

/** Those of some options that a method has. */
const taken = (name: string, options: Options): Options =>
  Object.fromEntries(Object.entries(options).filter(([option]) => findMethod(name).options.includes(option)));

const small = (likelihood: LikelihoodName, seed = 1): Network =>
  networkOf({
    ...{ features: 3, hidden: [4], outputs: 2, bias: true, activation: "tanh", samples: 6 },
    ...{ likelihood, seed },
  });

const folder = mkdtempSync(join(tmpdir(), "natgrad-methods-"));
let runtime: Runtime;
before(async () => {
  // The same programs are asked for again and again, more of them than trainers of one program have.
  runtime = shareSessions(await openRuntime(), { sessions: 1000, bytes: 2 ** 28 });
});
after(() => {
  rmSync(folder, { recursive: true });
  runtime?.dispose();
});

it("every method of the registry with curvature has its structure here", () => {
  const curved = methods
    .filter(({ kind }) => kind === "natural" || kind === "preconditioned")
    .map(({ name }) => name);
  assert.deepEqual(curved.sort(), Object.keys(structures).sort());
});

for (const method of methods) describe(method.name, () => suite(method));

function suite({ name, kind, likelihood: only }: MethodInfo): void {
  const natural = kind === "natural";
  const optimizer = (options: Options = {}) => createOptimizer(name, { ...training[name], ...options });

  for (const likelihood of ["gaussian", "categorical", "bernoulli"] as const) {
    const skip = only !== undefined && only !== likelihood && `is for the ${only} likelihood`;
    it(`learns the targets of a ${likelihood} batch`, { skip }, async () => {
      const network = small(likelihood);
      const batch = randomBatch(network, 16, 5);
      const trainer = await trainerOf(runtime, network, optimizer());
      const { loss: first } = await trainer.step(batch);
      const expected = kind === "full-batch" ? /^(ok$|converged: )/ : /^ok$/;
      for (let k = 0; k < 80; k++) assert.match((await trainer.step(batch)).status, expected);
      const { loss: last } = await trainer.evaluate(batch);
      assert.ok(last < 0.8 * first, `the loss went from ${first} to ${last}`);
      trainer.dispose();
    });
  }

  if (natural || kind === "preconditioned") describe("direction", () => directions(name));
  else if (kind === "first-order") {
    it("has the gradient as its direction", async () => {
      const network = small("categorical");
      const batch = randomBatch(network, 5, 3);
      const trainer = await trainerOf(runtime, network, optimizer());
      assertSameBits(await trainer.direction(batch), await trainer.gradient(batch));
      assert.deepEqual(trainer.curvature(), []);
      trainer.dispose();
    });
  }

  describe("resumes with the same bits", () => {
    const variants: Record<string, Options> = {
      "as it is": {},
      "with weight decay and a schedule": {
        weightDecay: 0.01,
        learningRate: { schedule: "exponential", initial: 0.05, decay: 0.9, every: 2 },
      },
      "with Nesterov momentum": { momentum: 0.9, nesterov: true },
      ...(kind === "full-batch" ? fullBatchVariants : naturalVariants),
    };
    for (const [title, options] of Object.entries(variants)) {
      if (!takes(name, options)) continue;
      for (const dtype of ["float32", "float64"] as const) {
        it(`${title}, ${dtype}`, async () => {
          const network = small(only ?? "categorical", 4);
          // The second size comes after a refresh by the first and the other way round.
          const sizes = [6, 6, 4, 6, 4, 4, 6, 6];
          const data = sizes.map((samples, k) => randomBatch(network, samples, 10 + k));
          const config = { dtype };
          const create = () => trainerOf(runtime, network, optimizer(options), config);

          const whole = await create();
          const losses: number[] = [];
          // The bytes of a file; files themselves, which wait for the disk, in one variant.
          const checkpoints: (string | Uint8Array)[] = [];
          for (const [k, batch] of data.entries()) {
            const { loss, accepted } = await whole.step(batch);
            if (options.damping === undefined) assert.ok(accepted);
            losses.push(loss);
            const path = join(folder, `${name} ${k}`);
            if (title === "as it is") await whole.save(path);
            checkpoints.push(title === "as it is" ? path : whole.toBytes());
          }
          const used = await create(); // resumes after steps of its own, which must leave no trace
          for (const batch of data) await used.step(batch);
          for (const after of [0, 1, 3, 5]) {
            const fresh = await create();
            for (const trainer of [fresh, used]) {
              await trainer.load(checkpoints[after]);
              for (let k = after + 1; k < data.length; k++) {
                const { loss } = await trainer.step(data[k]);
                assert.equal(loss, losses[k], `step ${k} of a run saved after step ${after}`);
              }
              const where = `saved after step ${after}, ${trainer === used ? "used" : "fresh"} trainer`;
              assertSameBits(trainer.getParameters(), whole.getParameters(), where);
              assert.equal(trainer.progress.step, whole.progress.step);
            }
            fresh.dispose();
          }
          used.dispose();
          whole.dispose();
        });
      }
    }
  });

  it("gives the same bits for the same seed, and others for another", async () => {
    const runs = [];
    for (const seed of [7, 7, 8]) {
      const network = { ...small(only ?? "bernoulli"), seed };
      const extra = takes(name, { fisher: monteCarlo })
        ? { fisher: { type: "monte-carlo", samples: 2 } }
        : {};
      const trainer = await trainerOf(runtime, network, optimizer(extra), { dtype: "float32" });
      for (let k = 0; k < 4; k++) await trainer.step(randomBatch(network, 5, k));
      runs.push(trainer.getParameters());
      trainer.dispose();
    }
    assertSameBits(runs[1], runs[0]);
    assert.notDeepEqual(runs[2].get("0.weight"), runs[0].get("0.weight"));
  });

  it("is close to float64 in float32", async () => {
    const network = small("gaussian");
    // A matrix without full rank has many eigenbases, of which rounding chooses one: SOAP rotates the side that has.
    const options = taken(name, { oneSided: true });
    const results: Float64Array[] = [];
    const double = await trainerOf(runtime, network, optimizer(options), { dtype: "float64" });
    const single = await trainerOf(runtime, network, optimizer(options), { dtype: "float32" });
    single.setParameters(double.getParameters());
    for (const trainer of [double, single]) {
      for (let k = 0; k < 10; k++) await trainer.step(randomBatch(network, 8, k));
      results.push(flatten(layoutOf(trainer.getParameters()), trainer.getParameters()));
      trainer.dispose();
    }
    assertNear(results[1], results[0], 2e-4, "after 10 steps");
  });

  it("takes batches of many sizes in turn like batches of their own", async () => {
    // More sizes than programs are kept for; a second trainer sees the same batches with nothing in its caches.
    const network = small("gaussian");
    const options = taken(name, { refreshEvery: 4, damping: 0.5 });
    const sizes = [1, 2, 3, 4, 5, 6, 7, 8, 9, 1, 5, 2, 5, 3, 5, 1, 9, 2, 1, 4];
    const trainer = await trainerOf(runtime, network, optimizer(options));
    let previous: Trainer | undefined;
    for (const [k, size] of sizes.entries()) {
      const other = await trainerOf(runtime, network, optimizer(options));
      await other.load(trainer.toBytes());
      const batch = randomBatch(network, size, k);
      assert.equal((await trainer.step(batch)).loss, (await other.step(batch)).loss);
      assertSameBits(trainer.getParameters(), other.getParameters(), `step ${k}, batch of ${size}`);
      previous?.dispose();
      previous = other;
    }
    previous?.dispose();
    trainer.dispose();
  });

  describe("stays finite and says why", () => abuse(name, optimizer, natural));

  it("does not leak over 1,000 steps, nor over 50 trainers", async () => {
    const network = small("gaussian");
    const counted = counting(runtime);
    const trainer = await trainerOf(counted, network, optimizer(taken(name, { refreshEvery: 3 })));
    const data = [8, 8, 8, 5].map((samples, k) => randomBatch(network, samples, k));
    const steps = async (count: number) => {
      for (let k = 0; k < count; k++) await trainer.step(data[k % data.length]);
    };
    await steps(200);
    const { loaded } = counted;
    const memory = process.memoryUsage().rss;
    await steps(1000);
    assert.equal(counted.loaded, loaded, "sessions loaded");
    assert.ok(loaded <= 12, `${loaded} sessions`);
    trainer.dispose();
    for (let k = 0; k < 50; k++) {
      const another = await trainerOf(counted, network, optimizer());
      await another.step(data[0]);
      another.dispose();
    }
    await new Promise((resolve) => setTimeout(resolve, 0));
    assert.equal(counted.loaded, 0, "sessions left");
    const grown = (process.memoryUsage().rss - memory) / 2 ** 20;
    assert.ok(grown < 64, `resident memory grew by ${grown} MiB`);
  });

  it("cannot be used once disposed, and says so", async () => {
    const network = small("gaussian");
    const batch = randomBatch(network, 4, 1);
    const trainer = await trainerOf(runtime, network, optimizer());
    await trainer.step(batch);
    trainer.dispose();
    trainer.dispose();
    const message = { name: "RunError", message: "the trainer has been disposed" };
    await assert.rejects(trainer.step(batch), message);
    await assert.rejects(trainer.gradient(batch), message);
    await assert.rejects(trainer.direction(batch), message);
    await assert.rejects(trainer.predict(batch.inputs), message);
    await assert.rejects(trainer.evaluate(batch), message);
    await assert.rejects(trainer.fisher(batch, "exact"), message);
    assert.throws(() => trainer.fit(batch, { epochs: 1 }), message);
  });
}

/** Directions, fresh and stale, against the dense matrix. */
function directions(name: string): void {
  const structure = structures[name];
  const tolerance = 1e-8;
  /** A method without Fisher types has the exact one. */
  const sampled = takes(name, { fisher: monteCarlo });

  for (const likelihood of ["gaussian", "categorical", "bernoulli"] as const) {
    if (structure === "own") break;
    for (const solver of solversOf(name)) {
      const given = solver && { solver };
      it(`of a ${likelihood} batch by ${solver ?? "its own solver"}, every Fisher`, async () => {
        for (const [seed, damping] of [0.01, 1].entries()) {
          const network = small(likelihood, seed);
          const batch = randomBatch(network, network.samples, seed);
          const draws = [20, 21].map((k) => randomBatch(network, network.samples, k).targets);
          for (const [fisher, sampledTargets] of [
            ["empirical", undefined],
            ["improved-empirical", undefined],
            ["exact", undefined],
            [monteCarlo, draws],
          ] as const) {
            if (!sampled && fisher !== "exact") continue;
            const options = { learningRate: 0.1, damping, ...(sampled && { fisher }), ...given };
            const trainer = await trainerOf(runtime, network, createOptimizer(name, options));
            const layout = layoutOf(trainer.getParameters());
            const gradient = flatten(layout, await trainer.gradient(batch));
            const matrix = await trainer.fisher(batch, fisher as never, { sampledTargets });
            const expected = solve(project(matrix, layout, structure, damping), gradient, damping);
            const actual = await trainer.direction(batch, { sampledTargets });
            assertNear(
              flatten(layout, actual),
              expected,
              tolerance,
              `${JSON.stringify(fisher)} λ=${damping}`,
            );
            trainer.dispose();
          }
        }
      });

      it(`of ${likelihood} steps by ${solver ?? "its own solver"} between refreshes`, async () => {
        for (const fisher of ["empirical", "improved-empirical", "exact", monteCarlo] as const) {
          const network = small(likelihood, 2);
          const [damping, learningRate] = [0.1, 0.05];
          if (!sampled && fisher !== "exact") continue;
          const own = { ...(sampled && { fisher }), ...given };
          const options = { learningRate, damping, refreshEvery: 3, momentum: 0, ...own };
          const trainer = await trainerOf(runtime, network, createOptimizer(name, options));
          const layout = layoutOf(trainer.getParameters());
          const noise = new Random(network.seed).fork("targets");
          let kept: Float64Array[] = [];
          for (const [k, samples] of [6, 6, 3, 4, 6, 4, 6].entries()) {
            const batch = randomBatch(network, samples, k);
            if (k % 3 === 0) {
              const sampledTargets = fisher === monteCarlo ? await draw(trainer, network, batch, noise) : [];
              const matrix = await trainer.fisher(batch, fisher as never, { sampledTargets });
              kept = [...project(matrix, layout, structure, damping)];
            }
            const gradient = flatten(layout, await trainer.gradient(batch));
            const before = flatten(layout, trainer.getParameters());
            const { status } = await trainer.step(batch);
            assert.equal(status, "ok");
            const after = flatten(layout, trainer.getParameters());
            const step = before.map((value, p) => (value - after[p]) / learningRate);
            assertNear(
              step,
              solve(kept, gradient, damping),
              tolerance,
              `${JSON.stringify(fisher)} step ${k}`,
            );
          }
          trainer.dispose();
        }
      });
    }
  }

  it("leaves the training state alone", async () => {
    const network = small("categorical");
    const batch = randomBatch(network, 6, 3);
    const solver = takes(name, { solver: "cg" }) && { solver: "cg" };
    const options = { ...taken(name, { refreshEvery: 3 }), ...solver };
    const watched = await trainerOf(runtime, network, createOptimizer(name, options));
    const other = await trainerOf(runtime, network, createOptimizer(name, options));
    for (let k = 0; k < 5; k++) {
      await watched.direction(randomBatch(network, 6, 50 + k));
      await watched.fisher(batch, "exact");
      assert.equal((await watched.step(batch)).loss, (await other.step(batch)).loss);
    }
    assertSameBits(watched.getParameters(), other.getParameters());
    watched.dispose();
    other.dispose();
  });

  it("refuses sampled targets that do not fit", { skip: !sampled && "draws no targets" }, async () => {
    const network = small("gaussian");
    const batch = randomBatch(network, 6, 3);
    const trainer = await trainerOf(runtime, network, createOptimizer(name, { fisher: monteCarlo }));
    const [one, short] = [randomBatch(network, 6, 4).targets, randomBatch(network, 5, 4).targets];
    for (const sampledTargets of [[], [short], [one, short]]) {
      await assert.rejects(trainer.direction(batch, { sampledTargets }), isOneLine);
      await assert.rejects(trainer.fisher(batch, monteCarlo as never, { sampledTargets }), isOneLine);
    }
    trainer.dispose();
  });

  it("lists every parameter in the curvature report", async () => {
    const network = small("gaussian");
    for (const options of [{}, ...solversOf(name).map((solver) => solver && { solver })]) {
      const trainer = await trainerOf(runtime, network, createOptimizer(name, options));
      const rows = trainer.curvature(6);
      assert.deepEqual(
        rows.flatMap(({ parameters }) => parameters),
        [...trainer.getParameters().keys()],
      );
      for (const { memoryBytes, dimension } of rows) assert.ok(memoryBytes > 0 && dimension > 0);
      trainer.dispose();
    }
  });
}

/** The targets that a trainer's next refresh will draw. */
async function draw(trainer: Trainer, { likelihood, outputs }: Network, batch: Batch, noise: Random) {
  const samples = batch.inputs.shape[0];
  const { kind, shape } = likelihood.noise(samples, outputs);
  const f = await trainer.predict(batch.inputs);
  const draws: Tensor[] = [];
  for (let k = 0; k < monteCarlo.samples; k++) {
    const size = shape.reduce((a, b) => a * b, 1);
    const data = Array.from({ length: size }, () => (kind === "normal" ? noise.normal() : noise.uniform()));
    const drawn = likelihood.sample(constant(f.data, f.shape, "float64"), constant(data, shape, "float64"));
    draws.push((await evaluate(runtime, { drawn })).drawn);
  }
  return draws;
}

/** Whatever happens: parameters stay finite, a rejected step changes no bit, and the status is a sentence. */
function abuse(
  name: string,
  optimizer: (options?: Options) => ReturnType<typeof createOptimizer>,
  natural: boolean,
): void {
  const regression = (layers = [dense(4), tanh(), dense(2)]) => ({
    model: sequential(layers),
    likelihood: gaussian(),
    inputShape: [3],
    outputs: 2,
    seed: 1,
  });
  const filled = (value: number, samples = 6): Batch => {
    const { targets } = randomBatch(regression(), samples, 1);
    return { inputs: tensor(new Float64Array(3 * samples).fill(value), [samples, 3]), targets };
  };
  const duplicated = (): Batch => {
    const { inputs, targets } = randomBatch(regression(), 1, 1);
    const repeat = ({ data }: Tensor, width: number) =>
      tensor(
        Float64Array.from({ length: 6 * width }, (_, k) => data[k % width]),
        [6, width],
      );
    return { inputs: repeat(inputs, 3), targets: repeat(targets, 2) };
  };
  const dead = sequential([dense(4), relu(), dense(2)]);

  async function survives(
    network: ReturnType<typeof regression>,
    batch: Batch,
    options: Options,
    dtype: "float32" | "float64",
    setup?: (trainer: Trainer) => void,
  ): Promise<string[]> {
    const trainer = await trainerOf(runtime, network, optimizer(options), { dtype });
    setup?.(trainer);
    const statuses: string[] = [];
    for (let k = 0; k < 12; k++) {
      const before = trainer.getParameters();
      const { accepted, status, stepNorm } = await trainer.step(batch);
      assertFinite(trainer.getParameters(), `step ${k}, ${status}`);
      assert.match(status, /^[^\n]+$/);
      assert.equal(accepted, !status.startsWith("rejected: "));
      assert.ok(Number.isFinite(stepNorm));
      if (!accepted) assertSameBits(trainer.getParameters(), before, status);
      statuses.push(status);
    }
    trainer.dispose();
    return statuses;
  }

  const variants: [string, Options][] = [
    ["defaults", {}],
    ["dense", { solver: "dense" }],
    ["conjugate gradients", { solver: "cg" }],
    ["stale", { refreshEvery: 3 }],
    ["Monte-Carlo", { fisher: "monte-carlo" }],
    ["improved empirical", { fisher: "improved-empirical" }],
    ["Levenberg-Marquardt", { damping: levenbergMarquardt, refreshEvery: 3 }],
  ];
  for (const [title, options] of variants) {
    if (!takes(name, options)) continue;
    for (const dtype of ["float32", "float64"] as const) {
      it(`${title}, ${dtype}`, async () => {
        const plain = randomBatch(regression(), 6, 1);
        await survives(regression(), filled(0), options, dtype);
        await survives(regression(), filled(1), options, dtype);
        await survives(regression(), duplicated(), options, dtype);
        await survives(regression(), randomBatch(regression(), 1, 1), options, dtype);
        await survives(regression(), plain, { ...options, learningRate: 1e6 }, dtype);
        await survives({ ...regression(), model: dead }, plain, options, dtype, (trainer) => {
          trainer.setParameters({ "0.bias": tensor(new Float64Array(4).fill(-100)) });
        });
        for (const size of [1e4, 1e15, 1e30]) {
          await survives(regression([dense(2)]), filled(size), options, dtype);
          await survives({ ...regression(), model: dead }, filled(-size), options, dtype);
        }
        if (takes(name, { damping: 0 }) && options.damping === undefined) {
          for (const batch of [plain, duplicated(), filled(1)]) {
            await survives(regression(), batch, { ...options, damping: 1e-12 }, dtype);
          }
        }
      });
    }
  }

  it("names the sample that is not finite", async () => {
    for (const value of [Number.NaN, Number.POSITIVE_INFINITY]) {
      const batch = randomBatch(regression(), 6, 1);
      batch.inputs.data[7] = value;
      const statuses = await survives(regression(), batch, {}, "float32");
      assert.equal(statuses[0], `rejected: the inputs hold ${value} (sample 2)`);
    }
  });

  it("recovers after a rejected step as if it had not been", async () => {
    const network = regression();
    const options = taken(name, { refreshEvery: 2 });
    const [disturbed, other] = [
      await trainerOf(runtime, network, optimizer(options)),
      await trainerOf(runtime, network, optimizer(options)),
    ];
    const broken = filled(Number.NaN);
    for (let k = 0; k < 4; k++) {
      const batch = randomBatch(network, 6, k);
      if (k % 2 === 0) assert.equal((await disturbed.step(broken)).accepted, false);
      const [a, b] = [await disturbed.step(batch), await other.step(batch)];
      assert.deepEqual(a, b);
    }
    assertSameBits(disturbed.getParameters(), other.getParameters());
    assert.equal(disturbed.progress.step, 4);
    disturbed.dispose();
    other.dispose();
  });

  if (natural && !takes(name, { warmStart: 1 })) {
    it("refuses damping 0 where a block is singular, in words", async () => {
      for (const solver of solversOf(name).filter((solver) => solver !== "cg")) {
        const options = { damping: 0, ...(solver && { solver }) };
        const layers = [dense(4), tanh(), dense(4), tanh(), dense(2)];
        const statuses = await survives(regression(layers), filled(0), options, "float64");
        for (const status of statuses)
          assert.match(status, /^rejected: .*damping 0 needs blocks that are not singular/);
      }
    });
  }
}
