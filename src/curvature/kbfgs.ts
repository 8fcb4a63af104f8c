/**
 * K-BFGS: Kronecker factors of each layer's inverse Hessian block by BFGS [Goldfarb20, Algorithm 1; Ren21 for convolution].
 *
 *   δW̄ = H_g g H_a
 *   A ← βA + (1−β)(1/N) āᵀā,   s = H_a mean(ā), y = (A + √λ I) s        "Hessian-action" BFGS of H_a ≈ (A + √λ I)⁻¹
 *   s ← τs + (1−τ)(mean(s_l)⁺ − mean(s_l)),   y ← τy + (1−τ)(mean(δ)⁺ − mean(δ))    double-damped BFGS of H_g
 *
 * where ⁺ is the same batch after the update. No matrix is factorized after the first step, whose H_a is the inverse and
 * whose H_g = I. With `memory`, H_g is given by its last pairs: K-BFGS(L).
 *
 * | symbol                  | slot                                       | shape          |
 * | ----------------------- | ------------------------------------------ | -------------- |
 * | (1/N) āᵀā, mean(ā)      | `batchCovariance`, `meanInputs`            | (F̄, F̄), (F̄)  |
 * | mean(s_l), mean(δ)      | `meanPreactivations`, `meanDeltas`         | (O)            |
 * | mean(s_l)⁺, mean(δ)⁺    | `nextPreactivations`, `nextDeltas`         | (O)            |
 * | A, H_a                  | `covariance`, `inputInverse`               | (F̄, F̄)        |
 * | H_g                     | `outputInverse`; L: `left`, `right`, …     | (O, O); (2m, O) |
 * | averaged s, y           | `step`, `change`                           | (O)            |
 * | λ                       | `damping`                                  | ()             |
 *
 * Differs from the paper: A starts at the first batch's, not at the whole dataset's; ν = √λ is capped at 1.
 */
import { extendedInputs, type LayerScores, matrixVector, vectorMatrix } from "../fisher/index.ts";
import { add, matmul, mean, multiply, type SymbolicTensor } from "../graph/index.ts";
import { choleskyInverse, dampedCholesky } from "../linalg/index.ts";
import { bytesPerElement, sizeOf } from "../tensor.ts";
import { dampPair, denseInverse, dot, type InverseHessian, limitedInverse } from "./bfgs.ts";
import type { CurvatureBlock, RefreshOutcome, SlotArrays, SlotSpec, SlotSymbols } from "./block.ts";
import { failed } from "./factorize.ts";
import { blockParameters } from "./partition.ts";
import type { Structure } from "./structure.ts";

export interface KbfgsStructureOptions {
  /** β of A's moving average. */
  readonly decay: number;
  /** τ of the moving averages of s and y. */
  readonly pairDecay: number;
  /** Whether pairs are damped; without it a pair with sᵀy ≤ 0 is left out. */
  readonly powell: boolean;
  /** Pairs kept of each H_g; none: H_g is a matrix. */
  readonly memory?: number;
}

export function kbfgsStructure(options: KbfgsStructureOptions): Structure {
  const name = options.memory === undefined ? "K-BFGS" : "K-BFGS(L)";
  return { name, blocks: ({ layers }) => layers.map((layer) => kbfgsBlock(name, layer, options)) };
}

function kbfgsBlock(structure: string, layer: LayerScores, options: KbfgsStructureOptions): CurvatureBlock {
  const { dtype } = layer.deltas;
  const outputs = layer.deltas.shape[1];
  const inputs = extendedInputs(layer);
  const [samples, width] = inputs.shape;
  const specs = (shapes: Record<string, readonly number[]>): Record<string, SlotSpec> =>
    Object.fromEntries(Object.entries(shapes).map(([name, shape]) => [name, { shape, dtype }]));
  const inverse = outputInverse(outputs, options.memory);
  const remembered = specs({
    covariance: [width, width],
    inputInverse: [width, width],
    ...inverse.slots,
    step: [outputs],
    change: [outputs],
    started: [],
  });
  const statistics = {
    batchCovariance: multiply(matmul(inputs, inputs, { transposeA: true }), 1 / samples),
    meanInputs: mean(inputs, [0]),
    meanPreactivations: mean(layer.preactivations, [0]),
    meanDeltas: mean(layer.deltas, [0]),
  };
  const elements = [...Object.values(statistics), ...Object.values(remembered)].reduce(
    (total, { shape }) => total + sizeOf(shape),
    0,
  );

  return {
    layers: [layer],
    report: {
      parameters: blockParameters([layer]),
      structure,
      solver: "BFGS",
      dimension: Math.max(width, outputs),
      memoryBytes: bytesPerElement(dtype) * elements,
    },
    statistics,
    refreshed: {
      ...specs({ nextPreactivations: [outputs], nextDeltas: [outputs], damping: [] }),
      ...remembered,
    },
    memory: Object.keys(remembered),
    refresh(slots, { damping }) {
      slots.damping[0] = damping;
      if (slots.started[0] === 1) return { damping, retries: 0 };
      inverse.start(slots);
      return invertFirst(slots, width, damping);
    },
    stale([gradient], slots) {
      const left = inverse.product(slots, vectorMatrix(gradient));
      return [matrixVector(layer, matmul(left, slots.inputInverse))];
    },
    observation: {
      statistics: ([next]) => ({
        nextPreactivations: mean(next.preactivations, [0]),
        nextDeltas: mean(next.deltas, [0]),
      }),
      learn(slots) {
        learnInputs(slots, width, options.decay);
        slots.started[0] = 1;
        return learnOutputs(slots, inverse.of(slots), options);
      },
    },
  };
}

/** What H_g is kept in. */
interface OutputInverse {
  /** Shapes of its slots. */
  readonly slots: Readonly<Record<string, readonly number[]>>;
  /** Makes it the identity. */
  start(slots: SlotArrays): void;
  of(slots: SlotArrays): InverseHessian;
  /** H_g X, traced. */
  product(slots: SlotSymbols, matrix: SymbolicTensor): SymbolicTensor;
}

/** H_g as a matrix, or by its last pairs. */
function outputInverse(outputs: number, memory: number | undefined): OutputInverse {
  if (memory === undefined) {
    return {
      slots: { outputInverse: [outputs, outputs] },
      start({ outputInverse: h }) {
        h.fill(0);
        for (let i = 0; i < outputs; i++) h[i * outputs + i] = 1;
      },
      of: ({ outputInverse: h }) => denseInverse(h, outputs),
      product: ({ outputInverse: h }, matrix) => matmul(h, matrix),
    };
  }
  const pairs = [memory, outputs];
  const rows = [2 * memory, outputs];
  return {
    slots: { steps: pairs, changes: pairs, left: rows, right: rows, count: [] },
    start({ left, count }) {
      left.fill(0);
      count[0] = 0;
    },
    of: ({ steps, changes, left, right, count }) =>
      limitedInverse({ steps, changes, left, right, count }, outputs, memory),
    product: ({ left, right }, matrix) =>
      add(matrix, matmul(left, matmul(right, matrix), { transposeA: true })),
  };
}

/** H_a = (A + √λ I)⁻¹ of the first batch. */
function invertFirst(slots: SlotArrays, width: number, damping: number): RefreshOutcome {
  const shift = Math.sqrt(damping);
  const covariance = new Float64Array(slots.batchCovariance);
  const result = dampedCholesky(covariance, width, shift, damping === 0 ? { maxRetries: 0 } : {});
  if (result.failure !== undefined) return failed(damping, result.failure);
  slots.inputInverse.set(choleskyInverse(result.factor, width));
  const used = result.retries === 0 ? damping : result.damping ** 2;
  slots.damping[0] = used;
  return { damping: used, retries: result.retries };
}

/** A and H_a from the batch's inputs. */
function learnInputs(slots: SlotArrays, width: number, decay: number): void {
  const { covariance, batchCovariance } = slots;
  if (slots.started[0] === 0) covariance.set(batchCovariance);
  else {
    for (let k = 0; k < covariance.length; k++) {
      covariance[k] = decay * covariance[k] + (1 - decay) * batchCovariance[k];
    }
  }
  const inverse = denseInverse(slots.inputInverse, width);
  const s = inverse.product(new Float64Array(slots.meanInputs));
  const shift = Math.sqrt(slots.damping[0]);
  const y = denseInverse(covariance, width)
    .product(s)
    .map((value, k) => value + shift * s[k]);
  inverse.update(s, y);
}

/** H_g from what the step did to the layer's pre-activations and their gradients; in words where it could not. */
function learnOutputs(
  slots: SlotArrays,
  inverse: InverseHessian,
  { pairDecay, powell }: KbfgsStructureOptions,
): string | undefined {
  const { step, change, meanPreactivations, meanDeltas, nextPreactivations, nextDeltas } = slots;
  const average = (old: SlotArrays[string], before: SlotArrays[string], after: SlotArrays[string]) =>
    Float64Array.from(old, (value, k) => pairDecay * value + (1 - pairDecay) * (after[k] - before[k]));
  const s = average(step, meanPreactivations, nextPreactivations);
  const y = average(change, meanDeltas, nextDeltas);
  const lengths = dot(s, s) + dot(y, y);
  if (!Number.isFinite(Math.fround(lengths))) {
    return "K-BFGS learned nothing of this step: the loss after it has no finite gradient";
  }
  step.set(s);
  change.set(y);
  const pair = powell ? dampPair(inverse, s, y, Math.sqrt(slots.damping[0])) : { s, y };
  if (inverse.update(pair.s, pair.y) || dot(pair.s, pair.s) === 0) return undefined;
  return "K-BFGS learned nothing of this step: the loss is not convex along it";
}
