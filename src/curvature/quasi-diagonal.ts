/**
 * Quasi-diagonal Fisher: for every unit the diagonal, and the bias's coupling to each incoming weight.
 *
 *   δw_i = (g_i − (F_0i/F_00) g_0) / (F_ii − F_0i²/F_00),   δw_0 = g_0/F_00 − Σ_i (F_0i/F_00) δw_i      [Ollivier15 §2.3]
 *
 * with λ added to F_00 and F_ii. Invariant to a shift of each input, at twice the diagonal's cost. A layer without a bias
 * falls back to the diagonal.
 *
 * As F_ii ≥ F_0i²/F_00 by the Cauchy-Schwarz inequality, the denominator of δw_i is at least λ; where rounding takes it below, λ stands in for it. Where stale
 * steps follow, ratios and reciprocals are kept: such a step is a gradient step with four more passes over the weights.
 *
 * | symbol                | slot           | shape  |
 * | --------------------- | -------------- | ------ |
 * | F_ii                  | `weight`       | (O, F) |
 * | F_00                  | `bias`         | (O)    |
 * | F_0i                  | `coupling`     | (O, F) |
 * | F_0i/F_00             | `ratio`        | (O, F) |
 * | 1/(F_ii − F_0i²/F_00) | `inversePivot` | (O, F) |
 * | 1/F_00                | `inverseBias`  | (O)    |
 * | tr F                  | `trace`        | ()     |
 * | λ                     | `damping`      | ()     |
 *
 * Differs from the paper: it takes the Fisher matrix over a moving average of single samples, here it is that of the
 * batch (λ is added in the same places).
 */
import {
  biasCoupling,
  type LayerScores,
  squaredScores,
  type UnitScores,
  vectorMatrix,
} from "../fisher/index.ts";
import {
  add,
  maximum,
  multiply,
  reciprocal,
  reshape,
  type SymbolicTensor,
  sliceAxis,
  square,
  subtract,
  sum,
} from "../graph/index.ts";
import { bytesPerElement } from "../tensor.ts";
import type { CurvatureBlock, RefreshOutcome, SlotArrays, SlotSpec, SlotSymbols } from "./block.ts";
import { checkFinite, diagonalStructure } from "./diagonal.ts";
import { failed } from "./factorize.ts";
import { blockParameters } from "./partition.ts";
import type { Structure } from "./structure.ts";

export const quasiDiagonalStructure: Structure = {
  name: "quasi-diagonal",
  blocks: (scores, context) =>
    scores.layers.flatMap((layer) => {
      if (layer.bias !== undefined) {
        return [quasiDiagonalBlock(layer, denseSums(layer), scores.samples, context.stale)];
      }
      const [block] = diagonalStructure.blocks({ ...scores, layers: [layer] }, context);
      return [withoutBias(block)];
    }),
  unitBlock(layer, scores, context) {
    if (layer.bias === undefined) return withoutBias(diagonalStructure.unitBlock!(layer, scores, context));
    const block = quasiDiagonalBlock(layer, unitSums(layer), scores.samples, context.stale);
    return {
      ...block,
      stale([gradient], slots) {
        const matrix = layer.matrix(gradient);
        const [units, width] = matrix.shape;
        const own = {
          weight: sliceAxis(matrix, 1, 0, width - 1),
          bias: reshape(sliceAxis(matrix, 1, width - 1, width), [units]),
        };
        return block.stale([own], slots).map((direction) => layer.vector(vectorMatrix(direction)));
      },
    };
  },
};

function withoutBias(block: CurvatureBlock): CurvatureBlock {
  const note = "no bias: the diagonal in place of the quasi-diagonal";
  return { ...block, report: { ...block.report, note } };
}

/** The three sums over score rows that the structure is made of, and the vectors that it works on. */
interface Sums {
  /** Σ_q s_oi², (O, F). */
  readonly weight: SymbolicTensor;
  /** Σ_q s_o0², (O). */
  readonly bias: SymbolicTensor;
  /** Σ_q s_o0 s_oi, (O, F). */
  readonly coupling: SymbolicTensor;
  /** M. */
  readonly rows: number;
}

function denseSums(layer: LayerScores): Sums {
  const { weight, bias } = squaredScores(layer);
  return { weight, bias: bias!, coupling: biasCoupling(layer), rows: layer.deltas.shape[0] };
}

function unitSums({ rows }: UnitScores): Sums {
  const [count, units, width] = rows.shape;
  const squares = sum(square(rows), [0]);
  const fromBias = sliceAxis(rows, 2, width - 1, width);
  return {
    weight: sliceAxis(squares, 1, 0, width - 1),
    bias: reshape(sliceAxis(squares, 1, width - 1, width), [units]),
    coupling: sum(multiply(sliceAxis(rows, 2, 0, width - 1), fromBias), [0]),
    rows: count,
  };
}

/** @param keepsInverse whether stale directions will be read */
function quasiDiagonalBlock(
  layer: CurvatureBlock["layers"][number],
  { weight, bias, coupling, rows }: Sums,
  samples: number,
  keepsInverse: boolean,
): CurvatureBlock {
  const { dtype } = weight;
  const rounding = rows * (dtype === "float64" ? Number.EPSILON : 2 ** -23);
  const mean = (x: SymbolicTensor) => multiply(x, 1 / samples);
  const column = (x: SymbolicTensor) => reshape(x, [-1, 1]);
  const inverses = (slots: SlotSymbols): SlotSymbols => {
    const inverseBias = reciprocal(add(slots.bias, slots.damping));
    const ratio = multiply(slots.coupling, column(inverseBias));
    const pivot = subtract(add(slots.weight, slots.damping), multiply(slots.coupling, ratio));
    return { ratio, inversePivot: reciprocal(maximum(pivot, slots.damping)), inverseBias };
  };
  const kept: Record<string, SlotSpec> = {
    ratio: { shape: weight.shape, dtype },
    inversePivot: { shape: weight.shape, dtype },
    inverseBias: { shape: bias.shape, dtype },
  };
  return {
    layers: [layer],
    report: {
      parameters: blockParameters([layer]),
      structure: "quasi-diagonal",
      solver: "elementwise",
      dimension: 2,
      memoryBytes: bytesPerElement(dtype) * (2 * weight.size + bias.size) * (keepsInverse ? 2 : 1),
    },
    statistics: {
      weight: mean(weight),
      bias: mean(bias),
      coupling: mean(coupling),
      trace: mean(add(sum(weight), sum(bias))),
    },
    refreshed: { damping: { shape: [], dtype }, ...(keepsInverse && kept) },
    refresh(slots, { damping }) {
      slots.damping[0] = damping;
      const failure = checkFinite(slots, damping) ?? checkPivots(slots, damping, rounding);
      if (failure) return failure;
      if (keepsInverse) keepInverses(slots, damping);
      return { damping, retries: 0 };
    },
    stale([gradient], slots) {
      const { ratio, inversePivot, inverseBias } = keepsInverse ? slots : inverses(slots);
      const explained = multiply(ratio, column(gradient.bias!));
      const direction = multiply(subtract(gradient.weight, explained), inversePivot);
      const shift = sum(multiply(ratio, direction), [1]);
      return [{ weight: direction, bias: subtract(multiply(gradient.bias!, inverseBias), shift) }];
    },
  };
}

/** What `inverses` traces, on the host. */
function keepInverses(
  { weight, bias, coupling, ratio, inversePivot, inverseBias }: SlotArrays,
  damping: number,
): void {
  const features = weight.length / bias.length;
  for (let unit = 0, k = 0; unit < bias.length; unit++) {
    const inverse = 1 / (bias[unit] + damping);
    inverseBias[unit] = inverse;
    for (let feature = 0; feature < features; feature++, k++) {
      const explained = coupling[k] * inverse;
      ratio[k] = explained;
      inversePivot[k] = 1 / Math.max(weight[k] + damping - coupling[k] * explained, damping);
    }
  }
}

/** At λ = 0, the failure of a unit whose F_ii F_00 − F_0i² is no more than rounding. */
function checkPivots(
  { weight, bias, coupling }: SlotArrays,
  damping: number,
  rounding: number,
): RefreshOutcome | undefined {
  if (damping > 0) return undefined;
  const features = weight.length / bias.length;
  const regular = weight.every((value, k) => {
    const product = value * bias[Math.floor(k / features)];
    return product - coupling[k] ** 2 > rounding * product;
  });
  return regular ? undefined : failed(damping, "an input and the bias of a unit have dependent scores");
}
