/**
 * Pseudo-inverses of kernel matrices: by Cholesky where K is invertible beyond doubt, else by its eigenvectors above rounding.
 *
 *   K⁺ = V diag(1/μ where μ > 8Nε μ_max, else 0) Vᵀ
 */
import { choleskySolveAsync, dampedCholeskyAsync, symmetricEigenAsync } from "../linalg/index.ts";
import { type KernelMatrix, kernelMatrix, orderOf, product, transposed } from "./matrix.ts";

export interface PseudoInverse {
  /** K K⁺, (N, N); absent where it is the identity. */
  readonly projection?: KernelMatrix;
  /** R K⁺, R of shape (any, N). */
  rightOf(matrix: KernelMatrix): Promise<KernelMatrix>;
  readonly failure?: undefined;
}

/** A pivot below this share, times N, of its diagonal element may be rounding, and the eigenvalues decide. */
const DOUBTFUL_PIVOT = 1e-13;
/** Eigenvalues below this share, times N, of the largest are rounding of the kernel's own elements. */
const ROUNDING = 8 * Number.EPSILON;

/** K⁺, or in words why there is none. */
export async function pseudoInverse(
  kernel: KernelMatrix,
): Promise<PseudoInverse | { readonly failure: string }> {
  const order = orderOf("kernel", kernel);
  const factor = await invertibleFactor(kernel);
  if (factor !== undefined) {
    const rightOf = async (matrix: KernelMatrix) => {
      const right = transposed(matrix);
      await choleskySolveAsync(factor, order, right.data, right.shape[1]);
      return transposed(right);
    };
    return { rightOf };
  }
  const eigen = await symmetricEigenAsync(kernel.data, order);
  if (eigen.failure !== undefined) return { failure: eigen.failure };
  const floor = order * ROUNDING * Math.max(0, eigen.values[order - 1]);
  const kept = eigen.values.map((value) => (value > floor ? value : Number.POSITIVE_INFINITY));
  const vectors = kernelMatrix(order, order, eigen.vectors);
  const back = transposed(vectors);
  const weighted = (matrix: KernelMatrix, weight: (value: number) => number): KernelMatrix => {
    const along = product(matrix, vectors);
    for (let k = 0; k < along.data.length; k++) along.data[k] *= weight(kept[k % order]);
    return product(along, back);
  };
  const identity = kernelMatrix(order, order);
  for (let n = 0; n < order; n++) identity.data[n * (order + 1)] = 1;
  const whole = kept.every(Number.isFinite);
  return {
    projection: whole ? undefined : weighted(identity, (value) => (value < Number.POSITIVE_INFINITY ? 1 : 0)),
    rightOf: async (matrix) => weighted(matrix, (value) => 1 / value),
  };
}

/** The Cholesky factor of a kernel whose pivots are far above rounding. */
export async function invertibleFactor(kernel: KernelMatrix): Promise<Float64Array | undefined> {
  const order = orderOf("kernel", kernel);
  const factored = await dampedCholeskyAsync(kernel.data, order, 0, { maxRetries: 0 });
  if (factored.failure !== undefined) return undefined;
  for (let n = 0; n < order; n++) {
    const at = n * (order + 1);
    if (!(factored.factor[at] ** 2 > DOUBTFUL_PIVOT * order * kernel.data[at])) return undefined;
  }
  return factored.factor;
}
