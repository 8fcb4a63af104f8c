/**
 * Diagonal Fisher: every parameter by itself.
 *
 *   δθ = g / (diag F + λ),   diag(F)_{oi} = (1/N) Σ_q δ_qo² ā_qi²         [Amari98 §3 cut to its diagonal; Karakida20 §5]
 *
 * For a dense layer the diagonal is one matrix product of squares. Nothing is solved on the host, which only looks whether
 * the diagonal is finite, by its sum, and at λ = 0 whether it is positive. Where stale steps follow it keeps the reciprocals:
 * such a step is a gradient step with one more pass over the parameters.
 *
 * | symbol           | slot                            | shape       |
 * | ---------------- | ------------------------------- | ----------- |
 * | diag F           | `weight`, `bias`                | (O, F), (O) |
 * | 1/(diag F + λ)   | `inverseWeight`, `inverseBias`  | (O, F), (O) |
 * | tr F             | `trace`                         | ()          |
 * | λ                | `damping`                       | ()          |
 *
 * Differs from the papers: none has a method of this name, it is the full matrix of [Amari98] with everything off the
 * diagonal left out; λ is 0.1 by default, far larger than for the methods with blocks, as at 0.01 a learning rate of
 * 0.1 made the loss of the task `spirals` jump.
 */
import { type LayerVector, squaredScores } from "../fisher/index.ts";
import { add, multiply, reciprocal, type SymbolicTensor, square, sum } from "../graph/index.ts";
import { bytesPerElement, type TypedArray } from "../tensor.ts";
import type { CurvatureBlock, RefreshOutcome, SlotArrays, SlotSpec } from "./block.ts";
import { failed } from "./factorize.ts";
import { blockParameters } from "./partition.ts";
import type { Structure } from "./structure.ts";

export const diagonalStructure: Structure = {
  name: "diagonal",
  blocks: ({ layers, samples }, { stale }) =>
    layers.map((layer) => diagonalBlock(layer, squaredScores(layer), samples, stale)),
  unitBlock(layer, { samples }, { stale }) {
    const squares = layer.vector(sum(square(layer.rows), [0]));
    return diagonalBlock(layer, squares, samples, stale);
  },
};

/**
 * @param squares Σ_q s_q², laid out like the parameters
 * @param keepsInverse whether stale directions will be read
 */
function diagonalBlock(
  layer: CurvatureBlock["layers"][number],
  { weight, bias }: LayerVector,
  samples: number,
  keepsInverse: boolean,
): CurvatureBlock {
  const { dtype } = weight;
  const size = weight.size + (bias?.size ?? 0);
  const mean = (x: SymbolicTensor) => multiply(x, 1 / samples);
  const trace = bias ? add(sum(weight), sum(bias)) : sum(weight);
  const statistics = { weight: mean(weight), ...(bias && { bias: mean(bias) }), trace: mean(trace) };
  const inverse = (diagonal: SymbolicTensor, damping: SymbolicTensor) => reciprocal(add(diagonal, damping));
  const kept: Record<string, SlotSpec> = {
    inverseWeight: { shape: weight.shape, dtype },
    ...(bias && { inverseBias: { shape: bias.shape, dtype } }),
  };
  return {
    layers: [layer],
    report: {
      parameters: blockParameters([layer]),
      structure: "diagonal",
      solver: "elementwise",
      dimension: 1,
      memoryBytes: bytesPerElement(dtype) * size * (keepsInverse ? 2 : 1),
    },
    statistics,
    refreshed: { damping: { shape: [], dtype }, ...(keepsInverse && kept) },
    refresh(slots, { damping }) {
      slots.damping[0] = damping;
      const failure = checkFinite(slots, damping) ?? checkPositive(slots, damping);
      if (failure) return failure;
      if (keepsInverse) {
        invert(slots.weight, damping, slots.inverseWeight);
        if (bias) invert(slots.bias, damping, slots.inverseBias);
      }
      return { damping, retries: 0 };
    },
    stale([gradient], slots) {
      const inverseWeight = keepsInverse ? slots.inverseWeight : inverse(slots.weight, slots.damping);
      const inverseBias = () => (keepsInverse ? slots.inverseBias : inverse(slots.bias, slots.damping));
      return [
        {
          weight: multiply(gradient.weight, inverseWeight),
          bias: gradient.bias && multiply(gradient.bias, inverseBias()),
        },
      ];
    },
  };
}

/** 1/(x + λ), elementwise. */
function invert(x: TypedArray, damping: number, inverse: TypedArray): void {
  for (let k = 0; k < x.length; k++) inverse[k] = 1 / (x[k] + damping);
}

/** The failure of a diagonal that is not finite. */
export function checkFinite({ trace }: SlotArrays, damping: number): RefreshOutcome | undefined {
  if (Number.isFinite(trace[0])) return undefined;
  return {
    damping,
    retries: 0,
    failure: `the diagonal of the Fisher matrix is not finite (sum ${trace[0]})`,
  };
}

/** At λ = 0, the failure of a diagonal with a zero: a weight that no score depends on. */
function checkPositive({ weight, bias }: SlotArrays, damping: number): RefreshOutcome | undefined {
  if (damping > 0 || (!weight.includes(0) && !bias?.includes(0))) return undefined;
  return failed(damping, "the diagonal of the Fisher matrix has a zero");
}
