/**
 * EKFAC: K-FAC's eigenbasis with the second moments that the gradients have in it.
 *
 *   A = U_A Λ_A U_Aᵀ,   G = U_G Λ_G U_Gᵀ,   s = (1/N) Σ_q (U_Gᵀ δ_q ā_qᵀ U_A)² = (1/N) ((δU_G)²)ᵀ ((āU_A)²)
 *   δW̄ = U_G [ (U_Gᵀ g U_A) / (s + λ) ] U_Aᵀ                                               [George18 §3, algorithm 1]
 *
 * Among all matrices that are diagonal in the basis U_A ⊗ U_G this one is nearest to F_l in the Frobenius norm
 * [George18 theorem 2]; K-FAC itself has s = Λ_G ⊗ Λ_A. The scale s costs two products with each score row, the basis two
 * eigendecompositions, so the scale may be refreshed more often than the basis.
 *
 * | symbol        | slot                         | shape            |
 * | ------------- | ---------------------------- | ---------------- |
 * | A, G          | `inputAverage`, `outputAverage` | (F̄, F̄), (O, O) |
 * | U_A, U_G      | `inputBasis`, `outputBasis`  | (F̄, F̄), (O, O)   |
 * | ā, δ          | `inputs`, `deltas`           | (N, F̄), (M, O)   |
 * | s             | `scale`                      | (O, F̄)           |
 * | s before      | `previousScale`              | (O, F̄)           |
 * | ε             | `scaleDecay`                 | ()               |
 * | λ             | `damping`                    | ()               |
 * | scales in this basis | `age`                 | ()               |
 *
 * Differs from the paper: A, G and s are moving averages, updated together, all with the same ε. As the old scale belongs to
 * the old coordinates, that of a new basis starts from Λ_G ⊗ Λ_A, which averages over the same batches.
 */
import { requireOption } from "../errors.ts";
import {
  extendedInputs,
  type LayerScores,
  matrixVector,
  squaredScores,
  vectorMatrix,
} from "../fisher/index.ts";
import { add, divide, matmul, multiply, type SymbolicTensor, subtract } from "../graph/index.ts";
import { type SymmetricEigen, symmetricEigen, symmetricEigenAsync } from "../linalg/index.ts";
import { bytesPerElement, type TypedArray } from "../tensor.ts";
import type { CurvatureBlock, RefreshOutcome, SlotArrays } from "./block.ts";
import { failed, LARGEST_SYNCHRONOUS_ORDER } from "./factorize.ts";
import {
  averageDecay,
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

export interface EkfacSettings {
  /** Bound of ε in the moving averages. */
  readonly decay: number;
  /** Steps between refreshes of the basis. */
  readonly refreshEvery: number;
  /** Steps between refreshes of the scale, which the engine counts. */
  readonly scaleEvery: number;
}

/** @throws UsageError when a setting is out of range */
export function ekfacStructure(settings: EkfacSettings): Structure {
  const { decay, refreshEvery, scaleEvery } = settings;
  checkDecay(decay);
  checkPeriod(refreshEvery);
  requireOption(
    Number.isInteger(scaleEvery) && scaleEvery > 0 && refreshEvery % scaleEvery === 0,
    "scaleEvery",
    scaleEvery,
    `a divisor of refreshEvery, which is ${refreshEvery}`,
  );
  return {
    name: "ekfac",
    blocks: ({ layers, samples }, { memoryLimit }) =>
      layers.map((layer) => ekfacBlock(layer, samples, settings, memoryLimit)),
  };
}

function ekfacBlock(
  layer: LayerScores,
  samples: number,
  { decay, refreshEvery, scaleEvery }: EkfacSettings,
  memoryLimit: number,
): CurvatureBlock {
  const orders = factorOrders(layer);
  const { dtype } = layer.deltas;
  const squares = orders.inputs ** 2 + orders.outputs ** 2;
  const rows = samples * orders.inputs + layer.deltas.size;
  const scaleSize = orders.inputs * orders.outputs;
  const memoryBytes = bytesPerElement(dtype) * (3 * squares + 2 * scaleSize + rows) + 3 * 8 * squares;
  checkMemory("ekfac", layer, memoryBytes, memoryLimit);

  /** Whether s could: (1/N) Σ_q of products of squares, which are at most N² tr A tr G together. */
  function overflows({ inputFactor, outputFactor }: SlotArrays): boolean {
    const bound = samples ** 2 * trace(inputFactor, orders.inputs) * trace(outputFactor, orders.outputs);
    return !(bound < (dtype === "float64" ? Number.MAX_VALUE : LARGEST_FLOAT32));
  }

  /** Takes up another basis; at λ = 0 only where both factors are positive definite. */
  function turn(
    slots: SlotArrays,
    input: SymmetricEigen,
    output: SymmetricEigen,
    damping: number,
  ): RefreshOutcome {
    if (input.failure !== undefined) return { damping, retries: 0, failure: input.failure };
    if (output.failure !== undefined) return { damping, retries: 0, failure: output.failure };
    const rounding = dtype === "float64" ? Number.EPSILON : 2 ** -23;
    if (damping === 0 && (isSingular(input.values, rounding) || isSingular(output.values, rounding))) {
      return failed(damping, `a Kronecker factor of ${layer.layer} is singular`);
    }
    slots.inputBasis.set(input.vectors);
    slots.outputBasis.set(output.vectors);
    kroneckerScale(slots.scale, output.values, input.values);
    slots.age[0] = 0;
    return prepareScale(slots, decay, damping);
  }

  return {
    layers: [layer],
    report: {
      parameters: blockParameters([layer]),
      structure: "ekfac",
      solver: "elementwise in the eigenbasis of both Kronecker factors",
      dimension: Math.max(orders.inputs, orders.outputs),
      memoryBytes,
    },
    statistics: { ...factorStatistics(layer, samples), inputs: extendedInputs(layer), deltas: layer.deltas },
    refreshed: {
      ...averageSlots(layer),
      inputBasis: { shape: [orders.inputs, orders.inputs], dtype },
      outputBasis: { shape: [orders.outputs, orders.outputs], dtype },
      scale: { shape: [orders.outputs, orders.inputs], dtype },
      age: HOST_SCALAR,
      previousScale: { shape: [orders.outputs, orders.inputs], dtype },
      scaleDecay: { shape: [], dtype },
      damping: { shape: [], dtype },
    },
    memory: [...averageMemory, "inputBasis", "outputBasis", "scale", "age"],
    refresh(slots, { damping }) {
      const failure = updateAverages(slots, layer, decay);
      if (failure !== undefined) return { damping, retries: 0, failure };
      if (overflows(slots)) {
        return { damping, retries: 0, failure: `the squared scores of ${layer.layer} overflow ${dtype}` };
      }
      const age = slots.age[0];
      const keeps = age > 0 && age < refreshEvery / scaleEvery;
      if (keeps) return prepareScale(slots, decay, damping);
      return whenBoth(
        decompose(slots.inputAverage, orders.inputs),
        decompose(slots.outputAverage, orders.outputs),
        (input, output) => turn(slots, input, output, damping),
      );
    },
    settle(slots) {
      const { previousScale, scaleDecay } = slots;
      const rotated: LayerScores = {
        ...layer,
        bias: undefined, // its column is in ā already
        inputs: matmul(slots.inputs, slots.inputBasis),
        deltas: matmul(slots.deltas, slots.outputBasis),
      };
      const scale = multiply(squaredScores(rotated).weight, 1 / samples);
      const fresh = multiply(scale, subtract(1, scaleDecay));
      return { scale: add(multiply(previousScale, scaleDecay), fresh) };
    },
    stale([gradient], { inputBasis, outputBasis, scale, damping }) {
      const into = (x: SymbolicTensor) => matmul(matmul(outputBasis, x, { transposeA: true }), inputBasis);
      const back = (x: SymbolicTensor) => matmul(matmul(outputBasis, x), inputBasis, { transposeB: true });
      const direction = back(divide(into(vectorMatrix(gradient)), add(scale, damping)));
      return [matrixVector(layer, direction)];
    },
  };
}

function decompose(matrix: TypedArray, order: number): SymmetricEigen | Promise<SymmetricEigen> {
  const copy = new Float64Array(matrix);
  return order <= LARGEST_SYNCHRONOUS_ORDER ? symmetricEigen(copy, order) : symmetricEigenAsync(copy, order);
}

const LARGEST_FLOAT32 = (2 - 2 ** -23) * 2 ** 127;

/** Whether the smallest eigenvalue is rounding. */
function isSingular(ascending: Float64Array, rounding: number): boolean {
  return ascending[0] <= ascending.length * rounding * ascending[ascending.length - 1];
}

/** s = Λ_G ⊗ Λ_A, (O, F̄): what K-FAC takes for the scale. */
function kroneckerScale(scale: TypedArray, outputs: Float64Array, inputs: Float64Array): void {
  outputs.forEach((output, o) => {
    inputs.forEach((input, i) => {
      scale[o * inputs.length + i] = Math.max(0, output) * Math.max(0, input);
    });
  });
}

/** What `settle` needs on the host's side: the scale so far, how much of it stays, and λ. */
function prepareScale(slots: SlotArrays, decay: number, damping: number): RefreshOutcome {
  slots.age[0]++;
  slots.previousScale.set(slots.scale);
  slots.scaleDecay[0] = averageDecay(slots.updates[0], decay);
  slots.damping[0] = damping;
  return { damping, retries: 0 };
}
