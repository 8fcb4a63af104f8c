/**
 * The Jacobian of a finite network by its factors, on the host: row q = c·N + n of J_l is δ_l[q] ⊗ ā_l[n] [Soori21 eq. 5].
 * What treats units one by one reads these: unit-wise, diagonal and quasi-diagonal metrics.
 */
import { extendedInputs } from "../fisher/index.ts";
import type { NamedOutputs } from "../graph/index.ts";
import type { Tensor } from "../tensor.ts";
import { type EvaluationOptions, evaluateJacobian, type FiniteNetwork } from "./finite.ts";
import { type KernelMatrix, kernelMatrix } from "./matrix.ts";

export interface LayerFactors {
  /** Name of the layer in the model. */
  readonly name: string;
  /** Whether the last column of `inputs` is the bias's. */
  readonly bias: boolean;
  /** ā_l, (N, F̄). */
  readonly inputs: KernelMatrix;
  /** δ_l = ∂f/∂u_l, (C·N, O). */
  readonly deltas: KernelMatrix;
}

export interface JacobianFactors {
  readonly layers: readonly LayerFactors[];
  /** f, (N, C). */
  readonly outputs: KernelMatrix;
}

/**
 * @param inputs (N, …inputShape)
 * @throws UsageError where a layer with parameters is not dense
 */
export async function jacobianFactors(
  network: FiniteNetwork,
  inputs: Tensor,
  options: EvaluationOptions = {},
): Promise<JacobianFactors> {
  const names: { name: string; bias: boolean }[] = [];
  const results = await evaluateJacobian(
    network,
    inputs,
    ({ scores, outputs }) => {
      const traced = scores.layers.map((layer, l): NamedOutputs => {
        names.push({ name: layer.layer, bias: layer.bias !== undefined });
        return { [`inputs/${l}`]: extendedInputs(layer), [`deltas/${l}`]: layer.deltas };
      });
      return Object.assign({ outputs }, ...traced);
    },
    options,
  );
  const read = ({ shape: [rows, columns], data }: Tensor) =>
    kernelMatrix(rows, columns, Float64Array.from(data));
  const layers = names.map((own, l) => ({
    ...own,
    inputs: read(results[`inputs/${l}`]),
    deltas: read(results[`deltas/${l}`]),
  }));
  return { layers, outputs: read(results.outputs) };
}
