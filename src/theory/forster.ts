/**
 * Forster's transformation: inputs turned so that XᵀX ∝ I with rows of norm one.
 *
 * Source: J. Forster, A linear lower bound on the unbounded error probabilistic communication complexity (2002): vectors
 * in general position, N ≥ M_0, have an invertible T with
 *
 *   x̃_n = T x_n/‖T x_n‖,   Σ_n x̃_n x̃_nᵀ = (N/M_0) I
 *
 * [Karakida20] needs it for K-FAC with M_0 < N: all diagonal elements of X̃(X̃ᵀX̃)⁻¹X̃ᵀ are M_0/N then. T is found by turns: whitening
 * X ← X (M_0/N XᵀX)^{−½}, rows to norm one, and again; a fixed point of both is what is sought (it is Tyler's M-estimator of scatter).
 *
 * | symbol     | field         | shape       |
 * | ---------- | ------------- | ----------- |
 * | X̃          | `points`      | (N, M_0)    |
 * | T          | `transform`   | (M_0, M_0)  |
 * | ‖(M_0/N) X̃ᵀX̃ − I‖, largest element | `deviation` | a number |
 *
 * Differs from the paper: it cites the existence; the iteration is ours. It converges linearly where no subspace of dimension k holds kN/M_0 points or
 * more, and otherwise has no limit to converge to, which the status says.
 */
import { requireOption, UsageError } from "../errors.ts";
import { symmetricEigenAsync } from "../linalg/index.ts";
import type { Tensor } from "../tensor.ts";
import { readPoints } from "./kernels.ts";
import { type KernelMatrix, kernelMatrix, product, transposed } from "./matrix.ts";

export interface ForsterOptions {
  /** Largest deviation that counts as converged; default 1e-10. */
  readonly tolerance?: number;
  /** Most turns; default 1000. */
  readonly iterations?: number;
}

export interface ForsterResult {
  /** `"converged"`, or in words what stopped it: then `points` are as far as it came. */
  readonly status: string;
  readonly converged: boolean;
  /** x̃_n = T x_n/‖T x_n‖. */
  readonly points: KernelMatrix;
  /** T, with which {@link applyForster} transforms other points. */
  readonly transform: KernelMatrix;
  readonly deviation: number;
  readonly iterations: number;
}

/**
 * @param inputs (N, M_0), N ≥ M_0, no row of zeros
 * @throws UsageError when there are fewer points than features (their kernel XXᵀ needs no transformation) or a row is zero
 */
export async function forsterTransform(
  inputs: Tensor,
  { tolerance = 1e-10, iterations = 1000 }: ForsterOptions = {},
): Promise<ForsterResult> {
  requireOption(tolerance > 0, "tolerance", tolerance, "> 0");
  requireOption(
    Number.isInteger(iterations) && iterations >= 1,
    "iterations",
    iterations,
    "a positive integer",
  );
  const { count, features, data } = readPoints("inputs", inputs);
  if (count < features) {
    throw new UsageError(
      `invalid inputs: ${count} points of ${features} features (must be at least as many points as features; with fewer, XXᵀ is ` +
        "invertible and needs no transformation)",
    );
  }
  let points = normalizedRows(kernelMatrix(count, features, data));
  let transform = kernelMatrix(features, features);
  for (let k = 0; k < features; k++) transform.data[k * (features + 1)] = 1;
  for (let turn = 0; ; turn++) {
    const scatter = scatterOf(points);
    const deviation = deviationOf(scatter);
    const ended = (status: string): ForsterResult => ({
      ...{ status, converged: deviation <= tolerance, points, transform, deviation, iterations: turn },
    });
    if (deviation <= tolerance) return ended("converged");
    if (turn === iterations) {
      return ended(
        `not converged after ${iterations} iterations: deviation ${deviation.toExponential(1)} (points that crowd in a subspace have no such ` +
          "transformation)",
      );
    }
    const eigen = await symmetricEigenAsync(scatter.data, features);
    if (eigen.failure !== undefined) return ended(eigen.failure);
    const { values, vectors } = eigen;
    if (!(values[0] > features * Number.EPSILON * values[features - 1])) {
      return ended("the points span fewer dimensions than they have features");
    }
    const half = vectors.map((value, k) => value / Math.sqrt(values[k % features]));
    const whitening = product(
      kernelMatrix(features, features, half),
      transposed(kernelMatrix(features, features, vectors)),
    );
    points = normalizedRows(product(points, whitening));
    transform = scaledToOne(product(whitening, transform));
  }
}

/** x̃ = T x/‖T x‖ of other points, (N', M_0). @throws UsageError where T x is zero or sizes differ */
export function applyForster(transform: KernelMatrix, inputs: Tensor): KernelMatrix {
  const { count, features, data } = readPoints("inputs", inputs, transform.shape[1]);
  return normalizedRows(product(kernelMatrix(count, features, data), transposed(transform)));
}

/** (M_0/N) XᵀX. */
function scatterOf(points: KernelMatrix): KernelMatrix {
  const [count, features] = points.shape;
  const scatter = product(transposed(points), points);
  for (let k = 0; k < scatter.data.length; k++) scatter.data[k] *= features / count;
  return scatter;
}

/** The largest |element| of scatter − I. */
function deviationOf({ shape: [order], data }: KernelMatrix): number {
  return data.reduce(
    (most, value, k) => Math.max(most, Math.abs(value - (k % (order + 1) === 0 ? 1 : 0))),
    0,
  );
}

function normalizedRows({ shape: [rows, columns], data }: KernelMatrix): KernelMatrix {
  const result = kernelMatrix(rows, columns);
  for (let row = 0; row < rows; row++) {
    const own = data.subarray(row * columns, (row + 1) * columns);
    const norm = Math.hypot(...own);
    if (!(norm > 0)) throw new UsageError(`invalid inputs: row ${row} is zero (must have a direction)`);
    for (let k = 0; k < columns; k++) result.data[row * columns + k] = own[k] / norm;
  }
  return result;
}

/** A multiple of T is as good: its largest element is made 1, so that products of many turns stay in range. */
function scaledToOne({ shape: [rows, columns], data }: KernelMatrix): KernelMatrix {
  const most = data.reduce((largest, value) => Math.max(largest, Math.abs(value)), 0);
  return kernelMatrix(
    rows,
    columns,
    data.map((value) => value / most),
  );
}
