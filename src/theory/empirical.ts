/**
 * Kernels of a network of finite width, at the values its parameters have.
 *
 * Source: [Karakida20]; score rows and their Gram matrices are those of training ([Soori21 eq. 5], `src/fisher`). With ā_l the inputs of layer l
 * as its weights see them (σ_w/√M_{l−1} h_{l−1}, and σ_b for the bias, in the NTK parameterization) and δ_l = ∂f/∂u_l,
 *
 *   Q_l = ā_l' ā_lᵀ,   B_l = δ_l' δ_lᵀ,   Θ_l = J_l' J_lᵀ = B_l ⊙ Q_l,   Θ = Σ_l Θ_l
 *
 * | symbol  | field    | shape                            |
 * | ------- | -------- | -------------------------------- |
 * | f       | `outputs` | (N, C)                          |
 * | Q_l     | `Q`      | L × (N', N)                      |
 * | B_l     | `B`      | L × (C·N', C·N)                  |
 * | Θ_l, Θ  | `layers`, `theta` | L × (C·N', C·N), (C·N', C·N) |
 *
 * Rows are ordered output by output: row c·N + n belongs to output c of point n. Normalized as {@link analyticKernels} is, by nothing: in the NTK
 * parameterization Q_l, B_l, Θ_l tend to the matrices of the same names there as the width grows, B_l and Θ_l times I_C. With another
 * parameterization they are that model's own.
 *
 * Differs from the paper: Θ is not divided by N.
 */

import { gramMatrix, type LayerScores } from "../fisher/index.ts";
import {
  add,
  matmul,
  multiply,
  type NamedOutputs,
  reshape,
  type SymbolicTensor,
  sliceAxis,
} from "../graph/index.ts";
import { availableMemory, requireMemory } from "../memory.ts";
import type { Tensor } from "../tensor.ts";
import { type EvaluationOptions, evaluateJacobian, type FiniteNetwork } from "./finite.ts";
import { type KernelMatrix, kernelMatrix, weightedSum } from "./matrix.ts";

export interface EmpiricalKernels {
  /** f of the points of the rows. */
  readonly outputs: KernelMatrix;
  readonly Q: readonly KernelMatrix[];
  readonly B: readonly KernelMatrix[];
  readonly layers: readonly KernelMatrix[];
  readonly theta: KernelMatrix;
}

export interface EmpiricalResult {
  /** Names of the layers in the model. */
  readonly names: readonly string[];
  /** Between the training points. */
  readonly train: EmpiricalKernels;
  /** Rows of test points, columns of training points; present with test points. */
  readonly test?: EmpiricalKernels;
}

export interface EmpiricalOptions extends EvaluationOptions {
  /** Bytes that the kernels may take; default two thirds of the free memory. */
  readonly memoryLimit?: number;
}

/**
 * @param inputs training points, (N, …inputShape); @param test test points, (N', …inputShape)
 * @throws UsageError where a layer with parameters is not dense
 * @throws MemoryError with the estimate where kernels exceed the limit
 */
export async function empiricalKernels(
  network: FiniteNetwork,
  inputs: Tensor,
  test?: Tensor,
  { memoryLimit = availableMemory(), ...options }: EmpiricalOptions = {},
): Promise<EmpiricalResult> {
  const count = inputs.shape[0];
  const total = count + (test?.shape[0] ?? 0);
  const points = test ? joined(inputs, test) : inputs;
  const names: string[] = [];
  const results = await evaluateJacobian(
    network,
    points,
    ({ scores: { layers }, outputs }) => {
      const each = count * total * (2 * outputs.shape[1] ** 2 + 1);
      const bytes = 8 * (layers.length + 1) * each;
      requireMemory(`kernels of ${total} points`, bytes, memoryLimit, "fewer points");
      const traced: NamedOutputs[] = layers.map((layer, l) => {
        names.push(layer.layer);
        const train = pointsOf(layer, 0, count);
        const own = {
          [`train/Q/${l}`]: inputProducts(train, train),
          [`train/B/${l}`]: matmul(train.deltas, train.deltas, { transposeB: true }),
          [`train/layers/${l}`]: gramMatrix(train),
        };
        if (test === undefined) return own;
        const others = pointsOf(layer, count, total);
        const Q = inputProducts(others, train);
        const B = matmul(others.deltas, train.deltas, { transposeB: true });
        const layerGram = everyOutput(B, Q, layer.rowsPerSample);
        return { ...own, [`test/Q/${l}`]: Q, [`test/B/${l}`]: B, [`test/layers/${l}`]: layerGram };
      });
      return Object.assign({ outputs }, ...traced);
    },
    options,
  );
  const columns = results.outputs.shape[1];
  const f = Float64Array.from(results.outputs.data);
  const read = (of: "train" | "test", outputs: KernelMatrix): EmpiricalKernels => {
    const all = (kind: string) => names.map((_, l) => readMatrix(results[`${of}/${kind}/${l}`]));
    const layers = all("layers");
    return { outputs, Q: all("Q"), B: all("B"), layers, theta: weightedSum(layers) };
  };
  const train = read("train", kernelMatrix(count, columns, f.slice(0, count * columns)));
  if (test === undefined) return { names, train };
  const rows = kernelMatrix(total - count, columns, f.slice(count * columns));
  return { names, train, test: read("test", rows) };
}

/** A layer's scores at some of the points. */
function pointsOf(layer: LayerScores, from: number, to: number): LayerScores {
  const { inputs, deltas, rowsPerSample } = layer;
  const [rows, units] = deltas.shape;
  const byOutput = reshape(deltas, [rowsPerSample, rows / rowsPerSample, units]);
  const own = reshape(sliceAxis(byOutput, 1, from, to), [rowsPerSample * (to - from), units]);
  return { ...layer, inputs: sliceAxis(inputs, 0, from, to), deltas: own };
}

/** ā' āᵀ. */
function inputProducts(rows: LayerScores, columns: LayerScores): SymbolicTensor {
  const products = matmul(rows.inputs, columns.inputs, { transposeB: true });
  return columns.bias === undefined ? products : add(products, columns.biasInput ** 2);
}

/** B ⊙ Q, Q repeated for every pair of outputs. */
function everyOutput(B: SymbolicTensor, Q: SymbolicTensor, outputs: number): SymbolicTensor {
  if (outputs === 1) return multiply(B, Q);
  const [rows, columns] = Q.shape;
  const blocks = reshape(B, [outputs, rows, outputs, columns]);
  return reshape(multiply(blocks, reshape(Q, [1, rows, 1, columns])), B.shape);
}

function joined(a: Tensor, b: Tensor): Tensor {
  const data = new Float64Array(a.data.length + b.data.length);
  data.set(a.data);
  data.set(b.data, a.data.length);
  return { shape: [a.shape[0] + b.shape[0], ...a.shape.slice(1)], data };
}

function readMatrix({ shape: [rows, columns], data }: Tensor): KernelMatrix {
  return kernelMatrix(rows, columns, data instanceof Float64Array ? data : Float64Array.from(data));
}
