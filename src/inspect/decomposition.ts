/**
 * Eigendecompositions of Fisher matrices F = (1/N) SᵀS, in the smaller of two spaces:
 *
 *   parameter space, P ≤ M   F = V diag(μ) Vᵀ                   (F + λI)⁻¹ = V diag(1/(μ + λ)) Vᵀ
 *   sample space, M < P      K = (1/N) SSᵀ = U diag(μ) Uᵀ       (F + λI)⁻¹ = (1/λ)(I − (1/N) Sᵀ U diag(1/(μ + λ)) Uᵀ S)
 *
 * Both matrices have the same eigenvalues but for zeros. The second inverse is Woodbury's.
 */
import { fisherMatrix } from "../curvature/parameter-space.ts";
import { RunError } from "../errors.ts";
import { gramMatrix, type LayerScores, totalDimension } from "../fisher/index.ts";
import { add, input, matmul, multiply, type SymbolicTensor, subtract } from "../graph/index.ts";
import { symmetricEigenAsync } from "../linalg/index.ts";
import { evaluate } from "../runtime/program.ts";
import type { Runtime } from "../runtime/session.ts";
import type { Tensor } from "../tensor.ts";
import {
  type LayerRows,
  leadingColumns,
  type ScoreRows,
  scoreProduct,
  transposedProduct,
} from "./score-rows.ts";

export interface Decomposition {
  readonly space: "parameters" | "samples";
  /** Order of the matrix that was decomposed, min(M, P). */
  readonly order: number;
  /** μ, ascending; negative by rounding only. */
  readonly values: Float64Array;
  /** V or U, (order, order) row-major, column j belongs to values[j]. */
  readonly vectors: Float64Array;
}

/** Traces F or K of some layers together, whichever is smaller. */
export function traceMatrix(layers: readonly LayerScores[], samples: number): SymbolicTensor {
  const rows = layers[0].deltas.shape[0];
  if (totalDimension(layers) <= rows) return fisherMatrix(layers, samples);
  return multiply(layers.map(gramMatrix).reduce(add), 1 / samples);
}

/** @throws RunError when the matrix is not finite, as at parameters whose scores overflow */
export async function decompose(
  { data, shape: [order] }: Tensor,
  parameters: number,
  name: string,
): Promise<Decomposition> {
  const result = await symmetricEigenAsync(new Float64Array(data), order);
  if (result.failure !== undefined) throw new RunError(`the Fisher matrix of ${name}: ${result.failure}`);
  const space = order === parameters ? "parameters" : "samples";
  return { space, order, values: result.values, vectors: result.vectors };
}

/** (F + λI)⁻¹ g over all parameters, (P). */
export function solve(
  { space, order, values, vectors }: Decomposition,
  scores: ScoreRows,
  g: Float64Array,
  damping: number,
): Float64Array {
  const along = new Float64Array(order);
  const source = space === "parameters" ? g : scoreProduct(scores, g);
  for (let row = 0; row < order; row++) {
    for (let j = 0; j < order; j++) along[j] += vectors[row * order + j] * source[row];
  }
  const back = new Float64Array(order);
  for (let row = 0; row < order; row++) {
    for (let j = 0; j < order; j++) {
      back[row] += (vectors[row * order + j] * along[j]) / (Math.max(0, values[j]) + damping);
    }
  }
  if (space === "parameters") return back;
  const correction = transposedProduct(scores, back);
  return g.map((value, k) => (value - correction[k] / scores.samples) / damping);
}

/** The leading `count` rows and columns of (F_l + λI)⁻¹ for one layer, (count, count) row-major. */
export async function leadingInverse(
  { space, order, values, vectors }: Decomposition,
  scores: ScoreRows,
  layer: LayerRows,
  damping: number,
  count: number,
  runtime: Runtime,
): Promise<Float64Array> {
  const roots = Float64Array.from(values, (value) => 1 / Math.sqrt(Math.max(0, value) + damping));
  const feeds: Record<string, Tensor> = { roots: { shape: [order], data: roots } };
  const scale = input("roots", [order], "float64");
  let inverse: SymbolicTensor;
  if (space === "parameters") {
    feeds.vectors = { shape: [count, order], data: vectors.subarray(0, count * order) };
    const half = multiply(input("vectors", [count, order], "float64"), scale);
    inverse = matmul(half, half, { transposeB: true });
  } else {
    feeds.vectors = { shape: [order, order], data: vectors };
    feeds.columns = { shape: [order, count], data: leadingColumns(scores, layer, count) };
    feeds.identity = { shape: [count, count], data: identity(count) };
    const columns = input("columns", [order, count], "float64");
    const scaled = multiply(input("vectors", [order, order], "float64"), scale);
    const half = matmul(columns, scaled, { transposeA: true });
    const product = multiply(matmul(half, half, { transposeB: true }), 1 / scores.samples);
    inverse = multiply(subtract(input("identity", [count, count], "float64"), product), 1 / damping);
  }
  return new Float64Array((await evaluate(runtime, { inverse }, feeds)).inverse.data);
}

function identity(order: number): Float64Array {
  const matrix = new Float64Array(order * order);
  for (let k = 0; k < order; k++) matrix[k * order + k] = 1;
  return matrix;
}
