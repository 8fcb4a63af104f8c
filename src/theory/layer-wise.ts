/**
 * Predicted training by exact natural gradient and by layer-wise natural gradient with coupling Σ.
 *
 * Source: [Karakida20 eq. 9, eq. 15, corollary 4.2], zero damping (the limit λ → 0, which is the pseudo-inverse):
 *
 *   exact       Θ̄ = Θ(x', x)Θ⁻¹,  α = 1
 *   layer-wise  Θ̄ = Σ_l w_l Θ_l(x', x)Θ_l⁻¹,  w = Σ⁻¹1,  α = Σ_l w_l
 *
 * Both are αI at the training points, so that with p = (1 − (1 − αη)ᵗ)/α and z_l = w_l Θ_l⁻¹(y − f_0)
 *
 *   f_t = y + (1 − αη)ᵗ(f_0 − y),   f_t(x') = f_0(x') + p Σ_l Θ_l(x', x) z_l,   θ_t,l = θ_0,l + p J_lᵀ z_l
 *
 * The last follows from F̃ = (1/N) S_bᵀ(Σ ⊗ I)S_b, S_b = blockdiag(J_l): where the Θ_l = J_l J_lᵀ are invertible, F̃⁺ is
 * N S_bᵀ blockdiag(Θ_l)⁻¹ (Σ ⊗ I)⁻¹ blockdiag(Θ_l)⁻¹ S_b, and the gradient is (1/N) S_bᵀ(1 ⊗ (f − y)).
 *
 * | symbol       | argument or field  | shape                                   |
 * | ------------ | ------------------ | --------------------------------------- |
 * | Θ_l, Θ       | `train`            | (N, N) or (C·N, C·N)                    |
 * | Θ_l(x', x)   | `test`             | (N', N) or (C·N', C·N)                  |
 * | w, α         | {@link couplingWeights} | (L), a number                      |
 * | p z_l        | `moves`            | (N, C) or (C·N, 1), one for each layer  |
 *
 * The cross-entropy loss has the same Θ̄ and another residual: `cross-entropy.ts`.
 *
 * Differs from the paper: none; kernels that are not positive definite to working precision are refused, where the paper assumes they are.
 */

import { UsageError } from "../errors.ts";
import { choleskySolveAsync, dampedCholeskyAsync } from "../linalg/index.ts";
import { type CouplingOption, couplingWeights } from "./coupling.ts";
import {
  columnsOf,
  type DynamicsResult,
  type LearningProblem,
  type Prediction,
  requireColumns,
} from "./dynamics.ts";
import { type KernelMatrix, kernelMatrix, orderOf, product, weightedSum } from "./matrix.ts";
import { progress } from "./progress.ts";

/** Exact natural gradient, from Θ and Θ(x', x). */
export function exactDynamics(
  theta: KernelMatrix,
  problem: LearningProblem,
  test?: KernelMatrix,
): Promise<DynamicsResult> {
  return isotropicDynamics("exact", [theta], Float64Array.of(1), problem, test && [test]);
}

/**
 * Layer-wise natural gradient, from Θ_1 … Θ_L.
 *
 * @param coupling `"identity"` is block-diagonal, `"tridiagonal"` block tri-diagonal; else Σ itself
 * @throws UsageError when Σ is singular, as the tri-diagonal one of 3s + 2 layers, or shapes disagree
 */
export function layerWiseDynamics(
  layers: readonly KernelMatrix[],
  problem: LearningProblem,
  coupling: CouplingOption = "identity",
  test?: readonly KernelMatrix[],
): Promise<DynamicsResult> {
  if (coupling === "ones") return exactDynamics(weightedSum(layers), problem, test && weightedSum(test));
  const { weights } = couplingWeights(coupling, layers.length);
  const names: Record<string, string> = { identity: "block-diagonal", tridiagonal: "block tri-diagonal" };
  const metric = typeof coupling === "string" ? names[coupling] : "layer-wise";
  return isotropicDynamics(metric, layers, weights, problem, test);
}

async function isotropicDynamics(
  metric: string,
  kernels: readonly KernelMatrix[],
  weights: Float64Array,
  problem: LearningProblem,
  test?: readonly KernelMatrix[],
): Promise<DynamicsResult> {
  const order = orderOf("kernel", kernels[0]);
  if (test !== undefined && test.length !== kernels.length) {
    throw new UsageError(`invalid test kernels: ${test.length} layers (must be ${kernels.length})`);
  }
  for (const kernel of test ?? []) requireColumns("test kernel", kernel, order);
  const columns = columnsOf(problem, order, test?.[0].shape[0]);
  const solved = await solveLayers(metric, kernels, weights, columns.residual);
  if (solved.failure !== undefined) return solved;
  const alpha = weights.reduce((sum, weight) => sum + weight, 0);
  const change = test && weightedSum(test.map((kernel, l) => product(kernel, solved.solutions[l])));
  /** `share` is 1 − (1 − αη)ᵗ. */
  const predict = (share: number): Prediction => ({
    train: columns.train(times(columns.residual, share)),
    test: change && columns.test(times(change, share / alpha)),
  });
  // A negative α takes a negative η: αη is what counts.
  const share = (step: number, rate: number) => progress(alpha * rate, step);
  return {
    metric,
    alpha,
    optimalRate: 1 / alpha,
    at: (step, rate) => predict(share(step, rate)),
    limit: () => predict(1),
    moves: async (step, rate) => solved.solutions.map((z) => ({ rows: times(z, share(step, rate) / alpha) })),
  };
}

/** w_l Θ_l⁻¹ b of every layer, or why not. */
export async function solveLayers(
  metric: string,
  kernels: readonly KernelMatrix[],
  weights: ArrayLike<number>,
  b: KernelMatrix,
): Promise<
  { readonly solutions: KernelMatrix[]; readonly failure?: undefined } | { readonly failure: string }
> {
  const solutions: KernelMatrix[] = [];
  for (const [l, kernel] of kernels.entries()) {
    const order = orderOf("kernel", kernel);
    const name = kernels.length > 1 ? `${metric}, kernel of layer ${l + 1}` : metric;
    const factored = await dampedCholeskyAsync(kernel.data, order, 0, { maxRetries: 0 });
    if (factored.failure !== undefined) return { failure: `${name}: ${factored.failure}` };
    const x = b.data.slice();
    const solvable = await choleskySolveAsync(factored.factor, order, x, b.shape[1]);
    if (!solvable) return { failure: `${name}: the solution is not finite` };
    solutions.push(times(kernelMatrix(b.shape[0], b.shape[1], x), weights[l]));
  }
  return { solutions };
}

function times({ shape, data }: KernelMatrix, factor: number): KernelMatrix {
  return kernelMatrix(
    shape[0],
    shape[1],
    data.map((value) => factor * value),
  );
}
