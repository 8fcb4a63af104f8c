/**
 * How far a metric is from isotropy: the condition number of Θ̄ at the training points [Karakida20 §5, fig. 3].
 *
 *   isotropic  Θ̄ = αI, condition number 1: all points are learned at one rate, and in one step at η = 1/α
 *
 * Θ̄ = (1/N) J F̃⁺ Jᵀ is symmetric for every symmetric F̃. For gradient descent it is Θ/N; `layerWiseKernel` has it for the exact Fisher and
 * layer-wise ones, `unitWiseKernel` and `diagonalKernel` for those.
 *
 * | symbol      | argument or field | shape             |
 * | ----------- | ----------------- | ----------------- |
 * | Θ̄           | `kernel`          | (M, M)            |
 * | μ           | `values`          | (M), ascending    |
 * | μ_max/μ_min | `condition`       | a number          |
 *
 * Differs from the paper: none.
 */
import { symmetricEigenAsync } from "../linalg/index.ts";
import { type KernelMatrix, orderOf } from "./matrix.ts";

export interface Isotropy {
  /** Eigenvalues of Θ̄, ascending. */
  readonly values: Float64Array;
  /** Largest over smallest eigenvalue; infinite where Θ̄ is singular to working precision. */
  readonly condition: number;
  /** The mean eigenvalue: α where Θ̄ = αI. */
  readonly alpha: number;
  readonly failure?: undefined;
}

/** Eigenvalues and condition number of a symmetric Θ̄, or in words why there are none. */
export async function isotropy(kernel: KernelMatrix): Promise<Isotropy | { readonly failure: string }> {
  const order = orderOf("kernel", kernel);
  const eigen = await symmetricEigenAsync(kernel.data, order);
  if (eigen.failure !== undefined) return eigen;
  const { values } = eigen;
  const largest = values[order - 1];
  const singular = !(values[0] > order * Number.EPSILON * Math.max(largest, -values[0]));
  const alpha = values.reduce((sum, value) => sum + value, 0) / order;
  return { values, condition: singular ? Infinity : largest / values[0], alpha };
}
