/**
 * K-FAC: for every layer the Kronecker product of two small matrices.
 *
 *   F_l ≈ A ⊗ G,   δW̄ = (G + (√λ/π) I)⁻¹ g (A + π√λ I)⁻¹,   π = √((tr A / dim A) / (tr G / dim G))    [Martens15 §3–6.3]
 *
 * with moving averages A and G (`kronecker.ts`), updated on every step; they are inverted anew every `refreshEvery` steps,
 * and when λ was raised. The two factored dampings multiply to λ; π shares it between the factors by their size.
 *
 * | symbol              | slot            | shape  |
 * | ------------------- | --------------- | ------ |
 * | A, G                | `inputAverage`, `outputAverage` | (F̄, F̄), (O, O) |
 * | (A + π√λ I)⁻¹       | `inputInverse`  | (F̄, F̄) |
 * | (G + (√λ/π) I)⁻¹    | `outputInverse` | (O, O) |
 * | λ of the inverses   | `damping`       | ()     |
 * | steps that used them | `age`          | ()     |
 *
 * Differs from the paper: the block-diagonal form only, not the tri-diagonal one; statistics are taken from the whole
 * batch; step size and momentum are not chosen by the quadratic model.
 */
import { requireOption } from "../errors.ts";
import { extendedInputs, type LayerScores, matrixVector, vectorMatrix } from "../fisher/index.ts";
import { matmul, multiply } from "../graph/index.ts";
import { bytesPerElement, type TypedArray } from "../tensor.ts";
import type { CurvatureBlock, RefreshOutcome, SlotArrays } from "./block.ts";
import { solveDamped } from "./factorize.ts";
import {
  averageMemory,
  averageSlots,
  checkDecay,
  checkMemory,
  checkPeriod,
  factorOrders,
  factorStatistics,
  HOST_SCALAR,
  trace,
  updateAverages,
  whenBoth,
} from "./kronecker.ts";
import { blockParameters } from "./partition.ts";
import type { Structure } from "./structure.ts";

export interface KfacSettings {
  /** Steps between inversions of the factors. */
  readonly refreshEvery: number;
  /** Bound of ε in the moving averages. */
  readonly decay: number;
  /** Whether π follows the factors' traces; 1 otherwise. */
  readonly piDamping: boolean;
}

/** @throws UsageError when a setting is out of range */
export function kfacStructure(settings: KfacSettings): Structure {
  checkDecay(settings.decay);
  checkPeriod(settings.refreshEvery);
  requireOption(typeof settings.piDamping === "boolean", "piDamping", settings.piDamping, "true or false");
  return {
    name: "kfac",
    blocks: ({ layers, samples }, { memoryLimit }) =>
      layers.map((layer) => kfacBlock(layer, samples, settings, memoryLimit)),
  };
}

function kfacBlock(
  layer: LayerScores,
  samples: number,
  { decay, piDamping, refreshEvery }: KfacSettings,
  memoryLimit: number,
): CurvatureBlock {
  const orders = factorOrders(layer);
  const { dtype } = layer.deltas;
  const memoryBytes = (3 * bytesPerElement(dtype) + 3 * 8) * (orders.inputs ** 2 + orders.outputs ** 2);
  checkMemory("kfac", layer, memoryBytes, memoryLimit);

  function invert(slots: SlotArrays, damping: number): RefreshOutcome | Promise<RefreshOutcome> {
    const { inputAverage, outputAverage, inputInverse, outputInverse } = slots;
    const pi = piDamping ? balance(inputAverage, orders.inputs, outputAverage, orders.outputs) : 1;
    const root = Math.sqrt(damping);
    const input = { matrix: inputAverage, order: orders.inputs, damping: pi * root, inverse: inputInverse };
    const output = {
      matrix: outputAverage,
      order: orders.outputs,
      damping: root / pi,
      inverse: outputInverse,
    };
    return whenBoth(solveDamped(input), solveDamped(output), (first, second) => {
      const outcome = together(first, second, damping);
      slots.damping[0] = outcome.damping;
      slots.age[0] = outcome.failure === undefined ? 1 : 0;
      return outcome;
    });
  }

  return {
    layers: [layer],
    report: {
      parameters: blockParameters([layer]),
      structure: "kfac",
      solver: "inverse of both Kronecker factors",
      dimension: Math.max(orders.inputs, orders.outputs),
      memoryBytes,
    },
    statistics: factorStatistics(layer, samples),
    refreshed: {
      ...averageSlots(layer),
      inputInverse: { shape: [orders.inputs, orders.inputs], dtype },
      outputInverse: { shape: [orders.outputs, orders.outputs], dtype },
      damping: HOST_SCALAR,
      age: HOST_SCALAR,
    },
    memory: [...averageMemory, "inputInverse", "outputInverse", "damping", "age"],
    refresh(slots, request) {
      const failure = updateAverages(slots, layer, decay);
      if (failure !== undefined) return { damping: request.damping, retries: 0, failure };
      const { age, damping } = slots;
      if (age[0] === 0 || age[0] >= refreshEvery || request.damping > damping[0]) {
        return invert(slots, request.damping);
      }
      age[0]++;
      return { damping: damping[0], retries: 0 };
    },
    factored: factorsAreCheaper(layer),
    stale([gradient], slots, factors) {
      const { inputInverse, outputInverse } = slots;
      if (factors && factorsAreCheaper(factors[0])) {
        const [batch] = factors;
        const left = matmul(multiply(batch.deltas, 1 / batch.inputs.shape[0]), outputInverse);
        const right = matmul(extendedInputs(batch), inputInverse);
        return [matrixVector(layer, matmul(left, right, { transposeA: true }))];
      }
      return [matrixVector(layer, matmul(matmul(outputInverse, vectorMatrix(gradient)), inputInverse))];
    },
  };
}

/** Whether G⁻¹(δᵀā)A⁻¹ takes less as (δG⁻¹)ᵀ(āA⁻¹), as it does for batches smaller than the layer. */
function factorsAreCheaper(batch: LayerScores): boolean {
  const { inputs, outputs } = factorOrders(batch);
  const samples = batch.inputs.shape[0];
  return samples * (inputs ** 2 + outputs ** 2 + inputs * outputs) < inputs * outputs * (inputs + outputs);
}

/** π, the root of the ratio of mean eigenvalues; 1 where one of the factors is zero. */
function balance(a: TypedArray, orderA: number, g: TypedArray, orderG: number): number {
  const ratio = trace(a, orderA) / orderA / (trace(g, orderG) / orderG);
  return ratio > 0 && ratio < Infinity ? Math.sqrt(ratio) : 1;
}

/** The outcome of both factors; their dampings multiply to λ. */
function together(input: RefreshOutcome, output: RefreshOutcome, damping: number): RefreshOutcome {
  const retries = Math.max(input.retries, output.retries);
  const failure = input.failure ?? output.failure;
  return { damping: retries === 0 ? damping : input.damping * output.damping, retries, failure };
}
