/** Directions, Fisher matrices and trajectories against an independent float64 implementation. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import * as natgrad from "../../src/index.ts";
import { openRuntime } from "../../src/runtime/runtime.ts";
import type { Runtime } from "../../src/runtime/session.ts";
import { createTrainer } from "../../src/training/create-trainer.ts";
import type { Trainer } from "../../src/training/trainer.ts";
import { solversOf } from "./networks.ts";
import { loadOracles, type Oracle, oracleSkip, relativeError, toTargets, toTensor } from "./oracle-files.ts";

const TOLERANCE = 1e-8;

type Preset = (options: never) => natgrad.Optimizer;

/** Our preset for an oracle's method; `undefined` for methods that are not built yet. */
function presetOf(method: string): Preset | undefined {
  const presets: Record<string, Preset> = {
    sgd: natgrad.sgd,
    nesterov: ((rest: object) => natgrad.sgd({ ...rest, nesterov: true } as natgrad.SgdOptions)) as Preset,
    rmsprop: natgrad.rmsprop,
    adam: natgrad.adam,
    adamw: natgrad.adamw,
    exact: natgrad.exactNgd,
    tengrad: natgrad.tengrad,
    kbfgs: natgrad.kbfgs,
    kfac: natgrad.kfac,
    ekfac: natgrad.ekfac,
    diagonal: natgrad.diagonalNgd,
    quasiDiagonal: natgrad.quasiDiagonalNgd,
    unitwise: natgrad.unitwiseNgd,
    layerwise: natgrad.layerwiseNgd,
  };
  return presets[method];
}

describe("oracles", { skip: oracleSkip }, () => {
  let runtime: Runtime;
  before(async () => {
    runtime = await openRuntime();
  });
  after(() => runtime?.dispose());

  const trainerOf = async (oracle: Oracle, optimizer: natgrad.Optimizer): Promise<Trainer> => {
    const { model, inputShape, likelihood } = oracle;
    const trainer = await createTrainer(
      { model, inputShape, likelihood, optimizer, dtype: "float64" },
      { runtime },
    );
    trainer.setParameters(oracle.parameters);
    return trainer;
  };

  for (const oracle of loadOracles("")) {
    describe(oracle.name, () => {
      it("outputs, loss and gradient", async () => {
        const trainer = await trainerOf(oracle, natgrad.sgd({ learningRate: 0.1 }));
        const outputs = new Map([["f", await trainer.predict(oracle.batch.inputs)]]);
        assert.ok(relativeError(outputs, { f: oracle.expected.outputs }) < TOLERANCE);
        const { loss } = await trainer.evaluate(oracle.batch);
        assert.ok(Math.abs(loss / oracle.expected.loss - 1) < TOLERANCE);
        const gradient = await trainer.gradient(oracle.batch);
        assert.ok(relativeError(gradient, oracle.expected.gradient) < TOLERANCE);
        trainer.dispose();
      });

      it("Fisher matrices", { skip: oracle.expected.fisher ? false : "none stored" }, async () => {
        const trainer = await trainerOf(oracle, natgrad.sgd({ learningRate: 0.1 }));
        const stored = oracle.expected.fisher!;
        const samples = oracle.sampledTargets.length;
        const matrices = new Map([
          ["empirical", await trainer.fisher(oracle.batch, "empirical")],
          ["exact", await trainer.fisher(oracle.batch, "exact")],
          ["monteCarlo", await trainer.fisher(oracle.batch, { type: "monte-carlo", samples }, oracle)],
        ]);
        for (const [name, matrix] of matrices) {
          const error = relativeError(new Map([[name, matrix]]), { [name]: stored[name as "exact"] });
          assert.ok(error < TOLERANCE, `${name}: ${error}`);
        }
        trainer.dispose();
      });

      for (const { method, options, direction } of oracle.expected.directions) {
        const preset = presetOf(method);
        if (!preset) continue;
        const { name } = preset(options as never);
        for (const solver of solversOf(name)) {
          it(`${method} ${JSON.stringify({ ...options, sigma: undefined })} by ${solver ?? "its own solver"}`, async () => {
            const optimizer = preset({ ...(solver && { solver }), ...options } as never);
            const trainer = await trainerOf(oracle, optimizer);
            const { sampledTargets } = oracle;
            const actual = await trainer.direction(oracle.batch, { sampledTargets });
            const error = relativeError(actual, direction);
            assert.ok(error < TOLERANCE, `relative error ${error}`);
            trainer.dispose();
          });
        }
      }

      for (const { optimizer: method, options, losses, parameters } of oracle.trajectories ?? []) {
        const preset = presetOf(method);
        if (!preset) continue;
        it(`trajectory of ${method} ${JSON.stringify(options)}`, async () => {
          const trainer = await trainerOf(oracle, preset(options as never));
          const classes = oracle.likelihood.name === "categorical";
          for (const [k, batch] of oracle.batches!.entries()) {
            const { loss, accepted } = await trainer.step({
              inputs: toTensor(batch.inputs),
              targets: toTargets(batch.targets, classes),
            });
            assert.ok(accepted);
            assert.ok(Math.abs(loss / losses[k] - 1) < TOLERANCE, `loss ${k}: ${loss}, not ${losses[k]}`);
          }
          const error = relativeError(trainer.getParameters(), parameters);
          assert.ok(error < TOLERANCE, `relative error ${error}`);
          trainer.dispose();
        });
      }
    });
  }
});
