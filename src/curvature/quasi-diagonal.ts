/**
 * Quasi-diagonal Fisher: for every unit the diagonal, and the bias's coupling to each incoming weight.
 *
 *   δw_i = (g_i − (F_0i/F_00) g_0) / (F_ii − F_0i²/F_00),   δw_0 = g_0/F_00 − Σ_i (F_0i/F_00) δw_i      [Ollivier15 §2.3]
 *
 * with λ added to F_00 and F_ii. Invariant to a shift of each input, at twice the diagonal's cost. A layer without a bias
 * falls back to the diagonal.
 *
 * As F_ii ≥ F_0i²/F_00, the denominator of δw_i is at least λ; where rounding takes it below, λ stands in for it. Where stale
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
 */
import { biasCoupling, type LayerScores, squaredScores } from "../fisher/index.ts";
import {
  add,
  maximum,
  multiply,
  reciprocal,
  reshape,
  type SymbolicTensor,
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
      if (layer.bias !== undefined) return [quasiDiagonalBlock(layer, scores.samples, context.stale)];
      const [block] = diagonalStructure.blocks({ ...scores, layers: [layer] }, context);
      return [
        {
          ...block,
          report: { ...block.report, note: "no bias: the diagonal in place of the quasi-diagonal" },
        },
      ];
    }),
};

/** @param keepsInverse whether stale directions will be read */
function quasiDiagonalBlock(layer: LayerScores, samples: number, keepsInverse: boolean): CurvatureBlock {
  const { dtype } = layer.deltas;
  const { weight, bias } = squaredScores(layer);
  const rounding = layer.deltas.shape[0] * (dtype === "float64" ? Number.EPSILON : 2 ** -23);
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
    inverseBias: { shape: bias!.shape, dtype },
  };
  return {
    layers: [layer],
    report: {
      parameters: blockParameters([layer]),
      structure: "quasi-diagonal",
      solver: "elementwise",
      dimension: 2,
      memoryBytes: bytesPerElement(dtype) * (2 * weight.size + bias!.size) * (keepsInverse ? 2 : 1),
    },
    statistics: {
      weight: mean(weight),
      bias: mean(bias!),
      coupling: mean(biasCoupling(layer)),
      trace: mean(add(sum(weight), sum(bias!))),
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
