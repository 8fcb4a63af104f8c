/**
 * Layer-wise Fisher with coupling Σ: the blocks of the Fisher matrix, each pair of layers weighted by Σ_lk.
 *
 *   F̃ = (1/N) S_bᵀ (Σ ⊗ I_M) S_b,   S_b = blockdiag(S_1 … S_L)                                  [Karakida20 eq. 15]
 *
 * With B = blockdiag(K_1 … K_L), K_l = (1/N) S_l S_lᵀ, and A = (Σ ⊗ I_M) B + λI, which is not symmetric:
 *
 *   fresh  δθ_l = (1/N) S_lᵀ u_l,  A u = 1_L ⊗ ρ                                   push-through
 *   stale  δθ_l = (1/λ) (g_l − (1/N) S_lᵀ u_l),  A u = (Σ ⊗ I_M) S_b g             Woodbury
 *
 * Both follow from (UCV + λI)⁻¹ = (1/λ)(I − U (CVU + λI)⁻¹ C V), which holds for a singular C too, with U = (1/N) S_bᵀ,
 * C = Σ ⊗ I_M, V = S_b, so that CVU + λI = A. For g = U (1_L ⊗ ρ) the bracket is
 * U (I − A⁻¹(Σ ⊗ I_M) B)(1_L ⊗ ρ) = λ U A⁻¹ (1_L ⊗ ρ), the push-through form.
 *
 * Where the layers have fewer parameters P than the L·M rows, F̃ itself is formed, each block of F times Σ_lk. F̃ need not
 * be positive definite: the block tri-diagonal Σ has negative eigenvalues from three layers on. Hence LU.
 *
 * | symbol              | slot                              | shape            |
 * | ------------------- | --------------------------------- | ---------------- |
 * | a_l, δ_l, K_l       | `inputs.l`, `deltas.l`, `gram.l`  | (N, F), (M, O) or (N, M/N, O), (M, M) |
 * | ρ                   | `residual`                        | (M)              |
 * | u                   | `weights`                         | (L·M)            |
 * | F, g, δθ            | `fisher`, `gradient`, `solution`  | (P, P), (P), (P) |
 * | A⁻¹ or (F̃ + λI)⁻¹   | `inverse`                         | (L·M, L·M) or (P, P) |
 * | λ                   | `damping`                         | ()               |
 *
 * Differs from the paper: λ need not tend to 0 and is an option, 1 by default; Σ may be singular where λ > 0; the
 * isotropic learning rate 1/α, α = 1ᵀΣ⁻¹1, is not applied for the user; for the block tri-diagonal Σ it would be 1/s
 * where L = 3s, and 1/(s+1) where L = 3s + 1.
 */
import {
  flattenVector,
  gramMatrix,
  type LayerScores,
  layerDimension,
  type Scores,
  scoreProduct,
  splitVector,
  totalDimension,
  transposedProduct,
  transposedSum,
} from "../fisher/index.ts";
import {
  concatenate,
  constant,
  matmul,
  multiply,
  reciprocal,
  reshape,
  type SymbolicTensor,
  slice,
} from "../graph/index.ts";
import { requireMemory } from "../memory.ts";
import { bytesPerElement } from "../tensor.ts";
import type { CurvatureBlock, SlotArrays, SlotSpec, SlotSymbols } from "./block.ts";
import { blockDiagonalStructure } from "./block-diagonal.ts";
import { type CouplingOption, couplingMatrix, isIdentity, requireInvertible } from "./coupling.ts";
import { solveGeneral } from "./general-system.ts";
import { fisherMatrix, parameterSpaceMemory } from "./parameter-space.ts";
import { blockParameters } from "./partition.ts";
import { whenReady } from "./ready.ts";
import { solverName } from "./solver.ts";
import type { Structure, StructureContext } from "./structure.ts";
import {
  correctedGradient,
  correctedVector,
  corrections,
  deltasToKeep,
  type KeptScores,
  keptScores,
  projectedGradient,
} from "./woodbury.ts";

/** Σ = I is handed to the block-diagonal structure, which solves layer by layer. */
export function layerWiseStructure(coupling: CouplingOption): Structure {
  return {
    name: "layer-wise",
    images: "cheapest",
    blocks(scores, context) {
      const layers = scores.layers.length;
      const sigma = couplingMatrix(coupling, layers);
      if (isIdentity(sigma, layers)) return blockDiagonalStructure.blocks(scores, context);
      requireInvertible(sigma, layers, context.damping);
      return [layerWiseBlock(scores, sigma, context)];
    },
  };
}

function layerWiseBlock(scores: Scores, sigma: Float64Array, context: StructureContext): CurvatureBlock {
  const { layers } = scores;
  const { dtype, shape } = layers[0].deltas;
  const rows = layers.length * shape[0];
  const dimension = totalDimension(layers);
  const requested = solverName(context.solver);
  const smaller = rows <= dimension ? "gram" : "dense";
  const inSampleSpace = (requested === "auto" ? smaller : requested) === "gram";
  const order = inSampleSpace ? rows : dimension;
  const keepsInverse = context.stale || scores.residual === undefined;
  const memoryBytes = layerWiseMemory(layers, inSampleSpace, order, keepsInverse);
  const what = `layer-wise block of order ${order}`;
  requireMemory(what, memoryBytes, context.memoryLimit, "a smaller batch or blockDiagonalNgd");
  const inverse: Record<string, SlotSpec> = keepsInverse ? { inverse: { shape: [order, order], dtype } } : {};
  return {
    layers,
    report: {
      parameters: blockParameters(layers),
      structure: "layer-wise",
      solver: `${inSampleSpace ? "sample" : "parameter"} space, LU`,
      dimension: order,
      memoryBytes,
    },
    ...(inSampleSpace ? sampleSpace(scores, sigma, inverse) : parameterSpace(scores, sigma, inverse)),
  };
}

type LayerWiseSolver = Pick<
  CurvatureBlock,
  "statistics" | "refreshed" | "refresh" | "fresh" | "stale" | "factored"
>;

function sampleSpace(
  { layers, residual, samples }: Scores,
  sigma: Float64Array,
  inverse: Record<string, SlotSpec>,
): LayerWiseSolver {
  const count = layers.length;
  const { dtype, shape } = layers[0].deltas;
  const [rows] = shape;
  const order = count * rows;
  const statistics: Record<string, SymbolicTensor> = residual ? { residual } : {};
  layers.forEach((layer, l) => {
    statistics[`inputs.${l}`] = layer.inputs;
    statistics[`deltas.${l}`] = deltasToKeep(layer);
    statistics[`gram.${l}`] = multiply(gramMatrix(layer), 1 / samples);
  });
  const kept = (slots: SlotSymbols): KeptScores[] =>
    layers.map((layer, l) => keptScores(layer, slots[`inputs.${l}`], slots[`deltas.${l}`]));
  /** δ_l with the rows weighted by (1/N) u_l, of every layer, (N, O). */
  const combining = (slots: SlotSymbols, u: SymbolicTensor) => {
    const scaled = multiply(u, 1 / samples);
    return kept(slots).map((layer, l) => corrections(layer, slice(scaled, [l * rows], [(l + 1) * rows])));
  };

  return {
    statistics,
    refreshed: { damping: { shape: [], dtype }, weights: { shape: [order], dtype }, ...inverse },
    refresh(slots, { damping, fresh, stale }) {
      const b = new Float64Array(order);
      if (residual) for (let l = 0; l < count; l++) b.set(slots.residual, l * rows);
      const solving = solveGeneral({
        ...{ matrix: coupledGrams(slots, sigma, count, rows), order, damping },
        solve: fresh && residual ? { b, x: slots.weights } : undefined,
        inverse: stale || !residual ? slots.inverse : undefined,
      });
      return whenReady(solving, (outcome) => {
        slots.damping[0] = outcome.damping;
        return outcome;
      });
    },
    fresh: residual
      ? (slots) =>
          combining(slots, slots.weights).map((deltas, l) =>
            transposedSum({ ...kept(slots)[l], deltas, rowsPerSample: 1 }),
          )
      : undefined,
    factored: residual === undefined,
    stale(gradient, slots, factors) {
      const scores = kept(slots);
      const products = scores.map((layer, l) => {
        const product = factors ? projectedGradient(layer, factors[l]) : scoreProduct(layer, gradient[l]);
        return reshape(product, [1, rows]);
      });
      const coupled = matmul(constant(sigma, [count, count], dtype), concatenate(products));
      const solved = matmul(slots.inverse, reshape(coupled, [order, 1]));
      const combined = combining(slots, reshape(solved, [order]));
      const scale = reciprocal(slots.damping);
      return scores.map((layer, l) =>
        factors
          ? correctedGradient(layer, combined[l], factors[l], scale)
          : correctedVector(layer, combined[l], gradient[l], scale),
      );
    },
  };
}

function parameterSpace(
  { layers, residual, samples }: Scores,
  sigma: Float64Array,
  inverse: Record<string, SlotSpec>,
): LayerWiseSolver {
  const { dtype } = layers[0].deltas;
  const order = totalDimension(layers);
  const statistics: Record<string, SymbolicTensor> = { fisher: fisherMatrix(layers, samples) };
  if (residual) {
    const scaled = multiply(residual, 1 / samples);
    statistics.gradient = concatenate(layers.map((layer) => flattenVector(transposedProduct(layer, scaled))));
  }
  return {
    statistics,
    refreshed: { solution: { shape: [order], dtype }, ...inverse },
    refresh: (slots, { damping, fresh, stale }) =>
      solveGeneral({
        ...{ matrix: coupledFisher(slots, sigma, layers.map(layerDimension)), order, damping },
        solve: fresh && residual ? { b: slots.gradient, x: slots.solution } : undefined,
        inverse: stale || !residual ? slots.inverse : undefined,
      }),
    fresh: residual ? (slots) => splitVector(layers, slots.solution) : undefined,
    stale(gradient, slots) {
      const flat = reshape(concatenate(gradient.map(flattenVector)), [order, 1]);
      return splitVector(layers, reshape(matmul(slots.inverse, flat), [order]));
    },
  };
}

/** (Σ ⊗ I_M) blockdiag(K_1 … K_L): block (i, j) is Σ_ij K_j. */
function coupledGrams(slots: SlotArrays, sigma: Float64Array, count: number, rows: number): Float64Array {
  const order = count * rows;
  const matrix = new Float64Array(order * order);
  for (let i = 0; i < count; i++) {
    for (let j = 0; j < count; j++) {
      const weight = sigma[i * count + j];
      if (weight === 0) continue;
      const gram = slots[`gram.${j}`];
      for (let row = 0; row < rows; row++) {
        const target = (i * rows + row) * order + j * rows;
        for (let column = 0; column < rows; column++) {
          matrix[target + column] = weight * gram[row * rows + column];
        }
      }
    }
  }
  return matrix;
}

/** F with the block of layers i and j times Σ_ij. */
function coupledFisher(
  { fisher }: SlotArrays,
  sigma: Float64Array,
  dimensions: readonly number[],
): Float64Array {
  const count = dimensions.length;
  const layerOf = dimensions.flatMap((dimension, l) => new Array<number>(dimension).fill(l));
  const order = layerOf.length;
  const matrix = new Float64Array(fisher);
  for (let row = 0; row < order; row++) {
    const weights = layerOf[row] * count;
    for (let column = 0; column < order; column++) {
      matrix[row * order + column] *= sigma[weights + layerOf[column]];
    }
  }
  return matrix;
}

/** Bytes of the slots, of the float64 factorization and of an inverse. */
function layerWiseMemory(
  layers: readonly LayerScores[],
  inSampleSpace: boolean,
  order: number,
  keepsInverse: boolean,
): number {
  const element = bytesPerElement(layers[0].deltas.dtype);
  const [rows] = layers[0].deltas.shape;
  const factors = layers.reduce((total, { inputs, deltas }) => total + inputs.size + deltas.size, 0);
  const slots = inSampleSpace
    ? element * (factors + layers.length * rows * rows)
    : parameterSpaceMemory(layers);
  return slots + 8 * 2 * order * order + (keepsInverse ? (element + 8) * order * order : 0);
}
