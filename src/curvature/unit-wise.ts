/**
 * Unit-wise Fisher: for every output unit o of a layer its incoming weights and bias as one exact block.
 *
 *   δw_o = (F_o + λI)⁻¹ g_o,   F_o = (1/N) Σ_n w_no ā_n ā_nᵀ,   w_no = Σ_{q of n} δ_qo²           [Karakida20 §5]
 *
 * Solved in the smaller of two spaces. Parameter space: F_o itself, D = F̄ wide. Sample space, with rows v_no ā_n,
 * v = √w, K_o = (1/N) (v_o v_oᵀ) ⊙ (āāᵀ) and ρ'_no = Σ_{q of n} ρ_q δ_qo / v_no:
 *
 *   fresh  δw_o = (1/N) Āᵀ (v_o ⊙ (K_o + λI)⁻¹ ρ'_o)                                push-through
 *   stale  δw_o = (1/λ) (g_o − (1/N) Āᵀ (v_o ⊙ (K_o + λI)⁻¹ (v_o ⊙ Ā g_o)))          Woodbury
 *
 * A stale step is TENGraD's (`woodbury.ts`) and one product with each unit's inverse, O N² numbers that it reads once: for a
 * thousand units and 128 samples 65 MB a layer in float32, which is what it waits for.
 *
 * | symbol             | slot            | shape            |
 * | ------------------ | --------------- | ---------------- |
 * | a                  | `inputs`        | (N, F)           |
 * | v                  | `scales`        | (N, O)           |
 * | (1/N) āāᵀ          | `gram`          | (N, N)           |
 * | ρ'                 | `residual`      | (N, O)           |
 * | (K_o + λI)⁻¹ρ'_o   | `weights`       | (O, N)           |
 * | F_o                | `fisher`        | (O, D, D)        |
 * | g, (F_o + λI)⁻¹g_o | `gradient`, `solution` | (O, D)    |
 * | (K_o + λI)⁻¹ or (F_o + λI)⁻¹ | `inverse` | (O, n, n), n = N or D |
 * | λ of each unit     | `damping`       | (O, 1)           |
 *
 * Differs from the paper: the score rows of a sample are multiples of one vector ā_n within a unit's block, so that N
 * rows √w_no ā_n stand for the M = rN of the score matrix, and the systems are of order N whatever the number of
 * outputs is; the paper's isotropic learning rate, proportional to the width and the depth, is not applied for the
 * user.
 */
import {
  extendedInputs,
  type LayerScores,
  matrixVector,
  type Scores,
  squaredDeltas,
  transposedSum,
  vectorMatrix,
  weightedDeltas,
} from "../fisher/index.ts";
import {
  add,
  divide,
  matmul,
  maximum,
  multiply,
  reshape,
  type SymbolicTensor,
  scalar,
  sqrt,
  transpose,
} from "../graph/index.ts";
import { requireMemory } from "../memory.ts";
import { bytesPerElement } from "../tensor.ts";
import type { CurvatureBlock, SlotArrays, SlotSpec, SlotSymbols } from "./block.ts";
import { blockParameters } from "./partition.ts";
import { solverName } from "./solver.ts";
import type { Structure, StructureContext } from "./structure.ts";
import { solveSystems } from "./systems.ts";
import { applyInverse, part, unitRowsBlock } from "./unit-rows.ts";
import { correctedGradient, inputsByGradient } from "./woodbury.ts";

export const unitWiseStructure: Structure = {
  name: "unit-wise",
  blocks: ({ layers, residual, samples }, context) =>
    layers.map((layer) => unitWiseBlock({ layers: [layer], residual, samples }, context)),
  unitBlock: (layer, scores, context) => unitRowsBlock(layer, scores, context),
};

function unitWiseBlock(scores: Scores, context: StructureContext): CurvatureBlock {
  const [layer] = scores.layers;
  const width = layer.inputs.shape[1] + (layer.bias === undefined ? 0 : 1);
  const smaller = scores.samples <= width ? "gram" : "dense";
  const requested = solverName(context.solver);
  const inSampleSpace = (requested === "auto" ? smaller : requested) === "gram";
  const order = inSampleSpace ? scores.samples : width;
  const units = layer.deltas.shape[1];
  const keepsInverse = context.stale || scores.residual === undefined;
  const memoryBytes = unitWiseMemory(layer, inSampleSpace, order, keepsInverse);
  const what = `unit-wise block of ${units} systems of order ${order}`;
  requireMemory(what, memoryBytes, context.memoryLimit, "a smaller batch, refreshEvery: 1 or another method");
  const report = {
    parameters: blockParameters([layer]),
    structure: "unit-wise",
    solver: `${inSampleSpace ? "sample" : "parameter"} space, ${units} systems`,
    dimension: order,
    memoryBytes,
  };
  const inverse: Record<string, SlotSpec> = keepsInverse
    ? { inverse: { shape: [units, order, order], dtype: layer.deltas.dtype } }
    : {};
  return {
    layers: [layer],
    report,
    ...(inSampleSpace ? sampleSpace(scores, inverse) : parameterSpace(scores, inverse)),
  };
}

type UnitWiseSolver = Pick<
  CurvatureBlock,
  "statistics" | "refreshed" | "refresh" | "fresh" | "stale" | "factored"
>;

function sampleSpace(
  { layers, residual, samples }: Scores,
  inverse: Record<string, SlotSpec>,
): UnitWiseSolver {
  const [layer] = layers;
  const { dtype } = layer.deltas;
  const units = layer.deltas.shape[1];
  const { inputs } = layer;
  const scales = sqrt(squaredDeltas(layer));
  const products = matmul(inputs, inputs, { transposeB: true });
  const covariance = layer.bias === undefined ? products : add(products, layer.biasInput ** 2);
  const statistics: Record<string, SymbolicTensor> = {
    inputs,
    scales,
    gram: multiply(covariance, 1 / samples),
  };
  // Where v_no is 0 so is what it divides.
  const smallest = dtype === "float64" ? 1e-150 : 1e-18;
  if (residual) statistics.residual = divide(weightedDeltas(layer, residual), maximum(scales, smallest));

  const kept = (slots: SlotSymbols): LayerScores => ({ ...layer, inputs: slots.inputs, rowsPerSample: 1 });
  /** (1/N) v ⊙ u for u (O, N): what stands for the deltas in a combination of the score rows, (N, O). */
  const combining = (u: SymbolicTensor, slots: SlotSymbols) =>
    multiply(multiply(slots.scales, transpose(u)), 1 / samples);

  const matrix = new Float64Array(samples * samples);
  const right = new Float64Array(samples);
  return {
    statistics,
    refreshed: {
      damping: { shape: [units, 1], dtype },
      weights: { shape: [units, samples], dtype },
      ...inverse,
    },
    refresh: (slots, { damping, fresh, stale }) =>
      solveSystems(
        units,
        (unit) => {
          loadKernel(slots, unit, units, samples, matrix);
          const solves = fresh && residual !== undefined;
          if (solves) for (let n = 0; n < samples; n++) right[n] = slots.residual[n * units + unit];
          return {
            ...{ matrix, order: samples, damping },
            solve: solves ? { b: right, x: part(slots.weights, unit, units) } : undefined,
            inverse: stale || !residual ? part(slots.inverse, unit, units) : undefined,
          };
        },
        (unit, outcome) => {
          slots.damping[unit] = outcome.damping;
        },
      ),
    fresh: residual
      ? (slots) => [transposedSum({ ...kept(slots), deltas: combining(slots.weights, slots) })]
      : undefined,
    factored: residual === undefined,
    stale(_, slots, factors) {
      const [batch] = factors!;
      const projected = multiply(slots.scales, inputsByGradient(kept(slots), batch));
      const solved = applyInverse(slots.inverse, transpose(projected));
      const damped = (deltas: SymbolicTensor) => divide(deltas, transpose(slots.damping));
      const corrections = damped(combining(solved, slots));
      const later = { ...batch, deltas: damped(batch.deltas) };
      return [correctedGradient(kept(slots), corrections, later, scalar(1, dtype))];
    },
  };
}

function parameterSpace(
  { layers, residual, samples }: Scores,
  inverse: Record<string, SlotSpec>,
): UnitWiseSolver {
  const [layer] = layers;
  const { dtype } = layer.deltas;
  const units = layer.deltas.shape[1];
  const inputs = extendedInputs(layer);
  const width = inputs.shape[1];
  const weights = reshape(transpose(multiply(squaredDeltas(layer), 1 / samples)), [units, samples, 1]);
  const statistics: Record<string, SymbolicTensor> = {
    fisher: matmul(multiply(weights, inputs), reshape(inputs, [1, samples, width]), { transposeA: true }),
  };
  if (residual) {
    const deltas = multiply(weightedDeltas(layer, residual), 1 / samples);
    statistics.gradient = matmul(deltas, inputs, { transposeA: true });
  }
  return {
    statistics,
    refreshed: { solution: { shape: [units, width], dtype }, ...inverse },
    refresh: (slots, { damping, fresh, stale }) =>
      solveSystems(
        units,
        (unit) => ({
          ...{ matrix: part(slots.fisher, unit, units), order: width, damping },
          solve:
            fresh && residual
              ? { b: part(slots.gradient, unit, units), x: part(slots.solution, unit, units) }
              : undefined,
          inverse: stale || !residual ? part(slots.inverse, unit, units) : undefined,
        }),
        () => {},
      ),
    fresh: residual ? (slots) => [matrixVector(layer, slots.solution)] : undefined,
    stale: ([gradient], slots) => [matrixVector(layer, applyInverse(slots.inverse, vectorMatrix(gradient)))],
  };
}

/** The lower triangle of K_o = (v_o v_oᵀ) ⊙ gram. */
function loadKernel(
  { scales, gram }: SlotArrays,
  unit: number,
  units: number,
  samples: number,
  matrix: Float64Array,
): void {
  for (let row = 0; row < samples; row++) {
    const scale = scales[row * units + unit];
    const start = row * samples;
    for (let column = 0; column <= row; column++) {
      matrix[start + column] = scale * scales[column * units + unit] * gram[start + column];
    }
  }
}

/** Bytes of the slots, of what forming them takes and of the float64 factorization. */
function unitWiseMemory(
  { inputs, deltas, bias }: LayerScores,
  inSampleSpace: boolean,
  order: number,
  keepsInverse: boolean,
): number {
  const [samples, features] = inputs.shape;
  const width = features + (bias === undefined ? 0 : 1);
  const units = deltas.shape[1];
  const shared = inSampleSpace
    ? samples * (width + 3 * units + samples)
    : units * (samples * width + width * width + 2 * width);
  const inverses = keepsInverse ? units * order * order : 0;
  return bytesPerElement(deltas.dtype) * (shared + inverses) + 8 * 4 * order * order;
}
