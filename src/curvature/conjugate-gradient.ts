/**
 * Iterative solve of a block: (F + λI) δθ = g by conjugate gradients, F v = (1/N) Sᵀ(S v) from the layers' factors.
 *
 * Needs neither the (M, M) nor the (P, P) matrix. Started from the last solution times `warmStart` [Martens10], stopped
 * by relative residual, relative progress or iteration cap; a stop at the cap is reported.
 *
 * | symbol   | slot                   | shape          |
 * | -------- | ---------------------- | -------------- |
 * | a_l, δ_l | `inputs.l`, `deltas.l` | (N, F), (M, O) |
 * | g        | `gradient`             | (P)            |
 * | δθ       | `solution`             | (P)            |
 */
import {
  cutVector,
  joinVectors,
  type LayerScores,
  type LayerVector,
  type Scores,
  scoreProduct,
  totalDimension,
  transposedProduct,
} from "../fisher/index.ts";
import { add, multiply, type SymbolicTensor } from "../graph/index.ts";
import { type ConjugateGradientResult, conjugateGradient } from "../linalg/index.ts";
import { bytesPerElement, type TypedArray } from "../tensor.ts";
import type { CurvatureBlock, RefreshOutcome, SlotArrays, SlotSymbols } from "./block.ts";
import { blockParameters } from "./partition.ts";

export interface ConjugateGradientOptions {
  /** Iteration cap; default 250. */
  readonly iterations?: number;
  /** Relative residual to stop at; default 1e-10 in float64, 1e-5 in float32. */
  readonly tolerance?: number;
  /** ε of the relative-progress test [Martens10 §4.4], 5e-4 in the paper; default: the test is not made. */
  readonly relativeProgress?: number;
  /** Factor on the last solution as the starting point; default 0.95. */
  readonly warmStart?: number;
}

/** What a block is solved from by repeated products. */
export interface MatrixProducts {
  /** P. */
  readonly dimension: number;
  /** A flat vector (P) layer by layer, as {@link joinVectors} joined it. */
  cut(vector: SymbolicTensor): LayerVector[];
  /** Traced at a refresh; every entry becomes a slot of its name. */
  readonly statistics: SlotSymbols;
  /** F̃·v for a flat vector (P), traced. */
  operator(vector: SymbolicTensor, slots: SlotSymbols): SymbolicTensor;
  /** The diagonal of a preconditioner, (P), all positive. */
  diagonal?(slots: SlotArrays, damping: number): Float64Array;
}

/** The block of the score matrix, F v = (1/N) Sᵀ(S v). */
export function conjugateGradientBlock(
  structure: string,
  { layers, samples }: Scores,
  options: ConjugateGradientOptions,
): CurvatureBlock {
  const statistics: Record<string, SymbolicTensor> = {};
  layers.forEach((layer, l) => {
    statistics[`inputs.${l}`] = layer.inputs;
    statistics[`deltas.${l}`] = layer.deltas;
  });
  const kept = (slots: SlotSymbols): LayerScores[] =>
    layers.map((layer, l) => ({ ...layer, inputs: slots[`inputs.${l}`], deltas: slots[`deltas.${l}`] }));
  return iterativeBlock(structure, layers, options, {
    dimension: totalDimension(layers),
    cut: (vector) => cutVector(layers, vector),
    statistics,
    operator(vector, slots) {
      const scores = kept(slots);
      const parts = cutVector(layers, vector);
      const product = scores.map((layer, l) => scoreProduct(layer, parts[l])).reduce(add);
      const weights = multiply(product, 1 / samples);
      return joinVectors(scores.map((layer) => transposedProduct(layer, weights)));
    },
  });
}

/** The block of some layers with a matrix that is known by its products. */
export function iterativeBlock(
  structure: string,
  layers: readonly Pick<LayerScores, "layer" | "weight" | "bias" | "deltas">[],
  options: ConjugateGradientOptions,
  { dimension, cut, statistics, operator, diagonal }: MatrixProducts,
): CurvatureBlock {
  const { dtype } = layers[0].deltas;
  const { iterations = 250, warmStart = 0.95, relativeProgress } = options;
  const tolerance = options.tolerance ?? (dtype === "float64" ? 1e-10 : 1e-5);
  const solutionOf = (slots: SlotSymbols) => cut(slots.solution);
  const kept = Object.values(statistics).reduce((total, { size }) => total + size, 0);

  return {
    layers,
    report: {
      parameters: blockParameters(layers),
      structure,
      solver: `conjugate gradients (at most ${iterations} iterations)`,
      dimension,
      memoryBytes: bytesPerElement(dtype) * (kept + 2 * dimension) + 8 * 5 * dimension,
    },
    statistics,
    refreshed: {
      gradient: { shape: [dimension], dtype },
      solution: { shape: [dimension], dtype },
    },
    memory: ["solution"],
    refresh: (_, { damping }) => ({ damping, retries: 0 }),
    fresh: solutionOf,
    stale: (_, slots) => solutionOf(slots),
    iterative: {
      flatten: joinVectors,
      operator,
      async solve(apply, slots, damping) {
        const initial = scaled(slots.solution, warmStart);
        const result = await conjugateGradient(apply, new Float64Array(slots.gradient), {
          maxIterations: iterations,
          tolerance,
          relativeProgress,
          initial,
          shift: damping,
          preconditioner: diagonal && dividing(diagonal(slots, damping)),
        });
        const ended = describe(result, iterations);
        if (ended.failure === undefined) slots.solution.set(result.solution); // else the last start stays good
        return { damping, retries: 0, ...ended };
      },
    },
  };
}

function scaled(vector: TypedArray, factor: number): Float64Array {
  const result = new Float64Array(vector);
  for (let k = 0; k < result.length; k++) result[k] *= factor;
  return result;
}

/** v ↦ v/d elementwise, into one array. */
function dividing(divisor: Float64Array): (vector: Float64Array) => Float64Array {
  const result = new Float64Array(divisor.length);
  return (vector) => {
    for (let k = 0; k < result.length; k++) result[k] = vector[k] / divisor[k];
    return result;
  };
}

/** A solve that ran out of iterations is used and reported; one that broke down is not used. */
function describe(
  { status }: ConjugateGradientResult,
  iterations: number,
): Pick<RefreshOutcome, "note" | "failure"> {
  if (status === "converged" || status === "no more progress") return {};
  if (status === "iteration limit reached") {
    return { note: `conjugate gradients stopped after ${iterations} iterations` };
  }
  return { failure: `conjugate gradients broke down: ${status}` };
}
