/** What the growth of cost is measured on: the methods, under the same conditions, and the network. */
import { UsageError } from "../errors.ts";
import { categorical, dense, type Model, sequential, tanh } from "../nn/index.ts";
import type { Optimizer } from "../optimizers/index.ts";
import { createOptimizer, type MethodOptions } from "../optimizers/registry.ts";

/** Small, so that the hidden layers decide what a step costs. */
export const INPUTS = 16;
export const CLASSES = 10;

/** Small steps, well damped: what is measured must not depend on how training goes. */
const COMMON = { learningRate: 1e-3, damping: 0.1, momentum: 0 };

/** The registry's name of each method, and what makes it this one; the Fisher matrix is the empirical one wherever there is a choice. */
const definitions: Readonly<Record<string, { name: string; options: MethodOptions }>> = {
  sgd: { name: "sgd", options: { learningRate: 1e-3, momentum: 0 } },
  "exact-dense": { name: "exactNgd", options: { ...COMMON, fisher: "empirical", solver: "dense" } },
  "exact-gram": { name: "exactNgd", options: { ...COMMON, fisher: "empirical", solver: "gram" } },
  "blockwise-dense": {
    name: "blockDiagonalNgd",
    options: { ...COMMON, fisher: "empirical", solver: "dense" },
  },
  tengrad: { name: "tengrad", options: { ...COMMON, fisher: "empirical" } },
  kfac: { name: "kfac", options: { ...COMMON, fisher: "empirical" } },
  ekfac: { name: "ekfac", options: { ...COMMON, fisher: "empirical" } },
  kbfgs: { name: "kbfgs", options: COMMON },
};

/** Names of the methods measured, in the order of tables and colors. */
export const growthMethods: readonly string[] = Object.keys(definitions);

/** @throws UsageError for a method that is not measured */
export function growthOptimizer(method: string): Optimizer {
  const definition = Object.hasOwn(definitions, method) ? definitions[method] : undefined;
  if (definition === undefined) {
    throw new UsageError(`invalid --methods: ${method} (must be of ${growthMethods.join(", ")})`);
  }
  return createOptimizer(definition.name, definition.options);
}

/** INPUTS – width – … – width – CLASSES, with `depth` hidden layers of tanh. */
export function growthModel(width: number, depth: number): Model {
  const hidden = Array.from({ length: depth }, () => [dense(width), tanh()]);
  return sequential([...hidden.flat(), dense(CLASSES)]);
}

export const growthLikelihood = categorical();
