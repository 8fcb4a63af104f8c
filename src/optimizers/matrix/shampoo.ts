/**
 * Shampoo [Gupta, Koren & Singer 2018, "Shampoo: preconditioned stochastic tensor optimization", Algorithm 1], with averaged
 * statistics, delayed roots and grafting as in practice [Anil et al. 2020, "Scalable second order optimization for deep learning",
 * arXiv:2002.09018].
 *
 *   L ← L + GGᵀ,   R ← R + GᵀG                                β < 1: X ← βX + (1 − β)X_new, divided by 1 − βᵗ when it is read
 *   D = (L + εI)^(−1/4) G (R + εI)^(−1/4)                     roots of every `refreshEvery`-th step, that step's gradient included
 *   D ← D ‖D'‖_F/‖D‖_F                                        grafting: D' = G ("sgd") or G/(√ŝ + 10⁻⁸) ("adam")
 *   V ← μV + D + wW,   W ← W − ηV
 *
 * A vector g has one side: D = (L + εI)^(−1/2) g with L ← L + ggᵀ, which is full-matrix Adagrad. Sides longer than
 * `maxDimension` keep the diagonal of their statistics only, as in the experiments of Gupta et al.; for a vector that is Adagrad.
 *
 * | symbol | option | state or slot | shape |
 * | ------ | ------ | ------------- | ----- |
 * | L, R   |        | `left`, `right` | (O, O), (F, F), or (O), (F) for diagonals |
 * | their roots |   | `leftRoot`, `rightRoot` | the same |
 * | V      |        | `velocity` (ηV) | (O, F) |
 * | s      |        | `meanSquare`, of G with β₂ = 0.999 | (O, F) |
 * | β, ε   | `decay`, `epsilon` |   |       |
 * | η, μ, w | `learningRate`, `momentum`, `weightDecay` | | |
 *
 * The host decomposes A = U diag(λ) Uᵀ; the program forms B = U diag((λ + ε)^(−p/2)) and the root BBᵀ. Negative λ, which are
 * rounding, count as 0.
 *
 * Differs from the papers: averages are corrected for starting at zero; ε is absolute, as in Gupta et al., not
 * relative to the largest eigenvalue as in Anil et al., whose roots are by Newton's method; grafting compares the
 * norms of single steps, momentum comes after it; before step `refreshEvery` roots are also taken at steps 1, 2, 4,
 * 8, …, for statistics of a few gradients know nothing of the directions of the next, which their roots would stretch
 * by 1/√ε.
 */
import type { SlotArrays, SlotSpec, SlotSymbols } from "../../curvature/block.ts";
import { decompose } from "../../curvature/factorize.ts";
import { requireNumber, requireOption } from "../../errors.ts";
import {
  add,
  divide,
  matmul,
  multiply,
  reshape,
  type SymbolicTensor,
  sqrt,
  square,
  squaredNorm,
  sum,
} from "../../graph/index.ts";
import { requireMemory } from "../../memory.ts";
import { bytesPerElement, sizeOf, type TypedArray } from "../../tensor.ts";
import type { UpdateRule } from "../first-order/rule.ts";
import { momentumRule } from "../first-order/sgd.ts";
import type { Optimizer } from "../optimizer.ts";
import { checkLearningRate, type LearningRate } from "../schedule.ts";
import { preconditioned } from "./preconditioned.ts";
import type { ParameterPlace, Preconditioner } from "./preconditioner.ts";

export interface ShampooOptions {
  /** η, a number or a schedule; default 0.1. */
  readonly learningRate?: LearningRate;
  /** μ; default 0. */
  readonly momentum?: number;
  /** w, added to the direction as wW; default 0. */
  readonly weightDecay?: number;
  /** β of moving averages, in (0, 1]; 1, the default, accumulates. */
  readonly decay?: number;
  /** ε, added to the statistics; default 1e-4. */
  readonly epsilon?: number;
  /** Steps between refreshes of the roots, after a start with more of them; default 1. */
  readonly refreshEvery?: number;
  /** Whose step length is taken: `"none"` (default), `"sgd"` or `"adam"`. */
  readonly grafting?: "none" | "sgd" | "adam";
  /** Longer sides keep diagonals; default 1200. */
  readonly maxDimension?: number;
}

/** β₂ of the mean square that the grafting of Adam's step length reads. */
const GRAFTING_DECAY = 0.999;
const GRAFTING_EPSILON = 1e-8;
/** Keeps the scale of a zero direction finite. */
const SMALLEST_NORM = 1e-30;

/** Shampoo. @throws UsageError when an option is out of range */
export function shampoo(options: ShampooOptions = {}): Optimizer {
  const { learningRate = 0.1, decay = 1, epsilon = 1e-4, refreshEvery = 1 } = options;
  const { grafting = "none", maxDimension = 1200 } = options;
  checkLearningRate(learningRate);
  requireNumber(decay > 0 && decay <= 1, "decay", decay, "in (0, 1]");
  requireNumber(epsilon > 0 && Number.isFinite(epsilon), "epsilon", epsilon, "> 0");
  const counts = { refreshEvery, maxDimension };
  for (const [name, count] of Object.entries(counts)) {
    requireOption(Number.isInteger(count) && count > 0, name, count, "a positive integer");
  }
  requireOption(["none", "sgd", "adam"].includes(grafting), "grafting", grafting, "none | sgd | adam");
  const { momentum, weightDecay } = options;
  const rule = momentumRule({ momentum, weightDecay }, learningRate);
  return preconditioned("shampoo", options, {
    learningRate,
    refresh: {
      when: "before update",
      every: refreshEvery,
      isDue: (step) => step % refreshEvery === 0 || (step < refreshEvery && isPowerOfTwo(step)),
    },
    scalars: (step, rate) => ({
      ...rule.scalars(step, rate),
      ...(grafting === "adam" && { graftingCorrection: 1 / Math.sqrt(1 - GRAFTING_DECAY ** (step + 1)) }),
    }),
    preconditioner(place, { memoryLimit }) {
      const settings = { decay, epsilon, refreshEvery, grafting, maxDimension };
      const made = shampooPreconditioner(place, settings, rule);
      const remedy = `a maxDimension below ${made.report.dimension}`;
      requireMemory(`shampoo block of ${place.name}`, made.report.memoryBytes, memoryLimit, remedy);
      return made;
    },
  });
}

function isPowerOfTwo(step: number): boolean {
  return Number.isInteger(Math.log2(step));
}

type ShampooSettings = Required<
  Pick<ShampooOptions, "decay" | "epsilon" | "refreshEvery" | "grafting" | "maxDimension">
>;

/** One side of a parameter: the rows of the gradient seen as a matrix, or its columns. */
interface Side {
  readonly name: "left" | "right";
  readonly order: number;
  /** Whether the whole matrix is kept; its diagonal otherwise. */
  readonly full: boolean;
}

function shampooPreconditioner(
  { name, shape, dtype }: ParameterPlace,
  { decay, epsilon, refreshEvery, grafting, maxDimension }: ShampooSettings,
  rule: UpdateRule,
): Preconditioner {
  const sides = shape.map((order, axis): Side => {
    return { name: axis === 0 ? "left" : "right", order, full: order <= maxDimension };
  });
  /** p of A^(−p): the product of all sides' roots undoes one power of the gradient. */
  const power = 1 / (2 * sides.length);
  const spec = ({ order, full }: Side): SlotSpec => ({ shape: full ? [order, order] : [order], dtype });
  const slots: Record<string, SlotSpec> = Object.fromEntries(
    sides.flatMap((side) => [
      [`${side.name}Root`, spec(side)] as const,
      ...(side.full ? ([[`${side.name}Vectors`, spec(side)]] as const) : []),
      ...(side.full ? ([[`${side.name}Scale`, { shape: [side.order], dtype }]] as const) : []),
    ]),
  );
  const parameterState = [...rule.slots, ...(grafting === "adam" ? ["meanSquare"] : [])];

  /** The gradient as the matrix whose sides are preconditioned: a vector is a column. */
  const asMatrix = (gradient: SymbolicTensor) =>
    shape.length === 1 ? reshape(gradient, [shape[0], 1]) : gradient;

  function direction(gradient: SymbolicTensor, roots: SlotSymbols): SymbolicTensor {
    const preconditionedSides = sides.reduce((x, { name: side, order, full }) => {
      const root = roots[`${side}Root`];
      if (full) return side === "left" ? matmul(root, x) : matmul(x, root);
      return multiply(x, side === "left" ? reshape(root, [order, 1]) : root);
    }, asMatrix(gradient));
    return reshape(preconditionedSides, shape);
  }

  return {
    report: {
      parameters: [name],
      structure: "shampoo",
      solver: sides.every(({ full }) => full)
        ? `roots of ${sides.length === 1 ? "one side" : "both sides"} by eigendecomposition`
        : "roots by eigendecomposition, of diagonals where a side is long",
      dimension: Math.max(...sides.map(({ order, full }) => (full ? order : 1))),
      memoryBytes: memoryBytes(sides, sizeOf(shape), parameterState.length, bytesPerElement(dtype)),
    },
    state: Object.fromEntries([
      ...sides.map((side) => [side.name, spec(side)] as const),
      ...parameterState.map((slot) => [slot, { shape, dtype }] as const),
    ]),
    statistics({ gradient, state }) {
      const g = asMatrix(gradient);
      const next = sides.map((side) => {
        const fresh = sideStatistics(g, side);
        const before = state[side.name];
        const total =
          decay === 1 ? add(fresh, before) : add(multiply(fresh, 1 - decay), multiply(before, decay));
        return [side.name, total] as const;
      });
      return Object.fromEntries(next);
    },
    refresh: {
      slots,
      memory: refreshEvery > 1 ? sides.map((side) => `${side.name}Root`) : [],
      async run(state, arrays, step) {
        const correction = decay === 1 ? 1 : 1 / (1 - decay ** (step + 1));
        const root = { correction, epsilon, power };
        const taken = sides.map((side) => takeRoot(side, state[side.name], arrays, root));
        return (await Promise.all(taken)).find((failure) => failure !== undefined);
      },
      settle: (taken) =>
        Object.fromEntries(
          sides
            .filter(({ full }) => full)
            .map(({ name: side }) => {
              const factor = multiply(taken[`${side}Vectors`], taken[`${side}Scale`]);
              return [`${side}Root`, matmul(factor, factor, { transposeB: true })];
            }),
        ),
    },
    direction,
    update({ parameter, gradient, state, slots: roots, scalars }) {
      const raw = direction(gradient, roots);
      const { length, meanSquare } = graftedLength(grafting, gradient, state, scalars);
      const scale = length && divide(length, add(norm(raw), SMALLEST_NORM));
      const rate = scale ? multiply(scale, scalars.learningRate) : scalars.learningRate;
      const inputs = { parameter, gradient: multiply(raw, rate), slots: state, scalars };
      const { step, slots: next } = rule.update(inputs);
      if (!meanSquare) return { step, state: next };
      return { step, state: { ...next, meanSquare }, guard: sum(meanSquare) };
    },
  };
}

/** GGᵀ or GᵀG, or the diagonal of it. */
function sideStatistics(g: SymbolicTensor, { name, full }: Side): SymbolicTensor {
  if (!full) return sum(square(g), [name === "left" ? 1 : 0]);
  return matmul(g, g, name === "left" ? { transposeB: true } : { transposeA: true });
}

/** The length that a step is to have, and what that is measured with; none where it is left as it is. */
function graftedLength(
  grafting: ShampooSettings["grafting"],
  gradient: SymbolicTensor,
  state: SlotSymbols,
  scalars: SlotSymbols,
): { length?: SymbolicTensor; meanSquare?: SymbolicTensor } {
  if (grafting === "none") return {};
  if (grafting === "sgd") return { length: norm(gradient) };
  const meanSquare = add(
    multiply(state.meanSquare, GRAFTING_DECAY),
    multiply(square(gradient), 1 - GRAFTING_DECAY),
  );
  const root = multiply(sqrt(meanSquare), scalars.graftingCorrection);
  return { length: norm(divide(gradient, add(root, GRAFTING_EPSILON))), meanSquare };
}

function norm(x: SymbolicTensor): SymbolicTensor {
  return sqrt(squaredNorm(x));
}

interface Root {
  /** 1/(1 − βᵗ). */
  readonly correction: number;
  readonly epsilon: number;
  readonly power: number;
}

/** Writes the root of a diagonal, or the eigenvectors of a matrix and the square roots of its root's eigenvalues. */
async function takeRoot(
  { name, order, full }: Side,
  statistics: TypedArray,
  slots: SlotArrays,
  { correction, epsilon, power }: Root,
): Promise<string | undefined> {
  if (!full) {
    const root = slots[`${name}Root`];
    for (let i = 0; i < order; i++) {
      if (!Number.isFinite(statistics[i])) return `the ${name} statistics are not finite`;
      root[i] = (statistics[i] * correction + epsilon) ** -power;
    }
    return undefined;
  }
  const eigen = await decompose(new Float64Array(statistics), order);
  if (eigen.failure !== undefined) return `${name} side: ${eigen.failure}`;
  const { values, vectors } = eigen;
  slots[`${name}Vectors`].set(vectors);
  slots[`${name}Scale`].set(
    values.map((value) => (Math.max(0, value) * correction + epsilon) ** (-power / 2)),
  );
  return undefined;
}

/** State twice, vectors and root once, the eigendecomposition's copies, and the parameter's own state. */
function memoryBytes(sides: readonly Side[], size: number, parameterStates: number, bytes: number): number {
  const matrices = sides.map(({ order, full }) => (full ? order ** 2 : order));
  const statistics = matrices.reduce((total, elements) => total + elements, 0);
  const hosted = Math.max(...sides.map(({ order, full }) => (full ? 4 * order ** 2 : 0)));
  return bytes * (4 * statistics + (2 * parameterStates + 1) * size) + 8 * hosted;
}
