/**
 * Predicted training by K-FAC, of networks with one output and no biases.
 *
 * Source: [Karakida20], with K-FAC of [Martens15]. A layer's block is a Kronecker product of the covariances of its derivatives and inputs, F̃_l = (1/N) δᵀδ ⊗ (1/N) aᵀa. As
 * X'(XᵀX)⁺Xᵀ = X'Xᵀ(XXᵀ)⁺, it acts between points through kernels alone:
 *
 *   Θ̄(x', x) = N Σ_{l<L} (B_l(x', x)B_l⁺) ⊙ (A_{l−1}(x', x)A_{l−1}⁺) + A_{L−1}(x', x)A_{L−1}⁺
 *
 * The last layer has δ = 1 and B_L = 11ᵀ, whose pseudo-inverse is 11ᵀ/N²: the N before it goes. At the training points a layer's part is
 * diagonal once one of its two factors is invertible: N times the diagonal of the other's projection XX⁺. Where both are
 * invertible that is N, and so α = N(L − 1) + 1. The inputs' A_0 has the rank M_0 where M_0 < N; Forster's transformation (`forster.ts`)
 * makes all diagonal elements of its projection M_0/N, and α = N(L − 2) + M_0 + 1. Otherwise points converge at different rates, diagonal Θ̄:
 *
 *   f_t(x_n) = y_n + (1 − α_n η)ᵗ(f_0(x_n) − y_n)
 *
 * | symbol            | argument              | shape                     |
 * | ----------------- | --------------------- | ------------------------- |
 * | A_0 … A_{L−1}     | `train.A`, `test.A`   | L × (N, N), L × (N', N)   |
 * | B_1 … B_L         | `train.B`, `test.B`   | L × (N, N), L × (N', N); B_L = 1 is not read |
 * | α_n               | `rates`               | (N)                       |
 *
 * Factors of the A_l and B_l cancel, so that `Q` of {@link empiricalKernels} without biases serves as `A`.
 *
 * Differs from the paper: as its formula was handed down to us, N stands before the last layer's part too, and α = NL; `lastLayerWeight: N` gives
 * that. What the definition gives for one output, and what `kfac()` does (a test compares them), is 1, the default.
 */

import { UsageError } from "../errors.ts";
import { choleskySolveAsync, dampedCholeskyAsync, symmetricEigenAsync } from "../linalg/index.ts";
import { columnsOf, type Dynamics, ISOTROPIC, type LearningProblem, type Prediction } from "./dynamics.ts";
import { type KernelMatrix, kernelMatrix, orderOf, product, transposed } from "./matrix.ts";
import { progress, progressOver } from "./progress.ts";

/** A_0 … A_{L−1}, and B_1 … B_L or without the last. */
export interface KroneckerKernels {
  readonly A: readonly KernelMatrix[];
  readonly B: readonly KernelMatrix[];
}

export interface KfacOptions {
  /** Factor of the last layer's part; default 1, see above. */
  readonly lastLayerWeight?: number;
}

export interface KfacKernel {
  /** Diagonal of Θ̄ at the training points, whose other elements are zero; (N). */
  readonly rates: Float64Array;
  /** Θ̄(x', x), (N', N); present with test kernels. */
  readonly test?: KernelMatrix;
  readonly failure?: undefined;
}

/** Θ̄ of K-FAC, or in words why there is none. */
export async function kfacKernel(
  train: KroneckerKernels,
  test?: KroneckerKernels,
  { lastLayerWeight = 1 }: KfacOptions = {},
): Promise<KfacKernel | { readonly failure: string }> {
  const depth = train.A.length;
  const count = orderOf("kernel", train.A[0]);
  if (train.B.length < depth - 1 || (test && (test.A.length !== depth || test.B.length < depth - 1))) {
    throw new UsageError(
      `invalid kernels: there must be A and B of all ${depth} layers, B of the last apart`,
    );
  }
  const rates = new Float64Array(count);
  const sum = test && kernelMatrix(test.A[0].shape[0], count);
  for (let l = 0; l < depth; l++) {
    const last = l === depth - 1;
    const weight = last ? lastLayerWeight : count;
    const inputs = await projection(train.A[l], test?.A[l]);
    if (inputs.failure !== undefined)
      return { failure: `K-FAC, inputs of layer ${l + 1}: ${inputs.failure}` };
    const gradients = last ? undefined : await projection(train.B[l], test?.B[l]);
    if (gradients?.failure !== undefined) {
      return { failure: `K-FAC, derivatives of layer ${l + 1}: ${gradients.failure}` };
    }
    const deficient = gradients ? !inputs.whole && !gradients.whole : !inputs.whole;
    if (deficient) {
      return { failure: `K-FAC, layer ${l + 1}: its kernels are singular, and training is not diagonal` };
    }
    for (let n = 0; n < count; n++) rates[n] += weight * inputs.diagonal[n] * (gradients?.diagonal[n] ?? 1);
    if (sum && inputs.test) {
      for (let k = 0; k < sum.data.length; k++) {
        sum.data[k] += weight * inputs.test.data[k] * (gradients ? gradients.test!.data[k] : 1);
      }
    }
  }
  return { rates, test: sum };
}

/** Predicted training by K-FAC, or in words why there is no prediction. */
export async function kfacDynamics(
  train: KroneckerKernels,
  problem: LearningProblem,
  test?: KroneckerKernels,
  options: KfacOptions = {},
): Promise<(Dynamics & { readonly rates: Float64Array }) | { readonly failure: string }> {
  if (problem.targets.shape[1] !== 1) {
    throw new UsageError(`invalid targets: ${problem.targets.shape[1]} outputs (must be 1 for K-FAC)`);
  }
  const columns = columnsOf(problem, orderOf("kernel", train.A[0]), test?.A[0].shape[0]);
  const kernel = await kfacKernel(train, test, options);
  if (kernel.failure !== undefined) return kernel;
  const { rates } = kernel;
  const [least, most] = [rates.reduce((a, b) => Math.min(a, b)), rates.reduce((a, b) => Math.max(a, b))];
  const weighted = (weight: (rate: number) => number): KernelMatrix => {
    return kernelMatrix(
      rates.length,
      1,
      columns.residual.data.map((value, n) => value * weight(rates[n])),
    );
  };
  const predict = (share: (rate: number) => number, over: (rate: number) => number): Prediction => ({
    train: columns.train(weighted(share)),
    test: kernel.test && columns.test(product(kernel.test, weighted(over))),
  });
  return {
    metric: "K-FAC",
    alpha: most - least <= ISOTROPIC * most ? (most + least) / 2 : undefined,
    rates,
    optimalRate: 2 / (most + least),
    at: (step, eta) =>
      predict(
        (rate) => progress(eta * rate, step),
        (rate) => progressOver(rate, eta, step),
      ),
    limit: () =>
      predict(
        (rate) => (rate > 0 ? 1 : 0),
        (rate) => (rate > 0 ? 1 / rate : 0),
      ),
  };
}

type Projection =
  | {
      /** Whether the kernel is invertible: the projection is the identity. */
      readonly whole: boolean;
      /** Diagonal of KK⁺. */
      readonly diagonal: Float64Array;
      /** K(x', x)K⁺. */
      readonly test?: KernelMatrix;
      readonly failure?: undefined;
    }
  | { readonly failure: string };

/** K K⁺ and K(x', x) K⁺: by Cholesky where K is invertible, else by its eigenvectors above rounding. */
async function projection(kernel: KernelMatrix, test?: KernelMatrix): Promise<Projection> {
  const order = orderOf("kernel", kernel);
  const factored = await dampedCholeskyAsync(kernel.data, order, 0, { maxRetries: 0 });
  if (factored.failure === undefined) {
    const diagonal = new Float64Array(order).fill(1);
    if (test === undefined) return { whole: true, diagonal };
    const right = transposed(test);
    const finite = await choleskySolveAsync(factored.factor, order, right.data, right.shape[1]);
    if (finite) return { whole: true, diagonal, test: transposed(right) };
  }
  const eigen = await symmetricEigenAsync(kernel.data, order);
  if (eigen.failure !== undefined) return { failure: eigen.failure };
  const vectors = kernelMatrix(order, order, eigen.vectors);
  const floor = order * Number.EPSILON * Math.max(0, eigen.values[order - 1]);
  const diagonal = new Float64Array(order);
  for (let row = 0; row < order; row++) {
    for (let j = 0; j < order; j++) {
      if (eigen.values[j] > floor) diagonal[row] += vectors.data[row * order + j] ** 2;
    }
  }
  if (test === undefined) return { whole: false, diagonal };
  const along = product(test, vectors);
  for (let k = 0; k < along.data.length; k++) {
    const value = eigen.values[k % order];
    along.data[k] = value > floor ? along.data[k] / value : 0;
  }
  return { whole: false, diagonal, test: product(along, transposed(vectors)) };
}
