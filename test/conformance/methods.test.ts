/** What every optimizer must do, whatever its mathematics: one suite over the registry. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { createOptimizer, type MethodInfo, methods, type Trainer } from "../../src/index.ts";
import { openRuntime } from "../../src/runtime/runtime.ts";
import type { Runtime } from "../../src/runtime/session.ts";
import { shareSessions } from "../../src/runtime/session-cache.ts";
import { directions, structures } from "./directions.ts";
import { assertSameBits, counting, randomBatch, trainerOf } from "./networks.ts";
import { assertNear, flatten, layoutOf } from "./reference.ts";
import { abuse } from "./rough-input.ts";
import { levenbergMarquardt, monteCarlo, type Options, small, taken, takes } from "./settings.ts";

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

  if (natural || kind === "preconditioned") describe("direction", () => directions(name, () => runtime));
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

  describe("stays finite and says why", () => abuse(name, optimizer, natural, () => runtime));

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
