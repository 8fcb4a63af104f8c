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
 * | B⁺ diag(r) A⁺     | {@link kfacCores}, `moves` | L × (N, N)           |
 *
 * Factors of the A_l and B_l cancel, so that `Q` of {@link empiricalKernels} without biases serves as `A`.
 *
 * Differs from the paper: there N stands before the last layer's part too, and α = NL; `lastLayerWeight: N` gives that. What the
 * definition gives for one output, and what `kfac()` does (a test compares them), is 1, the default.
 */

import { UsageError } from "../errors.ts";
import { columnsOf, type Dynamics, ISOTROPIC, type LearningProblem, type Prediction } from "./dynamics.ts";
import { type KernelMatrix, kernelMatrix, orderOf, product, transposed } from "./matrix.ts";
import { progress, progressOver } from "./progress.ts";
import { type PseudoInverse, pseudoInverse } from "./pseudo-inverse.ts";

/** A_0 … A_{L−1} (or Q_1 … Q_L), and B_1 … B_L or without the last. */
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
  options: KfacOptions = {},
): Promise<KfacKernel | { readonly failure: string }> {
  const depth = train.A.length;
  if (test && (test.A.length !== depth || test.B.length < depth - 1)) throw incomplete(depth);
  const inverted = await invertLayers(train, options);
  return inverted.failure === undefined ? kernelOf(inverted, test) : inverted;
}

function incomplete(depth: number): UsageError {
  return new UsageError(`invalid kernels: there must be A and B of all ${depth} layers, B of the last apart`);
}

async function kernelOf(
  { count, layers }: InvertedLayers,
  test: KroneckerKernels | undefined,
): Promise<KfacKernel> {
  const rates = new Float64Array(count);
  const sum = test && kernelMatrix(test.A[0].shape[0], count);
  for (const [l, { weight, inputs, gradients }] of layers.entries()) {
    const projection = inputs.projection ?? gradients?.projection;
    for (let n = 0; n < count; n++) rates[n] += weight * (projection?.data[n * (count + 1)] ?? 1);
    if (sum === undefined || test === undefined) continue;
    const { data } = await inputs.rightOf(test.A[l]);
    const others = gradients && (await gradients.rightOf(test.B[l])).data;
    for (let k = 0; k < data.length; k++) sum.data[k] += weight * data[k] * (others?.[k] ?? 1);
  }
  return { rates, test: sum };
}

/**
 * What stands between δ_lᵀ and ā_l in the direction of every layer: weight · B_l⁺ diag(r) A_{l−1}⁺, with `Q` of {@link empiricalKernels} for A.
 *
 * @param r (N), the residual f − y
 * @returns L × (N, N), or in words why there are none
 */
export async function kfacCores(
  train: KroneckerKernels,
  r: ArrayLike<number>,
  options: KfacOptions = {},
): Promise<{ readonly cores: KernelMatrix[]; readonly failure?: undefined } | { readonly failure: string }> {
  const inverted = await invertLayers(train, options);
  return inverted.failure === undefined ? { cores: await coresOf(inverted, r) } : inverted;
}

async function coresOf({ count, layers }: InvertedLayers, r: ArrayLike<number>): Promise<KernelMatrix[]> {
  const cores: KernelMatrix[] = [];
  for (const { weight, inputs, gradients } of layers) {
    const diagonal = kernelMatrix(count, count);
    for (let n = 0; n < count; n++) diagonal.data[n * (count + 1)] = weight * r[n];
    const right = await inputs.rightOf(diagonal);
    cores.push(gradients ? transposed(await gradients.rightOf(transposed(right))) : right);
  }
  return cores;
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
  const depth = train.A.length;
  if (test && (test.A.length !== depth || test.B.length < depth - 1)) throw incomplete(depth);
  const inverted = await invertLayers(train, options);
  if (inverted.failure !== undefined) return inverted;
  const kernel = await kernelOf(inverted, test);
  const { rates } = kernel;
  const [least, most] = [rates.reduce((a, b) => Math.min(a, b)), rates.reduce((a, b) => Math.max(a, b))];
  const weighted = (weight: (rate: number) => number): KernelMatrix => {
    return kernelMatrix(
      rates.length,
      1,
      columns.residual.data.map((value, n) => value * weight(rates[n])),
    );
  };
  const over = (step: number, eta: number) => weighted((rate) => progressOver(rate, eta, step));
  const predict = (share: KernelMatrix, combination: () => KernelMatrix): Prediction => ({
    train: columns.train(share),
    test: kernel.test && columns.test(product(kernel.test, combination())),
  });
  return {
    metric: "K-FAC",
    alpha: most - least <= ISOTROPIC * most ? (most + least) / 2 : undefined,
    rates,
    optimalRate: 2 / (most + least),
    at: (step, eta) =>
      predict(
        weighted((rate) => progress(eta * rate, step)),
        () => over(step, eta),
      ),
    limit: () =>
      predict(
        weighted((rate) => (rate > 0 ? 1 : 0)),
        () => weighted((rate) => (rate > 0 ? 1 / rate : 0)),
      ),
    moves: async (step, eta) => (await coresOf(inverted, over(step, eta).data)).map((core) => ({ core })),
  };
}

interface InvertedLayers {
  /** N. */
  readonly count: number;
  readonly layers: readonly {
    /** N; of the last layer the option's. */
    readonly weight: number;
    readonly inputs: PseudoInverse;
    /** Absent for the last layer. */
    readonly gradients?: PseudoInverse;
  }[];
  readonly failure?: undefined;
}

/** The factors of every layer, one of the two invertible, or in words why not. */
async function invertLayers(
  { A, B }: KroneckerKernels,
  { lastLayerWeight = 1 }: KfacOptions,
): Promise<InvertedLayers | { readonly failure: string }> {
  const depth = A.length;
  if (B.length < depth - 1) throw incomplete(depth);
  const count = orderOf("kernel", A[0]);
  const layers: InvertedLayers["layers"][number][] = [];
  for (let l = 0; l < depth; l++) {
    const last = l === depth - 1;
    const inputs = await pseudoInverse(A[l]);
    if (inputs.failure !== undefined) {
      return { failure: `K-FAC, inputs of layer ${l + 1}: ${inputs.failure}` };
    }
    const gradients = last ? undefined : await pseudoInverse(B[l]);
    if (gradients?.failure !== undefined) {
      return { failure: `K-FAC, derivatives of layer ${l + 1}: ${gradients.failure}` };
    }
    if (inputs.projection && (!gradients || gradients.projection)) {
      return { failure: `K-FAC, layer ${l + 1}: its kernels are singular, and training is not diagonal` };
    }
    layers.push({ weight: last ? lastLayerWeight : count, inputs, gradients });
  }
  return { count, layers };
}
