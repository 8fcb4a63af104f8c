/**
 * SOAP [Vyas et al. 2024, "SOAP: improving and stabilizing Shampoo using Adam", arXiv:2409.11321]: Adam in the
 * eigenbasis of Shampoo's preconditioner.
 *
 *   G' = Q_Lᵀ G Q_R,   M ← β₁M + (1 − β₁)G,   M' = Q_Lᵀ M Q_R,   s ← β₂s + (1 − β₂)G'²
 *   W ← W − η(Q_L N' Q_Rᵀ + wW),   N' = M'/(1 − β₁ᵗ) / (√(s/(1 − β₂ᵗ)) + ε)                      t = 1, 2, …
 *   L ← β₂L + (1 − β₂)GGᵀ,   R ← β₂R + (1 − β₂)GᵀG
 *   every `refreshEvery` steps, after the update:   Q_L ← QR(L Q_L),   Q_R ← QR(R Q_R)
 *
 * | symbol     | option | state or slot             | shape          |
 * | ---------- | ------ | ------------------------- | -------------- |
 * | L, R       |        | `left`, `right`           | (O, O), (F, F) |
 * | Q_Lᵀ, Q_Rᵀ |        | `leftBasis`, `rightBasis` | (O, O), (F, F) |
 * | (L Q_L)ᵀ, (R Q_R)ᵀ |  | `leftPower`, `rightPower` | (O, O), (F, F) |
 * | M          |        | `mean`                    | (O, F)         |
 * | s          |        | `meanSquare`              | (O, F)         |
 * | η, β₁, β₂, ε, w | `learningRate`, `beta1`, `beta2`, `epsilon`, `weightDecay` | | |
 *
 * The first step takes the eigenvectors of its L and R and moves no parameter, "so that we never use the current gradients in the
 * projection" (the authors' code); t counts the steps after it. The basis is turned by one step of power iteration and a QR
 * factorization, not by a new eigendecomposition: that is cheaper, and each basis vector stays near the one before it, to
 * which its column of s belongs. As in the authors' code the vectors are sorted by qᵀLq first, descending, and s along with them.
 *
 * Sides longer than `maxDimension` are not rotated, nor is the longer side in the paper's one-sided variant. Vectors are
 * AdamW's. Bias correction and ε are those of Adam [Kingma & Ba 2015, Algorithm 1].
 *
 * Differs from the authors' code: m stays in the original space, as in the paper's listing, where they keep it
 * rotated and turn it at each refresh, which is the same.
 */
import type { SlotArrays, SlotSpec } from "../../curvature/block.ts";
import { decompose, LARGEST_SYNCHRONOUS_ORDER } from "../../curvature/factorize.ts";
import { requireOption } from "../../errors.ts";
import { add, divide, matmul, multiply, type SymbolicTensor, sqrt, square, sum } from "../../graph/index.ts";
import { orthonormalizeRows, orthonormalizeRowsAsync } from "../../linalg/index.ts";
import { requireMemory } from "../../memory.ts";
import { bytesPerElement, sizeOf, type TypedArray } from "../../tensor.ts";
import { adamRule } from "../first-order/adam.ts";
import type { Optimizer } from "../optimizer.ts";
import type { LearningRate } from "../schedule.ts";
import { preconditioned } from "./preconditioned.ts";
import { elementwise, type ParameterPlace, type Preconditioner } from "./preconditioner.ts";

export interface SoapOptions {
  /** η, a number or a schedule; default 0.003. */
  readonly learningRate?: LearningRate;
  /** β₁; default 0.95. */
  readonly beta1?: number;
  /** β₂, of s and of L and R; default 0.95. */
  readonly beta2?: number;
  /** ε; default 1e-8. */
  readonly epsilon?: number;
  /** w, decoupled; default 0. */
  readonly weightDecay?: number;
  /** Steps between refreshes of the basis; default 10. */
  readonly refreshEvery?: number;
  /** Longer sides are not rotated; default 1200. */
  readonly maxDimension?: number;
  /** Rotate the shorter side of a matrix only; default false. */
  readonly oneSided?: boolean;
}

/** SOAP for weight matrices, AdamW for vectors. @throws UsageError when an option is out of range */
export function soap(options: SoapOptions = {}): Optimizer {
  const { learningRate = 0.003, beta1 = 0.95, beta2 = 0.95, epsilon = 1e-8, weightDecay = 0 } = options;
  const { refreshEvery = 10, maxDimension = 1200, oneSided = false } = options;
  const rule = adamRule({ learningRate, beta1, beta2, epsilon, weightDecay }, true);
  const counts = { refreshEvery, maxDimension };
  for (const [name, count] of Object.entries(counts)) {
    requireOption(Number.isInteger(count) && count > 0, name, count, "a positive integer");
  }
  requireOption(typeof oneSided === "boolean", "oneSided", oneSided, "true or false");
  return preconditioned("soap", options, {
    learningRate,
    refresh: { when: "after update", every: refreshEvery, isDue: (step) => step % refreshEvery === 0 },
    scalars: (step, rate) => rule.scalars(Math.max(0, step - 1), rate),
    preconditioner(place, { memoryLimit }) {
      const sides = sidesOf(place.shape, maxDimension, oneSided);
      if (sides.length === 0) return elementwise(rule, "AdamW, element by element", place);
      const made = soapPreconditioner(place, sides, { beta1, beta2, epsilon, weightDecay });
      const remedy = `oneSided, or a maxDimension below ${made.report.dimension}`;
      requireMemory(`soap block of ${place.name}`, made.report.memoryBytes, memoryLimit, remedy);
      return made;
    },
  });
}

/** A side of the matrix that is rotated. */
interface Side {
  readonly name: "left" | "right";
  readonly order: number;
}

function sidesOf(shape: readonly number[], maxDimension: number, oneSided: boolean): Side[] {
  if (shape.length !== 2) return [];
  const both: Side[] = [
    { name: "left", order: shape[0] },
    { name: "right", order: shape[1] },
  ];
  const shorter = shape[0] <= shape[1] ? both[0] : both[1];
  return (oneSided ? [shorter] : both).filter(({ order }) => order <= maxDimension);
}

type SoapSettings = Required<Pick<SoapOptions, "beta1" | "beta2" | "epsilon" | "weightDecay">>;

function soapPreconditioner(
  { name, shape, dtype }: ParameterPlace,
  sides: readonly Side[],
  { beta1, beta2, epsilon, weightDecay }: SoapSettings,
): Preconditioner {
  const squareOf = (order: number): SlotSpec => ({ shape: [order, order], dtype });
  const forSides = <T>(entry: (side: Side) => readonly [string, T]) => Object.fromEntries(sides.map(entry));
  const elements = sides.reduce((total, { order }) => total + order ** 2, 0);
  const longest = Math.max(...sides.map(({ order }) => order));

  /** Qᵀ from the left, Q from the right; or the way back. */
  function rotate(x: SymbolicTensor, bases: Readonly<Record<string, SymbolicTensor>>, back = false) {
    return sides.reduce((turned, { name: side }) => {
      const basis = bases[`${side}Basis`];
      if (side === "left") return matmul(basis, turned, { transposeA: back });
      return matmul(turned, basis, { transposeB: !back });
    }, x);
  }

  return {
    report: {
      parameters: [name],
      structure: "soap",
      solver: `Adam in the eigenbasis of ${sides.length === 2 ? "both sides" : `the ${sides[0].name} side`}`,
      dimension: longest,
      memoryBytes: bytesPerElement(dtype) * (4 * elements + 5 * sizeOf(shape)) + 8 * 4 * longest ** 2,
    },
    state: {
      ...forSides(({ name: side, order }) => [side, squareOf(order)]),
      mean: { shape, dtype },
      meanSquare: { shape, dtype },
    },
    statistics({ gradient, state }) {
      return forSides(({ name: side }) => {
        const transposed = side === "left" ? { transposeB: true } : { transposeA: true };
        const gram = matmul(gradient, gradient, transposed);
        return [side, add(multiply(gram, 1 - beta2), multiply(state[side], beta2))];
      });
    },
    refresh: {
      slots: {
        ...forSides(({ name: side, order }) => [`${side}Basis`, squareOf(order)]),
        ...forSides(({ name: side, order }) => [`${side}Power`, squareOf(order)]),
      },
      memory: sides.map((side) => `${side.name}Basis`),
      prepare: (statistics, slots) =>
        forSides(({ name: side }) => [`${side}Power`, matmul(slots[`${side}Basis`], statistics[side])]),
      async run(state, slots, step) {
        const running = sides.map((side) =>
          step === 0 ? initialize(side, state[side.name], slots) : turn(side, state.meanSquare, shape, slots),
        );
        return (await Promise.all(running)).find((failure) => failure !== undefined);
      },
    },
    direction(gradient, slots) {
      const rotated = rotate(gradient, slots);
      return rotate(divide(rotated, add(sqrt(square(rotated)), epsilon)), slots, true);
    },
    update({ parameter, gradient, state, slots, scalars }) {
      const mean = add(multiply(state.mean, beta1), multiply(gradient, 1 - beta1));
      const rotated = rotate(gradient, slots);
      const meanSquare = add(multiply(state.meanSquare, beta2), multiply(square(rotated), 1 - beta2));
      const scale = add(multiply(sqrt(meanSquare), scalars.inverseCorrection), epsilon);
      const normalized = divide(multiply(rotate(mean, slots), scalars.stepSize), scale);
      const back = rotate(normalized, slots, true);
      const step = weightDecay === 0 ? back : add(back, multiply(parameter, scalars.shrinkage));
      return { step, state: { mean, meanSquare }, guard: sum(meanSquare) };
    },
  };
}

/** The first basis: eigenvectors, the largest eigenvalue's first. */
async function initialize(
  { name, order }: Side,
  statistics: TypedArray,
  slots: SlotArrays,
): Promise<string | undefined> {
  const eigen = await decompose(new Float64Array(statistics), order);
  if (eigen.failure !== undefined) return `${name} side: ${eigen.failure}`;
  const { vectors } = eigen;
  const basis = slots[`${name}Basis`];
  for (let row = 0; row < order; row++) {
    for (let k = 0; k < order; k++) basis[row * order + k] = vectors[k * order + (order - 1 - row)];
  }
  return undefined;
}

/** One step of power iteration; where it overflows the basis stays as it is. */
async function turn(
  { name, order }: Side,
  meanSquare: TypedArray,
  shape: readonly number[],
  slots: SlotArrays,
): Promise<undefined> {
  const [basis, power] = [slots[`${name}Basis`], slots[`${name}Power`]];
  const sorted = sortedByQuotient(basis, power, order);
  const rows = new Float64Array(order * order);
  sorted.forEach((from, to) => {
    rows.set(power.subarray(from * order, (from + 1) * order), to * order);
  });
  const done =
    order <= LARGEST_SYNCHRONOUS_ORDER
      ? orthonormalizeRows(rows, order)
      : await orthonormalizeRowsAsync(rows, order);
  if (!done) return;
  basis.set(rows);
  permute(meanSquare, shape, name, sorted);
}

/** Indices of the basis vectors by qᵀLq, descending. */
function sortedByQuotient(basis: TypedArray, power: TypedArray, order: number): number[] {
  const quotients = Array.from({ length: order }, (_, row) => {
    let quotient = 0;
    for (let k = row * order; k < (row + 1) * order; k++) quotient += basis[k] * power[k];
    return quotient;
  });
  return quotients.map((_, row) => row).sort((a, b) => quotients[b] - quotients[a]);
}

/** Reorders the rows (left) or the columns (right) of a matrix in place. */
function permute(
  matrix: TypedArray,
  [rows, columns]: readonly number[],
  side: Side["name"],
  order: readonly number[],
): void {
  if (order.every((from, to) => from === to)) return;
  const before = matrix.slice();
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      const from = side === "left" ? order[row] * columns + column : row * columns + order[column];
      matrix[row * columns + column] = before[from];
    }
  }
}
