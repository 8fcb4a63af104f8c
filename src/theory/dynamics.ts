/**
 * Predicted training of wide networks in function space.
 *
 * Source: [Karakida20 eq. 6, eq. 9, corollary 4.2]. With the mean squared loss (1/2N) Σ‖y − f‖² and a kernel that does not change, every method is
 *
 *   f_{t+1}(x') = f_t(x') − η Θ̄(x', x)(f_t − y)
 *   f_t(x') = f_0(x') + Θ̄(x', x) Θ̄⁻¹ (I − (I − ηΘ̄)ᵗ)(y − f_0)
 *
 * and differs in Θ̄ alone. Where Θ̄ = αI at the training points, f_t = y + (1 − αη)ᵗ(f_0 − y) there, whatever the method:
 *
 * | metric           | Θ̄(x', x)                                    | α        | file                  |
 * | ---------------- | -------------------------------------------- | -------- | --------------------- |
 * | gradient descent | Θ(x', x)/N                                   | –        | this one              |
 * | exact            | Θ(x', x)Θ⁻¹                                  | 1        | `layer-wise.ts`       |
 * | layer-wise Σ     | Σ_l (Σ⁻¹1)_l Θ_l(x', x)Θ_l⁻¹                 | 1ᵀΣ⁻¹1   | `layer-wise.ts`       |
 * | K-FAC            | Kronecker products                           | N(L − 1) + 1 | `kfac.ts`         |
 * | unit-wise        | a sum over units                             | γM(L − 1) | `unit-wise.ts`, `unit-wise-kernel.ts` |
 *
 * Θ̄ that is not a multiple of the identity is decomposed, Θ̄ = V diag(μ) Vᵀ, and (1 − (1 − ημ)ᵗ)/μ computed without cancellation (`progress.ts`).
 *
 * | symbol      | field         | shape            |
 * | ----------- | ------------- | ---------------- |
 * | y           | `targets`     | (N, C)           |
 * | f_0         | `initial`     | (N, C)           |
 * | f_0(x')     | `initialTest` | (N', C)          |
 *
 * A kernel of order N with C outputs stands for Θ ⊗ I_C; one of order C·N is that of a finite network, its rows ordered output by output.
 *
 * Differs from the paper: gradient descent, too, is in discrete steps.
 */
import { UsageError } from "../errors.ts";
import { symmetricEigenAsync } from "../linalg/index.ts";
import { formatShape, type Tensor } from "../tensor.ts";
import { type KernelMatrix, kernelMatrix, orderOf, product, transposed } from "./matrix.ts";
import { progressOver } from "./progress.ts";

/** Relative spread of eigenvalues below which a metric counts as isotropic. */
export const ISOTROPIC = 1e-9;

/** What is to be learned, and where the network begins. */
export interface LearningProblem {
  /** y, (N, C). */
  readonly targets: Tensor;
  /** f_0 at the training points, (N, C). */
  readonly initial: Tensor;
  /** f_0 at the test points, (N', C); needed for predictions there. */
  readonly initialTest?: Tensor;
}

export interface Prediction {
  /** f_t at the training points, (N, C). */
  readonly train: KernelMatrix;
  /** f_t at the test points, (N', C). */
  readonly test?: KernelMatrix;
}

/** A method's predicted course. */
export interface Dynamics {
  readonly metric: string;
  /** α where Θ̄ = αI at the training points. */
  readonly alpha?: number;
  /** The learning rate of the fastest convergence: 1/α, or 2/(μ_max + μ_min) over the positive eigenvalues of Θ̄. */
  readonly optimalRate: number;
  /** f_t; t is whole where steps overshoot, and any number ≥ 0 elsewhere. */
  at(step: number, learningRate: number): Prediction;
  /** f_∞ of a learning rate that converges: y at the training points, kernel regression at the others. */
  limit(): Prediction;
  /** θ_t − θ_0 for `linearizedParameters`: one for each layer, or one for all; absent where it takes more than kernels. */
  readonly moves?: (step: number, learningRate: number) => Promise<readonly LayerMove[]>;
  readonly failure?: undefined;
}

/**
 * How the parameters W̄_l of a layer move, by its inputs ā_l and derivatives δ_l at the training points:
 *
 *   rows   Σ_q u_q δ_q ⊗ ā_q = J_lᵀu,  u (N, C) or (C·N, 1)
 *   core   δ_lᵀ K ā_l,  K (N, N), with one output
 *   units  Uᵀ ā_l,  U (C·N, O), rows of all outputs added up
 */
export type LayerMove =
  | { readonly rows: KernelMatrix }
  | { readonly core: KernelMatrix }
  | { readonly units: KernelMatrix };

/** The course, or in words why there is none. */
export type DynamicsResult = Dynamics | { readonly failure: string };

/** A problem with one row for each row of the kernel: (N, C) for Θ ⊗ I_C, or (C·N, 1). */
export interface Columns {
  /** y − f_0. */
  readonly residual: KernelMatrix;
  /** N. */
  readonly samples: number;
  /** f_0 and a change of it that is laid out as the residual is. */
  train(change: KernelMatrix): KernelMatrix;
  test(change: KernelMatrix): KernelMatrix;
}

/**
 * Lays a problem out for kernels of some order.
 *
 * @param testRows rows of the kernels between test and training points, where there are such
 * @throws UsageError when shapes disagree
 */
export function columnsOf(problem: LearningProblem, order: number, testRows?: number): Columns {
  const { targets, initial, initialTest } = problem;
  const [samples, outputs] = targets.shape;
  if (targets.shape.length !== 2) fail("targets", targets, "(points, outputs)");
  if (initial.shape.length !== 2 || initial.shape[0] !== samples || initial.shape[1] !== outputs) {
    fail("initial", initial, formatShape(targets.shape));
  }
  const stacked = order === samples * outputs && outputs > 1;
  if (order !== samples && !stacked) {
    throw new UsageError(
      `invalid kernel: order ${order} (must be ${samples}, or ${samples * outputs} for all outputs)`,
    );
  }
  const rows = testRows === undefined || !stacked ? testRows : testRows / outputs;
  if (rows !== undefined) {
    if (initialTest === undefined) {
      throw new UsageError("invalid initialTest: absent (must be given with a kernel of test points)");
    }
    if (initialTest.shape[0] !== rows || initialTest.shape[1] !== outputs) {
      fail("initialTest", initialTest, `(${rows}, ${outputs})`);
    }
  }
  const difference = Float64Array.from(targets.data, (y, k) => y - initial.data[k]);
  const residual = kernelMatrix(samples, outputs, difference);
  const moved = (from: Tensor, change: KernelMatrix): KernelMatrix => {
    const own = stacked ? unstack(change, outputs) : change;
    return kernelMatrix(
      from.shape[0],
      outputs,
      own.data.map((value, k) => from.data[k] + value),
    );
  };
  return {
    residual: stacked ? stack(residual) : residual,
    samples,
    train: (change) => moved(initial, change),
    test: (change) => moved(initialTest!, change),
  };
}

function fail(name: string, { shape }: Tensor, must: string): never {
  throw new UsageError(`invalid ${name}: shape ${formatShape(shape)} (must be ${must})`);
}

/** (N, C) → (C·N, 1), output by output. */
export function stack(matrix: KernelMatrix): KernelMatrix {
  const { data } = transposed(matrix);
  return kernelMatrix(data.length, 1, data);
}

/** (C·N, 1) → (N, C). */
function unstack({ data }: KernelMatrix, outputs: number): KernelMatrix {
  return transposed(kernelMatrix(outputs, data.length / outputs, data));
}

/** Checks that a kernel of test points has as many columns as there are training points. */
export function requireColumns(name: string, kernel: KernelMatrix | undefined, order: number): void {
  if (kernel !== undefined && kernel.shape[1] !== order) {
    throw new UsageError(
      `invalid ${name}: shape ${formatShape(kernel.shape)} (must have ${order} columns, one for each row of the training kernel)`,
    );
  }
}

/**
 * The course under any symmetric Θ̄, by its eigendecomposition.
 *
 * @param train Θ̄ at the training points; @param test Θ̄(x', x)
 */
export async function operatorDynamics(
  metric: string,
  train: KernelMatrix,
  problem: LearningProblem,
  test?: KernelMatrix,
): Promise<DynamicsResult> {
  const course = await operatorCourse(metric, train, problem, test);
  return course.failure === undefined ? course.dynamics : course;
}

/**
 * Gradient descent: Θ̄ = Θ(x', x)/N.
 *
 * @param theta Θ, (N, N) or (C·N, C·N); @param test Θ(x', x)
 */
export async function gradientDescentDynamics(
  theta: KernelMatrix,
  problem: LearningProblem,
  test?: KernelMatrix,
): Promise<DynamicsResult> {
  const scale = 1 / problem.targets.shape[0];
  const own = scaled(theta, scale);
  const course = await operatorCourse("gradient descent", own, problem, test && scaled(test, scale));
  if (course.failure !== undefined) return course;
  // θ moves by −η (1/N) Jᵀ(f − y): u is the combination that Θ̄ takes to the change of f, over N.
  const moves = async (step: number, rate: number) => [
    { rows: scaled(course.combination(step, rate), scale) },
  ];
  return { ...course.dynamics, moves };
}

function scaled({ shape, data }: KernelMatrix, factor: number): KernelMatrix {
  return kernelMatrix(
    shape[0],
    shape[1],
    data.map((value) => factor * value),
  );
}

export type OperatorCourse =
  | {
      readonly dynamics: Dynamics;
      /** Θ̄⁻¹(I − (I − ηΘ̄)ᵗ)(y − f_0), one row for each row of Θ̄. */
      combination(step: number, learningRate: number): KernelMatrix;
      readonly failure?: undefined;
    }
  | { readonly failure: string };

/** {@link operatorDynamics}, with what Θ̄ is applied to. */
export async function operatorCourse(
  metric: string,
  train: KernelMatrix,
  problem: LearningProblem,
  test?: KernelMatrix,
): Promise<OperatorCourse> {
  const order = orderOf("kernel", train);
  requireColumns("test kernel", test, order);
  const columns = columnsOf(problem, order, test?.shape[0]);
  const eigen = await symmetricEigenAsync(train.data, order);
  if (eigen.failure !== undefined) return { failure: `${metric}: ${eigen.failure}` };
  const largest = eigen.values[order - 1];
  if (!(largest > 0)) return { failure: `${metric}: the kernel has no positive eigenvalue` };
  const vectors = kernelMatrix(order, order, eigen.vectors);
  const along = product(transposed(vectors), columns.residual);
  // Eigenvalues are accurate to rounding of the largest: what is below is zero, or negative by rounding only.
  const floor = order * Number.EPSILON * largest;
  const values = eigen.values.map((value) => (value > floor ? value : 0));
  /** V diag(weight(μ)) Vᵀ(y − f_0). */
  const weighted = (weight: (value: number) => number): KernelMatrix => {
    const width = along.shape[1];
    const own = along.data.map((value, k) => value * weight(values[Math.floor(k / width)]));
    return product(vectors, kernelMatrix(order, width, own));
  };
  const predict = (weight: (value: number) => number): Prediction => ({
    train: columns.train(weighted((value) => value * weight(value))),
    test: test && columns.test(product(test, weighted(weight))),
  });
  const spread = largest - values[0];
  const least = values.find((value) => value > 0) ?? largest;
  const dynamics: Dynamics = {
    metric,
    alpha: spread <= ISOTROPIC * largest ? (largest + values[0]) / 2 : undefined,
    optimalRate: 2 / (largest + least),
    at: (step, rate) => predict((value) => progressOver(value, rate, step)),
    limit: () => predict((value) => (value > 0 ? 1 / value : 0)),
  };
  return {
    dynamics,
    combination: (step, rate) => weighted((value) => progressOver(value, rate, step)),
  };
}
