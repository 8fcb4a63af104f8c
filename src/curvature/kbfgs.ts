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
 * A is a moving average and H_a evolves, both traced; H_g, whose pairs are damped by cases, is updated on the host.
 *
 * | symbol                  | slot                                       | shape          |
 * | ----------------------- | ------------------------------------------ | -------------- |
 * | mean(ā)                 | `meanInputs`                               | (F̄, 1)        |
 * | mean(s_l), mean(δ)      | `meanPreactivations`, `meanDeltas`         | (O)            |
 * | mean(s_l)⁺, mean(δ)⁺    | `nextPreactivations`, `nextDeltas`         | (O)            |
 * | A                       | average `covariance`                       | (F̄, F̄)        |
 * | H_a, its diagonal       | evolving `inputInverse`, `inputDiagonal`   | (F̄, F̄), (F̄, 1) |
 * | H_g                     | `outputInverse`; L: `left`, `right`, …     | (O, O); (2m, O) |
 * | averaged s, y           | `step`, `change`                           | (O)            |
 * | λ                       | `damping`                                  | ()             |
 *
 * Differs from the paper: g is the batch's gradient and momentum comes after H_g g H_a, the paper takes a moving average of
 * gradients for g; with `refreshEvery` the factors rest between updates; A starts at the first batch's, the paper averages over the whole dataset first; ν = √λ is
 * at most 1, as the damping rule has no solution beyond it.
 */
import { extendedInputs, type LayerScores, matrixVector, vectorMatrix } from "../fisher/index.ts";
import {
  add,
  concatenate,
  constant,
  matmul,
  matrixTranspose,
  mean,
  multiply,
  reshape,
  type SymbolicTensor,
  sqrt,
} from "../graph/index.ts";
import { bytesPerElement, sizeOf } from "../tensor.ts";
import { dampPair, denseInverse, dot, type InverseHessian, limitedInverse } from "./bfgs.ts";
import type { CurvatureBlock, RefreshOutcome, SlotArrays, SlotSpec, SlotSymbols } from "./block.ts";
import { inversionBytes, invertDamped } from "./factorize.ts";
import { traceInverseUpdate } from "./inverse-update.ts";
import { factorOrders, factorsAreCheaper, outerDirection } from "./kronecker.ts";
import { blockParameters } from "./partition.ts";
import { whenReady } from "./ready.ts";
import type { Structure } from "./structure.ts";
import { Workspace } from "./workspace.ts";

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
  const workspace = new Workspace({ limit: 0, keep: false }); // for the first step alone
  return {
    name,
    averaging: { every: Infinity, decay: (update) => (update === 1 ? 0 : options.decay) }, // at refreshes alone
    images: "positions",
    learns: true,
    blocks: ({ layers }) => layers.map((layer) => kbfgsBlock(name, layer, workspace, options)),
  };
}

function kbfgsBlock(
  structure: string,
  layer: LayerScores,
  workspace: Workspace,
  options: KbfgsStructureOptions,
): CurvatureBlock {
  const { dtype } = layer.deltas;
  const outputs = layer.deltas.shape[1];
  const { inputs: width } = factorOrders(layer);
  const specs = (shapes: Record<string, readonly number[]>): Record<string, SlotSpec> =>
    Object.fromEntries(Object.entries(shapes).map(([name, shape]) => [name, { shape, dtype }]));
  const inverse = outputInverse(outputs, options.memory);
  const remembered = specs({
    ...inverse.slots,
    step: [outputs],
    change: [outputs],
    started: [],
  });
  const { covariance, mean: meanInputs } = inputMoments(layer);
  const averages = { covariance };
  const evolving = specs({ inputInverse: [width, width], inputDiagonal: [width, 1] });
  const statistics = {
    meanInputs: reshape(meanInputs, [width, 1]),
    meanPreactivations: mean(layer.preactivations, [0]),
    meanDeltas: mean(layer.deltas, [0]),
  };
  const size = (shapes: Readonly<Record<string, { readonly shape: readonly number[] }>>) =>
    Object.values(shapes).reduce((total, { shape }) => total + sizeOf(shape), 0);
  const elements = size(statistics) + size(remembered) + 2 * (size(averages) + size(evolving));

  return {
    layers: [layer],
    report: {
      parameters: blockParameters([layer]),
      structure,
      solver: "BFGS",
      dimension: Math.max(width, outputs),
      memoryBytes: bytesPerElement(dtype) * elements,
    },
    borrowed: { workspace, bytes: [inversionBytes(width)] },
    statistics,
    averages,
    evolving,
    refreshed: {
      ...specs({ nextPreactivations: [outputs], nextDeltas: [outputs], damping: [] }),
      ...remembered,
    },
    memory: Object.keys(remembered),
    refresh(slots, { damping, averages: { current, next } }) {
      slots.damping[0] = damping;
      if (slots.started[0] === 1) return { damping, retries: 0 };
      inverse.start(slots);
      return whenReady(invertFirst(workspace, next, current, width, damping), (outcome) => {
        slots.damping[0] = outcome.damping;
        return outcome;
      });
    },
    factored: factorsAreCheaper(layer),
    stale([gradient], slots, factors) {
      const [batch] = factors ?? [];
      if (batch && factorsAreCheaper(batch)) {
        const left = inverse.product(
          slots,
          multiply(matrixTranspose(batch.deltas), 1 / batch.inputs.shape[0]),
        );
        const right = matmul(slots.inputInverse, extendedInputs(batch), { transposeB: true });
        return [outerDirection(batch, left, right)];
      }
      const left = inverse.product(slots, vectorMatrix(gradient));
      return [matrixVector(layer, matmul(left, slots.inputInverse))];
    },
    observation: {
      statistics: ([next]) => ({
        nextPreactivations: mean(next.preactivations, [0]),
        nextDeltas: mean(next.deltas, [0]),
      }),
      evolve({ meanInputs, inputInverse, inputDiagonal, damping }, { covariance }) {
        const s = matmul(inputInverse, meanInputs);
        const y = add(matmul(covariance, s), multiply(s, sqrt(damping)));
        const updated = traceInverseUpdate({ inverse: inputInverse, diagonal: inputDiagonal }, s, y);
        return { inputInverse: updated.inverse, inputDiagonal: updated.diagonal };
      },
      learn(slots) {
        slots.started[0] = 1;
        return learnOutputs(slots, inverse.of(slots), options);
      },
    },
  };
}

/** (1/N) āᵀā, (F̄, F̄), and the mean of ā, (F̄). */
function inputMoments(layer: LayerScores): { covariance: SymbolicTensor; mean: SymbolicTensor } {
  const { bias, biasInput } = layer;
  if (!layer.inputMoments) {
    const inputs = extendedInputs(layer);
    const scaled = multiply(inputs, 1 / inputs.shape[0]);
    return { covariance: matmul(scaled, inputs, { transposeA: true }), mean: mean(inputs, [0]) };
  }
  if (bias === undefined) return layer.inputMoments;
  const { covariance, mean: own } = layer.inputMoments;
  const { dtype, size } = own;
  const coupling = multiply(own, biasInput);
  const above = concatenate([covariance, reshape(coupling, [size, 1])], 1);
  const below = reshape(concatenate([coupling, constant([biasInput ** 2], [1], dtype)]), [1, size + 1]);
  return {
    covariance: concatenate([above, below]),
    mean: concatenate([own, constant([biasInput], [1], dtype)]),
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
function invertFirst(
  workspace: Workspace,
  { covariance }: SlotArrays,
  { inputInverse, inputDiagonal }: SlotArrays,
  width: number,
  damping: number,
): RefreshOutcome | Promise<RefreshOutcome> {
  const inverted = invertDamped(workspace, {
    ...{ order: width, damping: Math.sqrt(damping) },
    load: (matrix) => matrix.set(covariance),
    use(inverse) {
      inputInverse.set(inverse);
      for (let k = 0; k < width; k++) inputDiagonal[k] = inputInverse[k * (width + 1)];
    },
  });
  return whenReady(inverted, (outcome) => {
    const raised = outcome.failure === undefined && outcome.retries > 0;
    return { ...outcome, damping: raised ? outcome.damping ** 2 : damping };
  });
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
