/**
 * Diagonal and quasi-diagonal natural gradient in function space, for networks of finite width.
 *
 * Source: [Karakida20 §5 and fig. 3]; [Ollivier15 §2.3] for the quasi-diagonal. Θ̄ = (1/N) J F̃⁻¹ Jᵀ, and as both inverses are of the
 * form F̃⁻¹ = TᵀT, it is the Gram matrix of the rows J Tᵀ, unit by unit. With s_i a row's elements of one unit, s_0 the bias's, F = (1/N) Σ s²,
 *
 *   diagonal        s_i/√F_ii
 *   quasi-diagonal  (s_i − (F_0i/F_00) s_0)/√(F_ii − F_0i²/F_00),   s_0/√F_00
 *
 * λ is added to F_ii and F_00. With λ = 0, elements that are zero (of units that are never active) and pivots that are zero by rounding are left
 * out, as the pseudo-inverse does. A layer without a bias has the diagonal in either case.
 *
 * | symbol       | variable            | shape              |
 * | ------------ | ------------------- | ------------------ |
 * | ā, δ         | `inputs`, `deltas`  | (N, F̄), (M, O)     |
 * | s            | `rows`              | (M, units, F̄)      |
 * | F_ii, F_0i   | `squares`, `coupling` | (units, F̄)       |
 * | Θ̄            | the result          | (M, M), M = C·N    |
 *
 * Differs from the paper: none; units are taken a few at a time, so that the rows of J are never all in memory.
 */
import { requireOption } from "../errors.ts";
import {
  add,
  concatenate,
  greater,
  input,
  matmul,
  maximum,
  multiply,
  reciprocal,
  reshape,
  type SymbolicTensor,
  sliceAxis,
  sqrt,
  subtract,
  sum,
  where,
} from "../graph/index.ts";
import { compile } from "../runtime/program.ts";
import { openRuntime, type Runtime } from "../runtime/runtime.ts";
import type { JacobianFactors, LayerFactors } from "./factors.ts";
import { type KernelMatrix, kernelMatrix } from "./matrix.ts";

export type DiagonalMetric = "diagonal" | "quasi-diagonal";

export interface DiagonalOptions {
  /** λ ≥ 0; default 0. */
  readonly damping?: number;
  /** Default one of its own on the CPU, for this call. */
  readonly runtime?: Runtime;
  /** Called with the units that are done, and all there are. */
  readonly onProgress?: (done: number, total: number) => void;
  /** Stops the work: the call then rejects with the signal's reason. */
  readonly signal?: AbortSignal;
}

/** Elements of rows in memory at once. */
const PIECE = 4_000_000;
/** A pivot F_ii − F_0i²/F_00 below this share of F_ii is rounding. */
const ROUNDING = 1e-12;
const SMALLEST = 1e-300;

/** Θ̄ at the training points, (C·N, C·N). */
export async function diagonalKernel(
  metric: DiagonalMetric,
  { layers }: JacobianFactors,
  { damping = 0, runtime, onProgress, signal }: DiagonalOptions = {},
): Promise<KernelMatrix> {
  requireOption(damping >= 0 && damping < Infinity, "damping", damping, ">= 0");
  const rows = layers[0].deltas.shape[0];
  const result = kernelMatrix(rows, rows);
  const total = layers.reduce((units, { deltas }) => units + deltas.shape[1], 0);
  let done = 0;
  const own = runtime ?? (await openRuntime({ device: "cpu" }));
  try {
    for (const layer of layers) {
      const units = layer.deltas.shape[1];
      const piece = Math.max(1, Math.min(units, Math.floor(PIECE / (rows * layer.inputs.shape[1]))));
      const program = await compile(own, { gram: traceUnits(metric, layer, piece, damping) });
      const deltas = new Float64Array(rows * piece);
      const gram = new Float64Array(rows * rows);
      const binding = program.bind({ inputs: layer.inputs.data, deltas }, { gram });
      try {
        for (let from = 0; from < units; from += piece) {
          signal?.throwIfAborted();
          // Units past the last are zero, and add nothing.
          for (let q = 0; q < rows; q++) {
            for (let k = 0; k < piece; k++) {
              deltas[q * piece + k] = from + k < units ? layer.deltas.data[q * units + from + k] : 0;
            }
          }
          await binding.run();
          for (let k = 0; k < gram.length; k++) result.data[k] += gram[k];
          done += Math.min(piece, units - from);
          onProgress?.(done, total);
        }
      } finally {
        binding.dispose();
        program.dispose();
      }
    }
    return result;
  } finally {
    if (runtime === undefined) own.dispose();
  }
}

/** (1/N) J Tᵀ T Jᵀ of a few units, (M, M). */
function traceUnits(
  metric: DiagonalMetric,
  { inputs, deltas, bias }: LayerFactors,
  units: number,
  damping: number,
): SymbolicTensor {
  const [samples, width] = inputs.shape;
  const count = deltas.shape[0];
  const outputs = count / samples;
  const left = reshape(input("deltas", [count, units], "float64"), [outputs, samples, units, 1]);
  const right = reshape(input("inputs", [samples, width], "float64"), [1, samples, 1, width]);
  const rows = reshape(multiply(left, right), [count, units, width]);
  const moments = (a: SymbolicTensor, b: SymbolicTensor) => multiply(sum(multiply(a, b), [0]), 1 / samples);
  const damped = (x: SymbolicTensor) => (damping > 0 ? add(x, damping) : x);
  const squares = damped(moments(rows, rows));
  const scaled = (x: SymbolicTensor, f: SymbolicTensor) => multiply(x, sqrt(inverse(f, 0)));
  let turned: SymbolicTensor;
  if (metric === "diagonal" || !bias) {
    turned = scaled(rows, squares);
  } else {
    const last = width - 1;
    const [weights, own] = [sliceAxis(rows, 2, 0, last), sliceAxis(rows, 2, last, width)];
    const [ofWeights, ofBias] = [sliceAxis(squares, 1, 0, last), sliceAxis(squares, 1, last, width)];
    const coupling = moments(weights, own);
    const ratio = multiply(coupling, inverse(ofBias, 0));
    const pivot = subtract(ofWeights, multiply(ratio, coupling));
    const root = sqrt(inverse(pivot, multiply(ofWeights, ROUNDING)));
    turned = concatenate([multiply(subtract(weights, multiply(ratio, own)), root), scaled(own, ofBias)], 2);
  }
  const flat = reshape(turned, [count, units * width]);
  return multiply(matmul(flat, flat, { transposeB: true }), 1 / samples);
}

/** 1/x where x exceeds the threshold, 0 elsewhere. */
function inverse(x: SymbolicTensor, threshold: SymbolicTensor | number): SymbolicTensor {
  return where(greater(x, threshold), reciprocal(maximum(x, SMALLEST)), 0);
}
