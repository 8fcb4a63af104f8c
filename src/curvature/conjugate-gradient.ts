/**
 * Iterative solve of a block: (F̃ + λI) δθ = g by preconditioned conjugate gradients, F̃ known by its products with vectors;
 * for a score matrix F v = (1/N) Sᵀ(S v) from the layers' factors.
 *
 *   α = rᵀM⁻¹r / pᵀ(F̃ + λI)p,   x ← x + αp,   r ← r − α(F̃ + λI)p,   p ← M⁻¹r + (rᵀM⁻¹r / its last value) p
 *
 * Needs neither the (M, M) nor the (P, P) matrix. The vectors stay in the programs' memory, in the model's dtype; the host
 * reads a few numbers of each iteration (`linalg/conjugate-gradient.ts`, Golub & Van Loan algorithm 11.5.1). pᵀF̃p is summed
 * over the rows Sp, so that α is known before the product comes back through the network, and scales it there.
 * Started from the last solution times `warmStart` [Martens10], stopped by relative residual, relative progress or
 * iteration cap; a stop at the cap is reported.
 *
 * | symbol     | tensor                                      | shape          |
 * | ---------- | ------------------------------------------- | -------------- |
 * | a_l, δ_l   | slots `inputs.l`, `deltas.l`                | (N, F), (M, O) |
 * | g, δθ      | slots `gradient`, `solution`                | (P)            |
 * | λ          | slot `damping`                              | ()             |
 * | M          | slot `divisor`, its diagonal                | (P)            |
 * | x, r, p    | iterates `solution`, `residual`, `direction` | (P)           |
 * | rᵀM⁻¹r     | iterate `weight`                            | ()             |
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
import {
  add,
  divide,
  multiply,
  type SymbolicTensor,
  scalar,
  square,
  squaredNorm,
  subtract,
  sum,
} from "../graph/index.ts";
import { type ConjugateGradientStatus, type Recurrence, runRecurrence } from "../linalg/index.ts";
import { bytesPerElement } from "../tensor.ts";
import type {
  CurvatureBlock,
  Iterations,
  IterativeSolve,
  RefreshOutcome,
  SlotArrays,
  SlotSymbols,
} from "./block.ts";
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

/** F̃v in two halves: there, and back. */
export interface MatrixProduct {
  /** vᵀF̃v. */
  readonly curvature: SymbolicTensor;
  /** scale · F̃v, (P). */
  back(scale: SymbolicTensor): SymbolicTensor;
}

/** What a block is solved from by repeated products. */
export interface MatrixProducts {
  /** P. */
  readonly dimension: number;
  /** A flat vector (P) layer by layer, as {@link joinVectors} joined it. */
  cut(vector: SymbolicTensor): LayerVector[];
  /** Traced at a refresh; every entry becomes a slot of its name. */
  readonly statistics: SlotSymbols;
  /** The product with a flat vector (P), traced. */
  operator(vector: SymbolicTensor, slots: SlotSymbols): MatrixProduct;
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
      return {
        curvature: multiply(squaredNorm(product), 1 / samples),
        back(scale) {
          const weights = multiply(product, multiply(scale, 1 / samples));
          return joinVectors(scores.map((layer) => transposedProduct(layer, weights)));
        },
      };
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
  const rules = { maxIterations: iterations, tolerance, relativeProgress };
  const solutionOf = (slots: SlotSymbols) => cut(slots.solution);
  const kept = Object.values(statistics).reduce((total, { size }) => total + size, 0);
  const vector = { shape: [dimension], dtype };
  const number = { shape: [], dtype };
  const slotVectors = diagonal ? 3 : 2;

  return {
    layers,
    report: {
      parameters: blockParameters(layers),
      structure,
      solver: `conjugate gradients (at most ${iterations} iterations)`,
      dimension,
      memoryBytes: bytesPerElement(dtype) * (kept + (slotVectors + 2 * ITERATE_VECTORS) * dimension),
    },
    statistics,
    refreshed: { gradient: vector, solution: vector, damping: number, ...(diagonal && { divisor: vector }) },
    memory: ["solution"],
    refresh: (_, { damping }) => ({ damping, retries: 0 }),
    fresh: solutionOf,
    stale: (_, slots) => solutionOf(slots),
    iterative: {
      flatten: joinVectors,
      iterates: {
        ...{ solution: vector, residual: vector, direction: vector },
        ...Object.fromEntries(NUMBERS.map((name) => [name, number])),
      },
      ...tracedRecurrence(operator, warmStart, relativeProgress !== undefined),
      async solve(programs, slots, damping) {
        slots.damping[0] = damping;
        if (diagonal) slots.divisor.set(diagonal(slots, damping));
        const { status, iterations: taken } = await runRecurrence(recurrenceOf(programs), rules);
        const ended = describe(status, iterations);
        const zero = taken === 0 && programs.current.squaredNorm[0] === 0;
        if (zero) slots.solution.fill(0);
        else if (ended.failure === undefined) slots.solution.set(programs.current.solution); // else the last start stays good
        return { damping, retries: 0, ...ended };
      },
    },
  };
}

/** x, r and p. */
const ITERATE_VECTORS = 3;
/** Scalars that go with them: ‖b‖² of the start, pᵀ(F̃ + λI)p and ‖αp‖² of a step (at the start ‖x‖²), ‖r‖², rᵀM⁻¹r and φ(x) of both. */
const NUMBERS = [
  ...["squaredNorm", "curvature", "squaredLength"],
  ...["squaredResidual", "weight", "objective"],
];

/** @param measured whether φ(x) is read */
function tracedRecurrence(
  operator: MatrixProducts["operator"],
  warmStart: number,
  measured: boolean,
): Pick<IterativeSolve, "start" | "next"> {
  /** M⁻¹r, rᵀM⁻¹r and the numbers of x. */
  const numbersOf = (x: SymbolicTensor, r: SymbolicTensor, { gradient, divisor }: SlotSymbols) => {
    const z = divisor ? divide(r, divisor) : r;
    const squaredResidual = squaredNorm(r);
    const weight = divisor ? sum(multiply(r, z)) : squaredResidual;
    const objective = measured ? multiply(sum(multiply(x, add(gradient, r))), -0.5) : undefined;
    return { z, numbers: { weight, squaredResidual, ...(objective && { objective }) } };
  };
  return {
    start(slots) {
      const { gradient, damping } = slots;
      const x = multiply(slots.solution, warmStart);
      const product = operator(x, slots).back(scalar(1, x.dtype));
      const r = subtract(subtract(gradient, product), multiply(x, damping));
      const { z, numbers } = numbersOf(x, r, slots);
      const norms = { squaredNorm: squaredNorm(gradient), squaredLength: squaredNorm(x) };
      return { solution: x, residual: r, direction: z, ...norms, ...numbers };
    },
    next({ solution, residual, direction, weight }, slots) {
      const { damping } = slots;
      const { curvature: ofMatrix, back } = operator(direction, slots);
      const ofDirection = squaredNorm(direction);
      const curvature = add(ofMatrix, multiply(damping, ofDirection));
      const rate = divide(weight, curvature);
      const step = multiply(direction, rate);
      const x = add(solution, step);
      const r = subtract(subtract(residual, back(rate)), multiply(step, damping));
      const { z, numbers } = numbersOf(x, r, slots);
      const next = add(z, multiply(direction, divide(numbers.weight, weight)));
      const squaredLength = multiply(square(rate), ofDirection);
      return { solution: x, residual: r, direction: next, curvature, squaredLength, ...numbers };
    },
  };
}

/** The programs as the host's loop sees them. */
function recurrenceOf(programs: Iterations): Recurrence {
  const largest = programs.current.solution instanceof Float32Array ? LARGEST_FLOAT32 : Number.MAX_VALUE;
  let bound = 0; // of every element of x
  const read = () => {
    const { squaredNorm, curvature, squaredLength, ...rest } = programs.proposed;
    bound += Math.sqrt(squaredLength[0]);
    return {
      ...{ squaredNorm: squaredNorm[0], curvature: curvature[0], finite: bound <= largest },
      ...{ squaredResidual: rest.squaredResidual[0], weight: rest.weight[0], objective: rest.objective[0] },
    };
  };
  return {
    async start() {
      await programs.start();
      const numbers = read();
      programs.accept();
      return numbers;
    },
    async step() {
      await programs.next();
      return read();
    },
    accept: () => programs.accept(),
  };
}

const LARGEST_FLOAT32 = 2 ** 128 * (1 - 2 ** -24);

/** A solve that ran out of iterations is used and reported; one that broke down is not used. */
function describe(
  status: ConjugateGradientStatus,
  iterations: number,
): Pick<RefreshOutcome, "note" | "failure"> {
  if (status === "converged" || status === "no more progress") return {};
  if (status === "iteration limit reached") {
    return { note: `conjugate gradients stopped after ${iterations} iterations` };
  }
  return { failure: `conjugate gradients broke down: ${status}` };
}
