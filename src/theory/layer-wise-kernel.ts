/**
 * Θ̄ of the exact and of layer-wise natural gradient with damping, or of kernels that have no inverse.
 *
 * Source: [Karakida20 eq. 15]. With K_l = Θ_l/N and the push-through form of training (`src/curvature/layer-wise.ts`),
 *
 *   Θ̄(x', x) = Σ_l K_l(x', x) U_l,   ((Σ ⊗ I) blockdiag(K_1 … K_L) + λI) [U_1; …; U_L] = 1_L ⊗ I
 *
 * | Σ        | λ   | Θ̄ at the training points          |
 * | -------- | --- | --------------------------------- |
 * | I        | > 0 | Σ_l K_l (K_l + λI)⁻¹              |
 * | I        | 0   | Σ_l K_l K_l⁺, projections         |
 * | 11ᵀ      | any | that of Θ alone, one layer        |
 * | another  | > 0 | by LU, singular Σ too             |
 * | another  | 0   | Σ_l (Σ⁻¹1)_l K_l K_l⁻¹ = αI       |
 *
 * | symbol          | argument or field       | shape                    |
 * | --------------- | ----------------------- | ------------------------ |
 * | Θ_l, Θ_l(x', x) | `layers`, `test`        | L × (M, M), L × (M', M)  |
 * | Θ̄, Θ̄(x', x)     | `train`, `test` of the result | (M, M), (M', M)    |
 *
 * Differs from the paper: λ need not be 0. `operatorDynamics` predicts training from these matrices; without damping and with invertible kernels,
 * `exactDynamics` and `layerWiseDynamics` do it without forming them.
 */
import { type CouplingOption, couplingMatrix, isIdentity } from "../curvature/coupling.ts";
import { requireOption, UsageError } from "../errors.ts";
import { dampedLuAsync, luSolveAsync, symmetricEigenAsync } from "../linalg/index.ts";
import { couplingWeights } from "./coupling.ts";
import { requireColumns } from "./dynamics.ts";
import { type KernelMatrix, kernelMatrix, orderOf, product, transposed, weightedSum } from "./matrix.ts";

export interface LayerWiseKernelOptions {
  /** Σ; default `"identity"`, block-diagonal; `"ones"` is the exact Fisher. */
  readonly coupling?: CouplingOption;
  /** λ ≥ 0; default 0. */
  readonly damping?: number;
  /** Θ_1(x', x) … Θ_L(x', x). */
  readonly test?: readonly KernelMatrix[];
}

export interface LayerWiseKernel {
  /** Θ̄ at the training points, (M, M). */
  readonly train: KernelMatrix;
  /** Θ̄(x', x), (M', M); present with test kernels. */
  readonly test?: KernelMatrix;
  readonly failure?: undefined;
}

type Result = LayerWiseKernel | { readonly failure: string };

/**
 * Θ̄ from Θ_1 … Θ_L.
 *
 * @param samples N: there are C·N rows with C outputs
 * @returns Θ̄, or in words why there is none: without damping, a Σ that couples layers needs invertible kernels
 * @throws UsageError when an option is not valid, or Σ is singular and there is no damping
 */
export async function layerWiseKernel(
  layers: readonly KernelMatrix[],
  samples: number,
  { coupling = "identity", damping = 0, test }: LayerWiseKernelOptions = {},
): Promise<Result> {
  requireOption(damping >= 0 && damping < Infinity, "damping", damping, ">= 0");
  const count = layers.length;
  const order = orderOf("kernel", layers[0]);
  if (test !== undefined && test.length !== count) {
    throw new UsageError(`invalid test kernels: ${test.length} layers (must be ${count})`);
  }
  for (const kernel of test ?? []) requireColumns("test kernel", kernel, order);
  if (coupling === "ones" && count > 1) {
    const whole = test && [weightedSum(test)];
    return layerWiseKernel([weightedSum(layers)], samples, { damping, test: whole });
  }
  const sigma = couplingMatrix(coupling, count);
  if (isIdentity(sigma, count)) return separateKernel(layers, samples * damping, test);
  if (damping > 0) return coupledKernel(layers, sigma, samples, damping, test);
  return separateKernel(layers, 0, test, couplingWeights(coupling, count).weights);
}

/** Σ_l w_l Θ_l(x', x) (Θ_l + shift·I)⁺; with weights, kernels have to be invertible. */
async function separateKernel(
  layers: readonly KernelMatrix[],
  shift: number,
  test?: readonly KernelMatrix[],
  weights?: Float64Array,
): Promise<Result> {
  const train: KernelMatrix[] = [];
  const others: KernelMatrix[] = [];
  for (const [l, layer] of layers.entries()) {
    const order = orderOf("kernel", layer);
    const eigen = await symmetricEigenAsync(layer.data, order);
    if (eigen.failure !== undefined) return { failure: `kernel of layer ${l + 1}: ${eigen.failure}` };
    const { values, vectors } = eigen;
    const floor = order * Number.EPSILON * Math.max(0, values[order - 1]);
    if (weights && values[0] <= floor) {
      return { failure: `kernel of layer ${l + 1}: singular to working precision; use damping > 0` };
    }
    const back = transposed(kernelMatrix(order, order, vectors));
    const scaled = (of: KernelMatrix, weight: (value: number) => number): KernelMatrix => {
      const factors = values.map((value) => (value > floor ? weight(value) : 0));
      return product(
        kernelMatrix(
          of.shape[0],
          order,
          of.data.map((value, k) => value * factors[k % order]),
        ),
        back,
      );
    };
    train.push(scaled(kernelMatrix(order, order, vectors), (value) => value / (value + shift)));
    if (test) {
      const along = product(test[l], kernelMatrix(order, order, vectors));
      others.push(scaled(along, (value) => 1 / (value + shift)));
    }
  }
  return { train: weightedSum(train, weights), test: test && weightedSum(others, weights) };
}

async function coupledKernel(
  layers: readonly KernelMatrix[],
  sigma: Float64Array,
  samples: number,
  damping: number,
  test?: readonly KernelMatrix[],
): Promise<Result> {
  const count = layers.length;
  const order = layers[0].shape[0];
  const total = count * order;
  const system = new Float64Array(total * total);
  const right = new Float64Array(total * order);
  for (let i = 0; i < count; i++) {
    for (let j = 0; j < count; j++) {
      const weight = sigma[i * count + j] / samples;
      for (let row = 0; row < order; row++) {
        const target = (i * order + row) * total + j * order;
        for (let column = 0; column < order; column++) {
          system[target + column] = weight * layers[j].data[row * order + column];
        }
      }
    }
    for (let row = 0; row < order; row++) right[(i * order + row) * order + row] = 1;
  }
  const factored = await dampedLuAsync(system, total, damping, 0);
  if (factored.failure !== undefined) return { failure: factored.failure };
  if (!(await luSolveAsync(factored.factors, total, right, order))) {
    return { failure: "the solution is not finite; raise the damping" };
  }
  const solved = layers.map((_, l) => {
    return kernelMatrix(order, order, right.slice(l * order * order, (l + 1) * order * order));
  });
  const means = new Float64Array(count).fill(1 / samples);
  const times = (kernels: readonly KernelMatrix[]) =>
    weightedSum(
      kernels.map((kernel, l) => product(kernel, solved[l])),
      means,
    );
  return { train: times(layers), test: test && times(test) };
}
