/**
 * Unit-wise Fisher of an image layer, whose units see the batch through rows of their own.
 *
 *   F_o = (1/N) R_oᵀR_o,   R_o (M, F̄) the unit's columns of S: row q is Σ_t δ[q,t,o] ā[n(q),t]
 *
 *   parameter space  δw_o = (F_o + λI)⁻¹ g_o
 *   sample space     δw_o = (1/N) R_oᵀ (K_o + λI)⁻¹ ρ   on the refresh batch,   (1/λ)(g_o − (1/N) R_oᵀ (K_o + λI)⁻¹ R_o g_o)   later
 *
 * with K_o = (1/N) R_oR_oᵀ, whichever is smaller. Unlike a dense layer's, the rows of several draws or outputs do not merge.
 *
 * | symbol              | slot                 | shape                  |
 * | ------------------- | -------------------- | ---------------------- |
 * | R_o                 | `rows`               | (O, M, F̄)              |
 * | F_o or K_o          | `systems`            | (O, n, n), n = F̄ or M  |
 * | (F_o + λI)⁻¹ g_o, (K_o + λI)⁻¹ρ | `solution` | (O, n)               |
 * | inverses            | `inverse`            | (O, n, n)              |
 * | λ                   | `damping`            | (O, 1)                 |
 */
import type { Scores, UnitScores } from "../fisher/index.ts";
import {
  divide,
  matmul,
  multiply,
  reshape,
  type SymbolicTensor,
  subtract,
  transpose,
} from "../graph/index.ts";
import { requireMemory } from "../memory.ts";
import { bytesPerElement, type TypedArray } from "../tensor.ts";
import type { CurvatureBlock, SlotSymbols } from "./block.ts";
import { blockParameters } from "./partition.ts";
import { solverName } from "./solver.ts";
import type { StructureContext } from "./structure.ts";
import { solveSystems } from "./systems.ts";

export function unitRowsBlock(
  layer: UnitScores,
  { samples, residual }: Pick<Scores, "samples" | "residual">,
  context: StructureContext,
): CurvatureBlock {
  const rows = transpose(layer.rows, [1, 0, 2]);
  const [units, count, width] = rows.shape;
  const { dtype } = rows;
  const requested = solverName(context.solver);
  const inSampleSpace = (requested === "auto" ? (count <= width ? "gram" : "dense") : requested) === "gram";
  const order = inSampleSpace ? count : width;
  const keepsInverse = context.stale || residual === undefined;
  const memoryBytes = bytesPerElement(dtype) * units * (count * width + (keepsInverse ? 2 : 1) * order ** 2);
  const what = `unit-wise block of ${units} systems of order ${order}`;
  requireMemory(what, memoryBytes, context.memoryLimit, "a smaller batch or another method");

  const statistics: Record<string, SymbolicTensor> = {
    systems: multiply(
      matmul(rows, rows, inSampleSpace ? { transposeB: true } : { transposeA: true }),
      1 / samples,
    ),
  };
  if (inSampleSpace) statistics.rows = rows;
  if (residual && inSampleSpace) statistics.residual = residual;
  if (residual && !inSampleSpace) {
    const weighted = multiply(reshape(residual, [1, 1, count]), 1 / samples);
    statistics.gradient = reshape(matmul(weighted, rows), [units, width]);
  }
  /** (1/N) R_oᵀ u_o of every unit, (O, F̄), for u (O, M). */
  const combined = (slots: SlotSymbols, u: SymbolicTensor) =>
    reshape(matmul(reshape(multiply(u, 1 / samples), [units, 1, count]), slots.rows), [units, width]);

  return {
    layers: [layer],
    report: {
      parameters: blockParameters([layer]),
      structure: "unit-wise",
      solver: `${inSampleSpace ? "sample" : "parameter"} space, ${units} systems`,
      dimension: order,
      memoryBytes,
    },
    statistics,
    refreshed: {
      damping: { shape: [units, 1], dtype },
      solution: { shape: [units, order], dtype },
      ...(keepsInverse && { inverse: { shape: [units, order, order], dtype } }),
    },
    refresh: (slots, { damping, fresh, stale }) =>
      solveSystems(
        units,
        (unit) => {
          const b = inSampleSpace ? slots.residual : slots.gradient && part(slots.gradient, unit, units);
          return {
            ...{ matrix: part(slots.systems, unit, units), order, damping },
            solve: fresh && residual ? { b, x: part(slots.solution, unit, units) } : undefined,
            inverse: stale || !residual ? part(slots.inverse, unit, units) : undefined,
          };
        },
        (unit, outcome) => {
          slots.damping[unit] = outcome.damping;
        },
      ),
    fresh: residual
      ? (slots) => [layer.vector(inSampleSpace ? combined(slots, slots.solution) : slots.solution)]
      : undefined,
    stale([gradient], slots) {
      const g = layer.matrix(gradient);
      if (!inSampleSpace) return [layer.vector(applyInverse(slots.inverse, g))];
      const projected = reshape(matmul(slots.rows, reshape(g, [units, width, 1])), [units, count]);
      const correction = combined(slots, applyInverse(slots.inverse, projected));
      return [layer.vector(divide(subtract(g, correction), slots.damping))];
    },
  };
}

/** The unit's part of an array that holds all units' parts in turn. */
export function part<Data extends TypedArray>(array: Data, unit: number, units: number): Data {
  const size = array.length / units;
  return array.subarray(unit * size, (unit + 1) * size) as Data;
}

/** The product of every unit's inverse, (O, n, n), with its row of b, (O, n). */
export function applyInverse(inverse: SymbolicTensor, b: SymbolicTensor): SymbolicTensor {
  const [units, order] = b.shape;
  return reshape(matmul(inverse, reshape(b, [units, order, 1])), [units, order]);
}
