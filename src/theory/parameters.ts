/**
 * Predicted parameters: where training moves θ while the Jacobian does not change.
 *
 * Source: [Karakida20 eq. 9] for the exact Fisher; the same steps for the others. Every update is a combination of the rows of J, so
 *
 *   θ_t,l = θ_0,l + J_lᵀ u_l(t)
 *
 *   gradient descent  u = (1/N) Θ̄⁻¹(I − (I − ηΘ̄)ᵗ)(y − f_0),  Θ̄ = Θ/N    the same for all layers
 *   exact             u = (1 − (1 − η)ᵗ) Θ⁻¹(y − f_0)                       the same for all layers
 *   layer-wise        u_l = (1 − (1 − αη)ᵗ)/α · (Σ⁻¹1)_l Θ_l⁻¹(y − f_0)
 *
 * | symbol | where                       | shape                       |
 * | ------ | --------------------------- | --------------------------- |
 * | u_l(t) | {@link Dynamics.weights}    | (N, C) or (C·N, 1)          |
 * | J_l    | the network's, at `inputs`  | (C·N, P_l)                  |
 * | θ_t    | the result                  | named tensors               |
 *
 * Differs from the paper: none. The kernels that u comes from may be the network's own, which makes this exact for models linear in
 * their parameters, or those of the wide limit.
 */
import { UsageError } from "../errors.ts";
import { transposedProduct } from "../fisher/index.ts";
import { add, input, type NamedOutputs } from "../graph/index.ts";
import type { NamedTensors, Tensor } from "../tensor.ts";
import { stack } from "./dynamics.ts";
import { type EvaluationOptions, evaluateJacobian, type FiniteNetwork } from "./finite.ts";
import type { KernelMatrix } from "./matrix.ts";

/**
 * θ_0 + J_lᵀu_l, by full name.
 *
 * @param network with θ_0; @param inputs the training points, (N, …inputShape)
 * @param weights u_l, one for each layer with parameters, or one for all
 * @throws UsageError when there are as many weights as fit neither
 */
export async function linearizedParameters(
  network: FiniteNetwork,
  inputs: Tensor,
  weights: readonly KernelMatrix[],
  options: EvaluationOptions = {},
): Promise<NamedTensors> {
  const extras: Record<string, Tensor> = {};
  weights.forEach((u, l) => {
    const { data } = u.shape[1] === 1 ? u : stack(u);
    extras[`weights/${l}`] = { shape: [data.length], data };
  });
  const results = await evaluateJacobian(
    network,
    inputs,
    ({ scores: { layers }, parameters }) => {
      if (weights.length !== 1 && weights.length !== layers.length) {
        throw new UsageError(
          `invalid weights: ${weights.length} (must be 1 or ${layers.length}, one a layer)`,
        );
      }
      const moved: Record<string, NamedOutputs[string]> = {};
      layers.forEach((layer, l) => {
        const rows = layer.deltas.shape[0];
        const own = `weights/${weights.length === 1 ? 0 : l}`;
        if (extras[own].data.length !== rows) {
          throw new UsageError(`invalid weights: ${extras[own].data.length} numbers (must be ${rows})`);
        }
        const step = transposedProduct(layer, input(own, [rows], layer.deltas.dtype));
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
