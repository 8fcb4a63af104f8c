/** Directions of a method with curvature: against the dense matrix, without traces, refused in words, reported. */
import assert from "node:assert/strict";
import { it } from "node:test";
import { constant } from "../../src/graph/index.ts";
import { type Batch, createOptimizer, Random, type Tensor, type Trainer } from "../../src/index.ts";
import { evaluate } from "../../src/runtime/program.ts";
import type { Runtime } from "../../src/runtime/session.ts";
import { assertSameBits, isOneLine, type Network, randomBatch, solversOf, trainerOf } from "./networks.ts";
import { assertNear, flatten, layoutOf, project, type StructureName, solve } from "./reference.ts";
import { monteCarlo, small, taken, takes } from "./settings.ts";

/** The structure of each method with curvature, `"own"` where it is no cut of the Fisher matrix: the line that a new method adds. */
export const structures: Record<string, StructureName | "own"> = {
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

/** Directions, fresh and stale, against the dense matrix. */
export function directions(name: string, runtime: () => Runtime): void {
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
            const trainer = await trainerOf(runtime(), network, createOptimizer(name, options));
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
          const trainer = await trainerOf(runtime(), network, createOptimizer(name, options));
          const layout = layoutOf(trainer.getParameters());
          const noise = new Random(network.seed).fork("targets");
          let kept: Float64Array[] = [];
          for (const [k, samples] of [6, 6, 3, 4, 6, 4, 6].entries()) {
            const batch = randomBatch(network, samples, k);
            if (k % 3 === 0) {
              const sampledTargets =
                fisher === monteCarlo ? await draw(runtime(), trainer, network, batch, noise) : [];
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
    const watched = await trainerOf(runtime(), network, createOptimizer(name, options));
    const other = await trainerOf(runtime(), network, createOptimizer(name, options));
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
    const trainer = await trainerOf(runtime(), network, createOptimizer(name, { fisher: monteCarlo }));
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
      const trainer = await trainerOf(runtime(), network, createOptimizer(name, options));
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
async function draw(
  runtime: Runtime,
  trainer: Trainer,
  { likelihood, outputs }: Network,
  batch: Batch,
  noise: Random,
) {
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
