/**
 * Unit-wise natural gradient: one Fisher block for each unit.
 *
 * Source: [Karakida20 §5]. Blocks of units are blocks as layers are, so zero damping gives, with K_o the kernel of unit o's own parameters,
 *
 *   Θ̄(x', x) = Σ_l Σ_o K_lo(x', x) K_lo⁺,   K_lo(x', x) = δ_lo(x') δ_lo(x) ā_l'·ā_l
 *
 * At the training points each term is a projection. With one output and an invertible ā āᵀ it is diagonal, 1 where the unit is active
 * (δ ≠ 0) and 0 elsewhere: a point's rate is the number of its active units,
 *
 *   α_n = Σ_l #{o : δ_lo(x_n) ≠ 0} → γM(L − 1),   γ = ½ for ReLU, 1 for erf
 *
 * in the limit of wide hidden layers, the M_0 inputs being no fewer than the N points; the last layer's one unit adds 1.
 *
 * | symbol       | variable   | shape                 |
 * | ------------ | ---------- | --------------------- |
 * | ā_l          | `inputs`   | (N, F̄)                |
 * | δ_l          | `deltas`   | (C·N, O)              |
 * | K_lo         | `kernel`   | (active, active)      |
 * | Θ̄            | `train`, `test` | (C·N, C·N), (C·N', C·N) |
 *
 * Differs from the paper: away from the training points Θ̄ is computed from the units of a finite network. Its terms are quotients δ_o(x')/δ_o(x) of
 * nearly normal variables, whose mean over initial weights does not exist, so no limit is claimed here: the theory alone
 * predicts the training points.
 */
import { breathe } from "../breathe.ts";
import { requireOption } from "../errors.ts";
import { choleskySolveAsync, dampedCholeskyAsync, symmetricEigenAsync } from "../linalg/index.ts";
import { dualActivation } from "./activations.ts";
import { columnsOf, type Dynamics, type LearningProblem, type Prediction } from "./dynamics.ts";
import type { JacobianFactors } from "./factors.ts";
import { type KernelMatrix, kernelMatrix, product, transposed } from "./matrix.ts";
import type { WideNetwork } from "./network.ts";
import { progress } from "./progress.ts";

/** α = γM(L − 1) of a wide network. @throws UsageError with fewer than two layers */
export function unitWiseFactor({ depth, activation }: WideNetwork, width: number): number {
  requireOption(depth >= 2, "depth", depth, ">= 2: the last layer alone has no wide limit of units");
  requireOption(Number.isInteger(width) && width >= 1, "width", width, "a positive integer");
  return dualActivation(activation).activeShare * width * (depth - 1);
}

/** Predicted training at the training points, where the metric is isotropic in the wide limit. */
export function unitWiseDynamics(network: WideNetwork, width: number, problem: LearningProblem): Dynamics {
  const alpha = unitWiseFactor(network, width);
  const columns = columnsOf(problem, problem.targets.shape[0]);
  const predict = (share: number): Prediction => {
    const { shape, data } = columns.residual;
    return {
      train: columns.train(
        kernelMatrix(
          shape[0],
          shape[1],
          data.map((value) => share * value),
        ),
      ),
    };
  };
  return {
    metric: "unit-wise",
    alpha,
    optimalRate: 1 / alpha,
    at: (step, rate) => predict(progress(alpha * rate, step)),
    limit: () => predict(1),
  };
}

export interface UnitOptions {
  /** Called with the units that are done, and all there are. */
  readonly onProgress?: (done: number, total: number) => void;
  /** Stops the work: the call then rejects with the signal's reason. */
  readonly signal?: AbortSignal;
}

export interface UnitWiseKernel {
  /** Θ̄ at the training points, (C·N, C·N). */
  readonly train: KernelMatrix;
  /** Θ̄(x', x), (C·N', C·N); present with test points. */
  readonly test?: KernelMatrix;
  readonly failure?: undefined;
}

/** Milliseconds of work between two turns of the event loop. */
const BREATH = 12;

/**
 * Θ̄ of a finite network; `operatorDynamics` predicts its training.
 *
 * @param train factors at the training points; @param test at the test points
 */
export async function unitWiseKernel(
  train: JacobianFactors,
  test?: JacobianFactors,
  { onProgress, signal }: UnitOptions = {},
): Promise<UnitWiseKernel | { readonly failure: string }> {
  const rows = train.layers[0].deltas.shape[0];
  const result = {
    train: kernelMatrix(rows, rows),
    test: test && kernelMatrix(test.layers[0].deltas.shape[0], rows),
  };
  const total = train.layers.reduce((units, { deltas }) => units + deltas.shape[1], 0);
  let done = 0;
  let since = performance.now();
  for (const [l, layer] of train.layers.entries()) {
    const columns = transposed(layer.inputs);
    const products = {
      train: product(layer.inputs, columns),
      test: test && product(test.layers[l].inputs, columns),
    };
    const whole = await isWhole(products.train, rows);
    let factored: Factored | undefined;
    for (let unit = 0; unit < layer.deltas.shape[1]; unit++) {
      const own = unitDeltas(layer.deltas, unit);
      const others = test && unitDeltas(test.layers[l].deltas, unit);
      const active = Int32Array.from(own.keys()).filter((q) => own[q] !== 0);
      if (whole) {
        for (const q of active) result.train.data[q * (rows + 1)] += 1;
        if (result.test && products.test && others) {
          factored = await factorActive(products.train, active, factored);
          if (factored.failure !== undefined)
            return { failure: `unit-wise, layer ${l + 1}: ${factored.failure}` };
          await addQuotients(result.test, products.test, factored, own, others);
        }
      } else {
        const failure = await addProjection(result, products, active, own, others);
        if (failure !== undefined) return { failure: `unit-wise, layer ${l + 1}: ${failure}` };
      }
      done++;
      if (performance.now() - since < BREATH) continue;
      signal?.throwIfAborted();
      onProgress?.(done, total);
      await breathe();
      since = performance.now();
    }
  }
  onProgress?.(total, total);
  return result;
}

/** Whether every part of ā āᵀ is invertible and there is one output: projections are then diagonal. */
async function isWhole(products: KernelMatrix, rows: number): Promise<boolean> {
  const count = products.shape[0];
  if (count !== rows) return false;
  return (await dampedCholeskyAsync(products.data, count, 0, { maxRetries: 0 })).failure === undefined;
}

/** δ_o, (C·N). */
function unitDeltas({ shape: [rows, units], data }: KernelMatrix, unit: number): Float64Array {
  return Float64Array.from({ length: rows }, (_, q) => data[q * units + unit]);
}

type Factored =
  | { readonly active: Int32Array; readonly factor: Float64Array; readonly failure?: undefined }
  | { readonly failure: string };

/** The Cholesky factor of ā āᵀ at the active points; the one before where they are the same. */
async function factorActive(
  products: KernelMatrix,
  active: Int32Array,
  before: Factored | undefined,
): Promise<Factored> {
  if (before?.failure === undefined && before?.active.length === active.length) {
    if (active.every((q, k) => before.active[k] === q)) return before;
  }
  const count = products.shape[0];
  const part = new Float64Array(active.length ** 2);
  active.forEach((p, i) => {
    active.forEach((q, j) => {
      part[i * active.length + j] = products.data[p * count + q];
    });
  });
  const factored = await dampedCholeskyAsync(part, active.length, 0, { maxRetries: 0 });
  return factored.failure === undefined ? { active, factor: factored.factor } : factored;
}

/** Adds δ(x') a'·(ā āᵀ)⁻¹ / δ(x) of one unit, over its active points. */
async function addQuotients(
  sum: KernelMatrix,
  products: KernelMatrix,
  { active, factor }: { readonly active: Int32Array; readonly factor: Float64Array },
  own: Float64Array,
  others: Float64Array,
): Promise<void> {
  const [rows, columns] = products.shape;
  const right = new Float64Array(active.length * rows);
  active.forEach((q, k) => {
    for (let row = 0; row < rows; row++) right[k * rows + row] = products.data[row * columns + q];
  });
  await choleskySolveAsync(factor, active.length, right, rows);
  active.forEach((q, k) => {
    for (let row = 0; row < rows; row++) {
      sum.data[row * columns + q] += (others[row] * right[k * rows + row]) / own[q];
    }
  });
}

/** Adds K K⁺ and K(x', x)K⁺ of one unit by its eigenvectors; returns why it could not. */
async function addProjection(
  sum: { readonly train: KernelMatrix; readonly test?: KernelMatrix },
  products: { readonly train: KernelMatrix; readonly test?: KernelMatrix },
  active: Int32Array,
  own: Float64Array,
  others: Float64Array | undefined,
): Promise<string | undefined> {
  const order = active.length;
  if (order === 0) return undefined;
  const count = products.train.shape[0];
  // Rows scaled to the largest |δ|, so that no product underflows; projections do not change.
  const scale = 1 / active.reduce((most, q) => Math.max(most, Math.abs(own[q])), 0);
  const kernel = kernelMatrix(order, order);
  active.forEach((p, i) => {
    active.forEach((q, j) => {
      const inner = products.train.data[(p % count) * count + (q % count)];
      kernel.data[i * order + j] = scale * own[p] * (scale * own[q]) * inner;
    });
  });
  const eigen = await symmetricEigenAsync(kernel.data, order);
  if (eigen.failure !== undefined) return eigen.failure;
  const floor = order * Number.EPSILON * eigen.values[order - 1];
  const kept = eigen.values.map((value) => (value > floor ? 1 : 0));
  const vectors = kernelMatrix(order, order, eigen.vectors);
  const weigh = (matrix: KernelMatrix, weights: Float64Array) =>
    kernelMatrix(
      ...matrix.shape,
      matrix.data.map((value, k) => value * weights[k % order]),
    );
  const back = transposed(vectors);
  addAt(sum.train, product(weigh(vectors, kept), back), active, active);
  if (sum.test === undefined || products.test === undefined || others === undefined) return undefined;
  const rows = products.test.shape[0];
  const cross = kernelMatrix(others.length, order);
  for (let p = 0; p < others.length; p++) {
    active.forEach((q, j) => {
      const inner = products.test!.data[(p % rows) * count + (q % count)];
      cross.data[p * order + j] = scale * others[p] * (scale * own[q]) * inner;
    });
  }
  const inverse = eigen.values.map((value, j) => kept[j] / (value > floor ? value : 1));
  const part = product(weigh(product(cross, vectors), inverse), back);
  addAt(sum.test, part, Int32Array.from(others.keys()), active);
  return undefined;
}

function addAt(sum: KernelMatrix, part: KernelMatrix, rows: Int32Array, columns: Int32Array): void {
  rows.forEach((p, i) => {
    columns.forEach((q, j) => {
      sum.data[p * sum.shape[1] + q] += part.data[i * columns.length + j];
    });
  });
}
