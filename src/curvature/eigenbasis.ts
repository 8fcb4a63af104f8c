/**
 * The eigenbasis of a layer's Kronecker factors, U_G ⊗ U_A with A = U_A Λ_A U_Aᵀ and G = U_G Λ_G U_Gᵀ: what K-FAC's eigen form
 * and EKFAC have in common.
 *
 * As ā = [a, β], āU_A = a U_a + β u with U_a the rows of U_A that belong to the weights and u the bias's: no column is appended
 * to activations, and no direction has to be cut into weight and bias.
 *
 * | symbol | slot          | shape  |
 * | ------ | ------------- | ------ |
 * | U_a    | `weightBasis` | (F, F̄) |
 * | u      | `biasBasis`   | (1, F̄), where there is a bias |
 * | U_G    | `outputBasis` | (O, O) |
 */
import { type LayerScores, type LayerVector, vectorMatrix } from "../fisher/index.ts";
import { add, concatenate, matmul, multiply, reshape, type SymbolicTensor } from "../graph/index.ts";
import type { RefreshOutcome, SlotArrays, SlotSpec, SlotSymbols } from "./block.ts";
import { decomposeBorrowed, failed } from "./factorize.ts";
import { factorOrders, factorsAreCheaper, loadInputFactor, loadOutputFactor } from "./kronecker.ts";
import { whenBoth } from "./ready.ts";
import type { Workspace } from "./workspace.ts";

export function basisSlots(layer: LayerScores): Record<string, SlotSpec> {
  const { dtype } = layer.deltas;
  const { inputs, outputs } = factorOrders(layer);
  return {
    weightBasis: { shape: [layer.inputs.shape[1], inputs], dtype },
    ...(layer.bias !== undefined && { biasBasis: { shape: [1, inputs], dtype } }),
    outputBasis: { shape: [outputs, outputs], dtype },
  };
}

/**
 * Decomposes both factors and writes the basis; at λ = 0 only where both are positive definite.
 *
 * @param use takes the eigenvalues, ascending, none below 0: those of G (O), those of A (F̄)
 */
export function refreshBasis(
  workspace: Workspace,
  layer: LayerScores,
  averages: SlotArrays,
  slots: SlotArrays,
  damping: number,
  use: (outputs: Float64Array, inputs: Float64Array) => void,
): RefreshOutcome | Promise<RefreshOutcome> {
  const orders = factorOrders(layer);
  const values: Record<"inputs" | "outputs", Float64Array> = {
    inputs: new Float64Array(0),
    outputs: new Float64Array(0),
  };
  const input = decomposeBorrowed(workspace, {
    order: orders.inputs,
    load: (matrix) => loadInputFactor(matrix, averages, layer),
    use(eigenvalues, vectors) {
      values.inputs = eigenvalues;
      const weights = slots.weightBasis.length;
      slots.weightBasis.set(vectors.subarray(0, weights));
      slots.biasBasis?.set(vectors.subarray(weights));
    },
  });
  const output = decomposeBorrowed(workspace, {
    order: orders.outputs,
    load: (matrix) => loadOutputFactor(matrix, averages),
    use(eigenvalues, vectors) {
      values.outputs = eigenvalues;
      slots.outputBasis.set(vectors);
    },
  });
  const rounding = layer.deltas.dtype === "float64" ? Number.EPSILON : 2 ** -23;
  return whenBoth(input, output, (ofInputs, ofOutputs): RefreshOutcome => {
    const failure = ofInputs ?? ofOutputs;
    if (failure !== undefined) return { damping, retries: 0, failure };
    const { inputs, outputs } = values;
    if (damping === 0 && (isSingular(inputs, rounding) || isSingular(outputs, rounding))) {
      return failed(damping, `a Kronecker factor of ${layer.layer} is singular`);
    }
    use(
      outputs.map((value) => Math.max(0, value)),
      inputs.map((value) => Math.max(0, value)),
    );
    return { damping, retries: 0 };
  });
}

/** Whether the smallest eigenvalue is rounding. */
function isSingular(ascending: Float64Array, rounding: number): boolean {
  return ascending[0] <= ascending.length * rounding * ascending[ascending.length - 1];
}

/** Λ_G ⊗ Λ_A, (O, F̄), each element through `map`; the sum of what is written. */
export function writeProducts(
  target: SlotArrays[string],
  outputs: Float64Array,
  inputs: Float64Array,
  map: (product: number) => number = (product) => product,
): number {
  let total = 0;
  for (let o = 0; o < outputs.length; o++) {
    for (let i = 0; i < inputs.length; i++) {
      const value = map(outputs[o] * inputs[i]);
      target[o * inputs.length + i] = value;
      total += value;
    }
  }
  return total;
}

/** A batch's factors in the basis: āU_A as the inputs of a layer without bias, and δU_G. */
export function rotate(batch: LayerScores, slots: SlotSymbols): LayerScores {
  const { weightBasis, biasBasis, outputBasis } = slots;
  const fromWeights = matmul(batch.inputs, weightBasis);
  const inputs = biasBasis ? add(fromWeights, multiply(biasBasis, batch.biasInput)) : fromWeights;
  return { ...batch, bias: undefined, inputs, deltas: matmul(batch.deltas, outputBasis) };
}

/** U_Gᵀ g U_A, (O, F̄), from the gradient's factors where they are at hand and that is cheaper. */
export function gradientInBasis(
  gradient: LayerVector,
  slots: SlotSymbols,
  factors: LayerScores | undefined,
): SymbolicTensor {
  if (factors && factorsAreCheaper(factors)) {
    const { inputs, deltas } = rotate(factors, slots);
    return matmul(multiply(deltas, 1 / inputs.shape[0]), inputs, { transposeA: true });
  }
  return intoBasis(vectorMatrix(gradient), slots);
}

/** U_Gᵀ X U_A of matrices (…, O, F̄). */
export function intoBasis(
  matrices: SymbolicTensor,
  { weightBasis, biasBasis, outputBasis }: SlotSymbols,
): SymbolicTensor {
  const basis = biasBasis ? concatenate([weightBasis, biasBasis]) : weightBasis;
  return matmul(matmul(outputBasis, matrices, { transposeA: true }), basis);
}

/** U_G X U_Aᵀ for X (O, F̄). */
export function outOfBasis(
  x: SymbolicTensor,
  { weightBasis, biasBasis, outputBasis }: SlotSymbols,
): LayerVector {
  const left = matmul(outputBasis, x);
  return {
    weight: matmul(left, weightBasis, { transposeB: true }),
    bias: biasBasis && reshape(matmul(left, biasBasis, { transposeB: true }), [-1]),
  };
}
