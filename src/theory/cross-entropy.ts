/**
 * Natural gradient of the cross-entropy loss in function space.
 *
 * Source: [Karakida20 appendix D]. With p = softmax f and the output Fisher Λ_n = diag(p_n) − p_n p_nᵀ, the exact Fisher matrix is F = (1/N) JᵀΛJ and
 * the gradient (1/N) Jᵀ(p − y). As (1 − y_c/p_c)_c =: w solves Λw = p − y, zero damping and an invertible Θ give
 *
 *   f_{t+1}(x') = f_t(x') − η Θ̄(x', x) d_t,   d = P w,   P = I − (1/C) 11ᵀ
 *
 * with the same Θ̄ as for the squared loss, of the exact Fisher and of layer-wise ones alike (Λ^½J_l in place of J_l, and Λ is
 * invertible on the range of P): at the training points f ← f − αη d. The residual f − y of the squared loss is replaced by d, whose sum over classes
 * is zero, for softmax does not see it. With one-hot targets −d is (1/p_y)(e_y − 1/C).
 *
 * | symbol    | argument or field     | shape       |
 * | --------- | --------------------- | ----------- |
 * | f, y      | `outputs`, `labels`   | (N, C); classes (N) or probabilities (N, C) |
 * | d         | {@link softmaxResidual} | (N, C)    |
 * | Θ_l       | `layers`              | L × (N, N), for all outputs alike (⊗ I_C) |
 *
 * Differs from the paper: λ = 0 throughout. Steps are not contractions: 1/p_y grows without bound for points that are classified wrongly with
 * confidence, so a course may leave the numbers, and then says at which step.
 */
import { UsageError } from "../errors.ts";
import { formatShape, type Tensor } from "../tensor.ts";
import { type CouplingOption, couplingWeights } from "./coupling.ts";
import { requireColumns } from "./dynamics.ts";
import { solveLayers } from "./layer-wise.ts";
import { type KernelMatrix, kernelMatrix, orderOf, product, weightedSum } from "./matrix.ts";

/** Targets as probabilities, (N, C). @throws UsageError when they are none */
function probabilities({ shape, data }: Tensor, samples: number, classes: number): Float64Array {
  if (shape.length === 1 && shape[0] === samples) {
    const y = new Float64Array(samples * classes);
    data.forEach((label, n) => {
      if (!Number.isInteger(label) || label < 0 || label >= classes) {
        throw new UsageError(`invalid class ${label} (must be an integer from 0 to ${classes - 1})`);
      }
      y[n * classes + label] = 1;
    });
    return y;
  }
  if (shape.length !== 2 || shape[0] !== samples || shape[1] !== classes) {
    const must = `(${samples}) or (${samples}, ${classes})`;
    throw new UsageError(`invalid labels: shape ${formatShape(shape)} (must be ${must})`);
  }
  return Float64Array.from(data);
}

/** d, what the residual f − y is to the squared loss, and the mean cross-entropy in nats. */
export function softmaxResidual(
  outputs: KernelMatrix,
  labels: Tensor,
): { readonly residual: KernelMatrix; readonly loss: number } {
  const [samples, classes] = outputs.shape;
  const y = probabilities(labels, samples, classes);
  const residual = kernelMatrix(samples, classes);
  let loss = 0;
  for (let n = 0; n < samples; n++) {
    const row = outputs.data.subarray(n * classes, (n + 1) * classes);
    const most = row.reduce((a, b) => Math.max(a, b), -Infinity);
    const normalizer = most + Math.log(row.reduce((sum, f) => sum + Math.exp(f - most), 0));
    let mean = 0;
    for (let c = 0; c < classes; c++) {
      const target = y[n * classes + c];
      // y/p, by the logarithm of p: p itself may underflow.
      const ratio = target === 0 ? 0 : target * Math.exp(normalizer - row[c]);
      residual.data[n * classes + c] = -ratio;
      mean += ratio / classes;
      loss += (target * (normalizer - row[c])) / samples;
    }
    for (let c = 0; c < classes; c++) residual.data[n * classes + c] += mean;
  }
  return { residual, loss };
}

export interface CrossEntropyProblem {
  /** Classes (N), or probabilities (N, C). */
  readonly labels: Tensor;
  /** f_0 at the training points, (N, C). */
  readonly initial: KernelMatrix;
  /** f_0 at the test points, (N', C); needed for predictions there. */
  readonly initialTest?: KernelMatrix;
}

export interface CrossEntropyStep {
  /** f_t at the training points, (N, C). */
  readonly train: KernelMatrix;
  /** f_t at the test points, (N', C). */
  readonly test?: KernelMatrix;
  /** Mean cross-entropy at the training points, nats. */
  readonly loss: number;
}

export interface CrossEntropyCourse {
  /** f_0, f_1, … as far as they are finite. */
  readonly steps: readonly CrossEntropyStep[];
  /** Why there are fewer steps than asked for. */
  readonly failure?: string;
}

/**
 * The first steps of natural gradient on the cross-entropy loss, step by step: the recursion is not linear, and has no closed form.
 *
 * @param layers Θ_1 … Θ_L, (N, N), or Θ alone for the exact Fisher; read with test points only
 * @param coupling Σ; default `"identity"`, which for one kernel is the exact Fisher
 */
export async function crossEntropyCourse(
  layers: readonly KernelMatrix[],
  { labels, initial, initialTest }: CrossEntropyProblem,
  { learningRate, steps }: { readonly learningRate: number; readonly steps: number },
  coupling: CouplingOption = "identity",
  test?: readonly KernelMatrix[],
): Promise<CrossEntropyCourse> {
  if (coupling === "ones") {
    const whole = test && [weightedSum(test)];
    return crossEntropyCourse(
      [weightedSum(layers)],
      { labels, initial, initialTest },
      { learningRate, steps },
      "identity",
      whole,
    );
  }
  const { weights, alpha } = couplingWeights(coupling, layers.length);
  const order = orderOf("kernel", layers[0]);
  if (order !== initial.shape[0]) {
    throw new UsageError(`invalid initial: shape ${formatShape(initial.shape)} (must have ${order} rows)`);
  }
  for (const kernel of test ?? []) requireColumns("test kernel", kernel, order);
  if (test !== undefined && initialTest?.shape[0] !== test[0].shape[0]) {
    throw new UsageError(
      `invalid initialTest: it must have ${test[0].shape[0]} rows, as the test kernels have`,
    );
  }
  const course: CrossEntropyStep[] = [];
  let [train, others] = [initial, test && initialTest];
  for (let step = 0; ; step++) {
    const { residual, loss } = softmaxResidual(train, labels);
    if (!Number.isFinite(loss) || !allFinite(train) || (others && !allFinite(others))) {
      return { steps: course, failure: `step ${step}: outputs are not finite; use a lower learning rate` };
    }
    course.push({ train, test: others, loss });
    if (step === steps) return { steps: course };
    if (test && others) {
      const solved = await solveLayers("cross-entropy", layers, weights, residual);
      if (solved.failure !== undefined) return { steps: course, failure: solved.failure };
      const change = weightedSum(test.map((kernel, l) => product(kernel, solved.solutions[l])));
      others = weightedSum([others, change], [1, -learningRate]);
    }
    train = weightedSum([train, residual], [1, -learningRate * alpha]);
  }
}

function allFinite({ data }: KernelMatrix): boolean {
  return data.every((value) => Number.isFinite(value));
}
