/**
 * Predicted parameters: where training moves θ while the Jacobian does not change.
 *
 * Source: [Karakida20 eq. 9] for the exact Fisher; the same steps for the others. With v(t) = Θ̄⁻¹(I − (I − ηΘ̄)ᵗ)(y − f_0), Θ̄ of the metric,
 *
 *   gradient descent  θ_t,l = θ_0,l + (1/N) J_lᵀ v(t)
 *   exact             θ_t,l = θ_0,l + J_lᵀ Θ⁻¹ v(t)
 *   layer-wise        θ_t,l = θ_0,l + (Σ⁻¹1)_l J_lᵀ Θ_l⁻¹ v(t)
 *   K-FAC             W_t,l = W_0,l + N δ_lᵀ (δ_l δ_lᵀ)⁺ diag(v(t)) (ā_l ā_lᵀ)⁺ ā_l,   the last layer: W_0,L + v(t)ᵀ (ā_L ā_Lᵀ)⁺ ā_L
 *   unit-wise         w_t,o = w_0,o + J_oᵀ (J_o J_oᵀ)⁺ v(t),  J_o = diag(δ_o) ā_l, for every unit o
 *
 * | symbol | where                       | shape                       |
 * | ------ | --------------------------- | --------------------------- |
 * | θ_t − θ_0 | {@link Dynamics.moves}   | one {@link LayerMove} a layer, or one for all |
 * | J_l    | the network's, at `inputs`  | (C·N, P_l)                  |
 * | θ_t    | the result                  | named tensors               |
 *
 * Differs from the paper: none. The kernels that v comes from may be the network's own, which makes this exact for models linear in
 * their parameters, or those of the wide limit; K-FAC's (`Q` of `empiricalKernels` for A) and the unit-wise ones count with their scale here.
 */
import { UsageError } from "../errors.ts";
import { type LayerScores, type LayerVector, transposedProduct } from "../fisher/index.ts";
import { add, broadcastTo, input, matmul, type NamedOutputs, scalar } from "../graph/index.ts";
import { formatShape, type NamedTensors, type Tensor } from "../tensor.ts";
import { type LayerMove, stack } from "./dynamics.ts";
import { type EvaluationOptions, evaluateJacobian, type FiniteNetwork } from "./finite.ts";

/**
 * θ_t, by full name.
 *
 * @param network with θ_0; @param inputs the training points, (N, …inputShape)
 * @param moves of each layer with parameters, or one for all
 * @throws UsageError when there are as many moves as fit neither, or their shapes do not fit the network
 */
export async function linearizedParameters(
  network: FiniteNetwork,
  inputs: Tensor,
  moves: readonly LayerMove[],
  options: EvaluationOptions = {},
): Promise<NamedTensors> {
  const values = moves.map(matrixOf);
  const extras = Object.fromEntries(values.map((value, l) => [`move/${l}`, value]));
  const results = await evaluateJacobian(
    network,
    inputs,
    ({ scores: { layers }, parameters }) => {
      if (moves.length !== 1 && moves.length !== layers.length) {
        throw new UsageError(`invalid moves: ${moves.length} (must be 1 or ${layers.length}, one a layer)`);
      }
      const moved: Record<string, NamedOutputs[string]> = {};
      layers.forEach((layer, l) => {
        const own = moves.length === 1 ? 0 : l;
        requireShape(layer, moves[own], values[own]);
        const value = input(`move/${own}`, values[own].shape, layer.deltas.dtype);
        const step = carriedOut(layer, moves[own], value);
        moved[layer.weight] = add(parameters.get(layer.weight)!, step.weight);
        if (layer.bias !== undefined) moved[layer.bias] = add(parameters.get(layer.bias)!, step.bias!);
      });
      return moved;
    },
    options,
    extras,
  );
  return new Map(Object.entries(results));
}

/** The matrix of a move; u output by output. */
function matrixOf(move: LayerMove): Tensor {
  if ("core" in move) return move.core;
  if ("units" in move) return move.units;
  return move.rows.shape[1] === 1 ? move.rows : stack(move.rows);
}

function requireShape({ inputs, deltas }: LayerScores, move: LayerMove, { shape }: Tensor): void {
  const [rows, units] = deltas.shape;
  const samples = inputs.shape[0];
  if ("core" in move && rows !== samples) {
    throw new UsageError(`invalid moves: a core with ${rows / samples} outputs (must be one)`);
  }
  const must = [rows, "core" in move ? samples : "units" in move ? units : 1];
  if (shape[0] !== must[0] || shape[1] !== must[1]) {
    throw new UsageError(`invalid moves: shape ${formatShape(shape)} (must be ${formatShape(must)})`);
  }
}

function carriedOut(layer: LayerScores, move: LayerMove, value: NamedOutputs[string]): LayerVector {
  if ("rows" in move) return transposedProduct(layer, value);
  // δᵀKā = (Kᵀδ)ᵀā: both forms are Jᵀ1 with other derivatives.
  const deltas = "core" in move ? matmul(value, layer.deltas, { transposeA: true }) : value;
  const ones = broadcastTo(scalar(1, deltas.dtype), [deltas.shape[0]]);
  return transposedProduct({ ...layer, deltas }, ones);
}
