/**
 * How far a metric is from isotropy: the condition number of Θ̄ at the training points [Karakida20 §5, fig. 3].
 *
 *   isotropic  Θ̄ = αI, condition number 1: all points are learned at one rate, and in one step at η = 1/α
 *
 * Θ̄ = (1/N) J F̃⁺ Jᵀ is symmetric for every symmetric F̃. Its matrices are: Θ/N for gradient descent, {@link layerWiseKernel} for exact and layer-wise
 * metrics, `unitWiseKernel` and `diagonalKernel` for those. With K_l = Θ_l/N and damping λ,
 *
 *   layer-wise  Θ̄ = Σ_l K_l U_l,   ((Σ ⊗ I) blockdiag(K_1 … K_L) + λI) [U_1; …; U_L] = 1 ⊗ I
 *   Σ = I, λ = 0, or one kernel alone: Θ̄ = Σ_l K_l K_l⁺, projections
 *
 * | symbol | argument or field | shape             |
 * | ------ | ----------------- | ----------------- |
 * | Θ_l    | `layers`          | L × (M, M)        |
 * | Θ̄      | the result        | (M, M)            |
 * | μ      | `values`          | (M), ascending    |
 *
 * Differs from the paper: none; where M points exceed the width, K_l has no inverse and the projection is what the limit λ → 0 gives.
 */

import { type CouplingOption, couplingMatrix, isIdentity } from "../curvature/coupling.ts";
import { requireOption } from "../errors.ts";
import { dampedLuAsync, luSolveAsync, symmetricEigenAsync } from "../linalg/index.ts";
import { couplingWeights } from "./coupling.ts";
import { type KernelMatrix, kernelMatrix, orderOf, product, transposed, weightedSum } from "./matrix.ts";

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

export interface LayerWiseKernel {
  /** Θ̄ at the training points, (M, M). */
  readonly train: KernelMatrix;
  readonly failure?: undefined;
}

/**
 * Θ̄ of the layer-wise metrics at the training points, from Θ_1 … Θ_L.
 *
 * @param coupling Σ; default `"identity"`, block-diagonal; `"ones"` is the exact Fisher
 * @param damping λ ≥ 0; default 0
 * @returns Θ̄, or in words why there is none: without damping, a Σ that couples layers needs invertible kernels
 */
export async function layerWiseKernel(
  layers: readonly KernelMatrix[],
  samples: number,
  coupling: CouplingOption = "identity",
  damping = 0,
): Promise<LayerWiseKernel | { readonly failure: string }> {
  requireOption(damping >= 0 && damping < Infinity, "damping", damping, ">= 0");
  if (coupling === "ones" && layers.length > 1) {
    return layerWiseKernel([weightedSum(layers)], samples, "identity", damping);
  }
  const count = layers.length;
  const order = orderOf("kernel", layers[0]);
  const sigma = couplingMatrix(coupling, count);
  if (damping > 0 && !isIdentity(sigma, count)) return coupledKernel(layers, samples, sigma, damping);
  const weights = isIdentity(sigma, count) ? undefined : couplingWeights(coupling, count).weights;
  const projections: KernelMatrix[] = [];
  for (const [l, layer] of layers.entries()) {
    const eigen = await symmetricEigenAsync(layer.data, order);
    if (eigen.failure !== undefined) return { failure: `kernel of layer ${l + 1}: ${eigen.failure}` };
    const { values, vectors } = eigen;
    const floor = order * Number.EPSILON * Math.max(0, values[order - 1]);
    if (weights && values[0] <= floor) {
      return { failure: `kernel of layer ${l + 1}: singular to working precision; use damping > 0` };
    }
    const kept = values.map((value) => (value > floor ? value / (value + samples * damping) : 0));
    const basis = kernelMatrix(order, order, vectors);
    const half = kernelMatrix(
      order,
      order,
      vectors.map((value, k) => value * kept[k % order]),
    );
    projections.push(product(half, transposed(basis)));
  }
  return { train: weightedSum(projections, weights) };
}

async function coupledKernel(
  layers: readonly KernelMatrix[],
  samples: number,
  sigma: Float64Array,
  damping: number,
): Promise<LayerWiseKernel | { readonly failure: string }> {
  const count = layers.length;
  const order = layers[0].shape[0];
  const total = count * order;
  const system = new Float64Array(total * total);
  const right = new Float64Array(total * order);
  for (let i = 0; i < count; i++) {
    for (let j = 0; j < count; j++) {
      const weight = sigma[i * count + j] / samples;
      for (let row = 0; row < order; row++) {
        for (let column = 0; column < order; column++) {
          system[(i * order + row) * total + j * order + column] =
            weight * layers[j].data[row * order + column];
        }
      }
    }
    for (let row = 0; row < order; row++) right[(i * order + row) * order + row] = 1;
  }
  const factored = await dampedLuAsync(system, total, damping, 0);
  if (factored.failure !== undefined) return { failure: factored.failure };
  if (!(await luSolveAsync(factored.factors, total, right, order))) {
    return { failure: "the solution is not finite" };
  }
  const parts = layers.map((layer, l) => {
    return product(
      layer,
      kernelMatrix(order, order, right.slice(l * order * order, (l + 1) * order * order)),
    );
  });
  return { train: weightedSum(parts, new Float64Array(count).fill(1 / samples)) };
}
