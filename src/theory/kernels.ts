/**
 * Kernels of infinitely wide networks, layer by layer.
 *
 * Source: A. Jacot et al., Neural tangent kernel (2018); [Karakida20]. From A_0(x, x') = x·x'/M_0, for l = 1 … L,
 *
 *   Q_l = σ_w² A_{l−1} + σ_b²            covariance of the pre-activations u_l
 *   A_l = E[φ(u)φ(u')],  K_l = E[φ'(u)φ'(u')],  (u, u') ~ N(0, Q_l)                          ({@link dualActivation})
 *   B_L = 1,  B_l = σ_w² B_{l+1} ⊙ K_l   covariance of the derivatives ∂f/∂u_l, summed over units
 *   Θ_l = B_l ⊙ Q_l,  Θ = Σ_l Θ_l        the tangent kernel J Jᵀ of one output; ⊗ I_C for C outputs
 *
 * | symbol      | field        | shape, one matrix a layer      |
 * | ----------- | ------------ | ------------------------------ |
 * | A_0 … A_{L−1} | `A`        | L × (N', N)                    |
 * | Q_1 … Q_L   | `Q`          | L × (N', N)                    |
 * | B_1 … B_L   | `B`          | L × (N', N)                    |
 * | Θ_1 … Θ_L   | `layers`     | L × (N', N)                    |
 * | Θ           | `theta`      | (N', N)                        |
 *
 * Differs from the paper: no kernel is divided by N (its eq. 6 has Θ/N), and none by a norm of the inputs; where a formula needs 1/N, the
 * code that uses it says so.
 */

import { UsageError } from "../errors.ts";
import { allFinite } from "../linalg/matrix.ts";
import { availableMemory, requireMemory } from "../memory.ts";
import { formatShape, type Tensor } from "../tensor.ts";
import { dualActivation } from "./activations.ts";
import { type KernelMatrix, kernelMatrix } from "./matrix.ts";
import { checkNetwork, type WideNetwork } from "./network.ts";

/** Everything a network's kernels are made of, between rows and columns of points. */
export interface LayerKernels {
  /** A_0 … A_{L−1}: `A[l]` is A_l. */
  readonly A: readonly KernelMatrix[];
  /** Q_1 … Q_L: `Q[l − 1]` is Q_l, and so below. */
  readonly Q: readonly KernelMatrix[];
  readonly B: readonly KernelMatrix[];
  /** Θ_1 … Θ_L. */
  readonly layers: readonly KernelMatrix[];
  /** Θ = Σ_l Θ_l. */
  readonly theta: KernelMatrix;
}

/**
 * All kernels of a wide network, (N, N) between the inputs or (N', N) between other points and the inputs; everything is kept, so
 * this is for hundreds of points ({@link tiledKernels} is for thousands).
 *
 * @param inputs (N, M_0); @param others (N', M_0), the rows where given
 * @throws UsageError when the network or the inputs are not valid
 * @throws MemoryError with the estimate where it exceeds two thirds of the free memory
 */
export function analyticKernels(network: WideNetwork, inputs: Tensor, others?: Tensor): LayerKernels {
  checkNetwork(network);
  const pairs = inputs.shape[0] * (others ?? inputs).shape[0];
  const bytes = 8 * (5 * network.depth + 1) * pairs;
  requireMemory(`kernels of ${pairs} pairs of points`, bytes, availableMemory(), "tiledKernels");
  const columns = readPoints("inputs", inputs);
  const rows = others ? readPoints("others", others, columns.features) : columns;
  const a0 = new Float64Array(rows.count * columns.count);
  for (let i = 0; i < rows.count; i++) {
    for (let j = 0; j < columns.count; j++) a0[i * columns.count + j] = scaledDot(rows, i, columns, j);
  }
  const along = variances(network, norms(columns));
  const down = others ? variances(network, norms(rows)) : along;
  const parts = recursion(network, a0, down, along);
  const matrix = (data: Float64Array) => kernelMatrix(rows.count, columns.count, data);
  const theta = new Float64Array(a0.length);
  for (const layer of parts.layers) for (let k = 0; k < theta.length; k++) theta[k] += layer[k];
  return {
    A: parts.A.map(matrix),
    Q: parts.Q.map(matrix),
    B: parts.B.map(matrix),
    layers: parts.layers.map(matrix),
    theta: matrix(theta),
  };
}

/** Points in float64, (count, features) row-major. */
export interface Points {
  readonly count: number;
  readonly features: number;
  readonly data: Float64Array;
}

/** @throws UsageError when the tensor is not a matrix of finite numbers, or has another number of features */
export function readPoints(name: string, { shape, data }: Tensor, features = shape[1]): Points {
  if (shape.length !== 2 || shape[1] !== features || shape[0] < 1 || shape[1] < 1) {
    const must = features === undefined ? "(points, features)" : `(points, ${features})`;
    throw new UsageError(`invalid ${name}: shape ${formatShape(shape)} (must be ${must})`);
  }
  const values = new Float64Array(data);
  if (!allFinite(values)) {
    const wrong = values.find((value) => !Number.isFinite(value));
    throw new UsageError(`invalid ${name}: ${wrong} (must be finite numbers)`);
  }
  return { count: shape[0], features, data: values };
}

/** x·x'/M_0 of two points. */
function scaledDot(a: Points, i: number, b: Points, j: number): number {
  let sum = 0;
  for (let k = 0; k < a.features; k++) sum += a.data[i * a.features + k] * b.data[j * b.features + k];
  return sum / a.features;
}

/** A_0(x, x) of every point, (N). */
export function norms(points: Points): Float64Array {
  return Float64Array.from({ length: points.count }, (_, n) => scaledDot(points, n, points, n));
}

/** Q_1(x, x) … Q_L(x, x) of every point, L × (N). */
export function variances(
  { depth, activation, sigmaW, sigmaB = 0 }: WideNetwork,
  a0: Float64Array,
): Float64Array[] {
  const dual = dualActivation(activation);
  const [weight, bias] = [sigmaW ** 2, sigmaB ** 2];
  const result: Float64Array[] = [];
  let a = a0;
  for (let layer = 1; layer <= depth; layer++) {
    const q = a.map((value) => weight * value + bias);
    result.push(q);
    a = q.map((value) => dual.covariance(value, value, value));
  }
  return result;
}

interface Recursion {
  readonly A: Float64Array[];
  readonly Q: Float64Array[];
  readonly B: Float64Array[];
  readonly layers: Float64Array[];
}

/**
 * The kernels of a tile of point pairs.
 *
 * @param a0 A_0, (rows, columns); @param down, @param along {@link variances} of the points of rows and of columns
 */
export function recursion(
  { depth, activation, sigmaW, sigmaB = 0 }: WideNetwork,
  a0: Float64Array,
  down: readonly Float64Array[],
  along: readonly Float64Array[],
): Recursion {
  const dual = dualActivation(activation);
  const [weight, bias] = [sigmaW ** 2, sigmaB ** 2];
  const columns = along[0].length;
  const size = a0.length;
  const A = [a0];
  const Q: Float64Array[] = [];
  const derivatives: Float64Array[] = [];
  for (let layer = 0; layer < depth; layer++) {
    const a = A[layer];
    const q = new Float64Array(size);
    for (let k = 0; k < size; k++) q[k] = weight * a[k] + bias;
    Q.push(q);
    if (layer === depth - 1) break;
    const covariance = new Float64Array(size);
    const derivative = new Float64Array(size);
    for (let row = 0, k = 0; k < size; row++) {
      const own = down[layer][row];
      for (let column = 0; column < columns; column++, k++) {
        const other = along[layer][column];
        covariance[k] = dual.covariance(own, other, q[k]);
        derivative[k] = dual.derivative(own, other, q[k]);
      }
    }
    A.push(covariance);
    derivatives.push(derivative);
  }
  const B: Float64Array[] = new Array(depth);
  B[depth - 1] = new Float64Array(size).fill(1);
  for (let layer = depth - 2; layer >= 0; layer--) {
    const [after, derivative] = [B[layer + 1], derivatives[layer]];
    const b = new Float64Array(size);
    for (let k = 0; k < size; k++) b[k] = weight * after[k] * derivative[k];
    B[layer] = b;
  }
  const layers = B.map((b, layer) => {
    const [q, theta] = [Q[layer], new Float64Array(size)];
    for (let k = 0; k < size; k++) theta[k] = b[k] * q[k];
    return theta;
  });
  return { A, Q, B, layers };
}
