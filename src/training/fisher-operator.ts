/**
 * The Fisher matrix of a batch as a linear operator: its products with vectors, without the matrix and without a score row.
 *
 *   F v = (1/N) Jᵀ H (J v),   H = Σ_k s_k s_kᵀ of each sample          [Martens10; Martens20 §5 and §8]
 *
 * with the scores s_k (C) at the outputs that `outputScores` has for every Fisher type: a Jacobian-vector product and a
 * vector-Jacobian product, whatever the network and the number of parameters are.
 */
import type { CurvatureRow } from "../curvature/report.ts";
import { type FisherOption, outputScores, parseFisher } from "../fisher/index.ts";
import { add, input, jvp, multiply, sum, vjp, zerosLike } from "../graph/index.ts";
import type { Batch, DirectionOptions, Problem } from "../optimizers/optimizer.ts";
import { BatchFunction } from "../optimizers/program/batch-function.ts";
import type { DoubleBuffer } from "../optimizers/program/double-buffer.ts";
import { type NamedTensors, type NamedTensorsLike, sizeOf, type Tensor } from "../tensor.ts";
import { requireDraws } from "./batch-fisher.ts";
import { checkNamed } from "./named-state.ts";

/** A symmetric matrix over all parameters, known by its products with vectors. */
export interface LinearOperator {
  /**
   * @param vector by parameter name and in the parameters' shapes; parameters that are not named count as zero
   * @returns the product, in new arrays; parameters that are not named in it have zeros
   * @throws UsageError for a name, a shape or a number that is none of the model's
   */
  apply(vector: NamedTensorsLike): Promise<NamedTensors>;
  /** Releases programs and memory. */
  dispose(): void;
}

/** The inverse that a method has of its own approximation of the Fisher matrix. */
export interface Preconditioner extends LinearOperator {
  /** λ: the one asked for, or a multiple of it where a factorization failed. */
  readonly damping: number;
  /** What the refresh had to say, in words. */
  readonly note?: string;
  /** How each block is approximated. */
  readonly curvature: readonly CurvatureRow[];
}

/** Use `Trainer.fisherOperator`. */
export function fisherOperator(
  problem: Problem,
  state: DoubleBuffer,
  batch: Batch,
  option: FisherOption,
  { sampledTargets = [] }: DirectionOptions,
): LinearOperator {
  const { model, likelihood } = problem;
  const fisher = { ...parseFisher(option), draws: sampledTargets.length };
  requireDraws(fisher.type, sampledTargets);
  const vectorInput = (name: string) => `vector/${name}`;
  const drawn = sampledTargets.map((_, k) => `sampled/${k}`);
  const product = new BatchFunction(
    problem,
    state,
    ({ forward, targets, parameters, samples }) => {
      const nodes = drawn.map((name) => input(name, targets.shape, targets.dtype));
      const { seeds } = outputScores(forward, likelihood, targets, fisher, nodes);
      const { outputs } = forward;
      const [names, values] = [[...parameters.keys()], [...parameters.values()]];
      const vector = values.map(({ shape, dtype }, k) => input(vectorInput(names[k]), shape, dtype));
      const [change] = jvp([outputs], values, vector);
      const weighted = seeds
        .map((seed) => multiply(seed, sum(multiply(seed, change), [1], true)))
        .reduce(add, zerosLike(outputs));
      const products = vjp([outputs], [multiply(weighted, 1 / samples)], values);
      return Object.fromEntries(products.map((value, k) => [names[k], value]));
    },
    new Map(drawn.map((name, k) => [name, sampledTargets[k]])),
  );
  const zeros = new Map(
    [...model.parameters].map(([name, { shape }]) => [vectorInput(name), new Float64Array(sizeOf(shape))]),
  );
  return {
    async apply(vector) {
      const given = checkNamed({ kind: "parameter", specs: model.parameters }, vector);
      const values = new Map<string, Tensor["data"]>(zeros);
      for (const [name, { data }] of given) values.set(vectorInput(name), data);
      return new Map(Object.entries(await product.call(batch, Object.fromEntries(values))));
    },
    dispose: () => product.dispose(),
  };
}
