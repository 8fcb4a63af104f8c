/**
 * natgrad as a contender: `trainer.step(batch)` through the public interface.
 *
 * Usage: node --import tsx bench/natgrad.ts PROBLEM [--source]
 */
import { pathToFileURL } from "node:url";
import { inputShape, type LoadedProblem, readProblem } from "./problem.ts";
import { serve } from "./serve.ts";

export type Natgrad = typeof import("../src/index.ts");
type LinearAlgebra = typeof import("../src/linalg/index.ts");

type Runtimes = typeof import("../src/runtime/index.ts");

/** natgrad as it is shipped, or from its source. */
export function loadNatgrad(source: boolean): Promise<Natgrad> {
  return import(new URL(source ? "../src/index.ts" : "../dist/index.js", import.meta.url).href);
}

export function loadRuntimes(source: boolean): Promise<Runtimes> {
  return import(
    new URL(source ? "../src/runtime/index.ts" : "../dist/runtime/index.js", import.meta.url).href
  );
}

function loadLinearAlgebra(source: boolean): Promise<LinearAlgebra> {
  return import(new URL(source ? "../src/linalg/index.ts" : "../dist/linalg/index.js", import.meta.url).href);
}

type Trainer = Awaited<ReturnType<Natgrad["createTrainer"]>>;
type Optimizer = Parameters<Natgrad["createTrainer"]>[0]["optimizer"];
type Placement = Parameters<Natgrad["createTrainer"]>[1];

/** A trainer at the problem's weights, and a function that takes a step on its batch. */
export async function prepareSteps(
  natgrad: Natgrad,
  problem: LoadedProblem,
  optimizer: Optimizer,
  placement?: Placement,
) {
  const { widths, task, layers, samples, inputs, targets } = problem;
  const likelihood = task === "classification" ? natgrad.categorical() : natgrad.gaussian();
  const shape = inputShape(problem);
  const model = natgrad.sequential(createLayers(natgrad, problem));
  const config = { model, likelihood, optimizer, inputShape: shape, batchSize: samples };
  const trainer: Trainer = await natgrad.createTrainer(config, placement);
  const initial = layers.flatMap(({ shape, weight, bias }) => {
    return [natgrad.tensor(weight, shape), natgrad.tensor(bias, [shape[0]])];
  });
  // In the order of the layers, each with its weight first.
  const names = [...trainer.getParameters().keys()];
  trainer.setParameters(new Map(names.map((name, k) => [name, initial[k]])));
  const batch = {
    inputs: natgrad.tensor(inputs, [samples, ...shape]),
    targets:
      task === "classification"
        ? natgrad.tensor(Int32Array.from(targets), [samples])
        : natgrad.tensor(targets, [samples, widths[widths.length - 1]]),
  };
  return { trainer, step: () => trainer.step(batch) };
}

function createLayers(natgrad: Natgrad, { convolutions, widths, activation }: LoadedProblem) {
  const units = widths.slice(1);
  const dense = units.flatMap((count, l) =>
    l === 0 ? [natgrad.dense(count)] : [natgrad[activation](), natgrad.dense(count)],
  );
  if (!convolutions) return dense;
  const { filters, pool } = convolutions;
  const convolutional = filters.flatMap((count) => [
    natgrad.conv2d(count, { kernel: 3, padding: 1 }),
    natgrad[activation](),
  ]);
  return [...convolutional, natgrad.maxPool(pool), natgrad.flatten(), ...dense];
}

function createOptimizer(natgrad: Natgrad, problem: LoadedProblem) {
  const { optimizer, learningRate, momentum, damping, period: refreshEvery } = problem;
  switch (optimizer) {
    case "sgd":
      return natgrad.sgd({ learningRate, momentum });
    case "adam":
      return natgrad.adam({ learningRate });
    case "tengrad":
      return natgrad.tengrad({ learningRate, momentum, damping, refreshEvery });
    case "kfac": {
      // The factors are those of the refresh batch alone, as in peers/pytorch.py.
      const statistics = { fisher: "empirical", statisticsEvery: refreshEvery, decay: 0 } as const;
      return natgrad.kfac({ learningRate, momentum, damping, refreshEvery, ...statistics });
    }
  }
}

async function main([path, ...flags]: string[]): Promise<void> {
  const source = flags.includes("--source");
  const natgrad = await loadNatgrad(source);
  const { lapackInfo } = await loadLinearAlgebra(source);
  const problem = readProblem(path);
  const { trainer, step } = await prepareSteps(natgrad, problem, createOptimizer(natgrad, problem));
  const { library, version, reason } = lapackInfo();
  const lapack = library === undefined ? `no LAPACK (${reason})` : `LAPACK ${version ?? library}`;
  const description = [...trainer.describe(), lapack].join(", ");
  const { period, refreshEvery } = problem;
  await serve(description, async () => (await step()).loss, period, { refreshEvery });
  trainer.dispose();
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) await main(process.argv.slice(2));
