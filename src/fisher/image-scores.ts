/**
 * Scores of convolution and scale layers, written as scores of linear layers, so that every structure works on them.
 *
 * A convolution's row q of S is a sum over positions, Σ_t δ[q,t] ⊗ ā[n(q),t]; a linear layer's is one outer product. Several
 * layers of rows have the same content, or that part of it that a method wants:
 *
 * | form        | inputs                        | deltas         | what it keeps                                         |
 * | ----------- | ----------------------------- | -------------- | ----------------------------------------------------- |
 * | `samples`   | S_l itself, (M, P_l)          | 1, (M, 1)      | everything: S_l S_lᵀ, S_l v, S_lᵀu are those of the convolution [Soori21 eq. 11] |
 * | `rows`, `tensors` | images, (N, C·H·W)      | (M, O·T)       | everything, with products of its own: `convolution-scores.ts` |
 * | `positions` | √T·patches, (N·T, F)          | (M·T, O)       | the covariances of patches and derivatives: Ω and Γ of KFC [Grosse16 §3], "expand" |
 * | `means`     | mean patch, (N, F)            | Σ_t δ, (M, O)  | the covariances of those: "reduce" [Eschenhagen23 §3.2] |
 *
 * With (1/(N·T)) in front, `positions` gives A = (1/N) Σ_nt ā āᵀ and G = (1/(N·T)) Σ_nt δ δᵀ. A scale s = γx̂ + β has rows
 * [Σ_t δ x̂, Σ_t δ], two numbers a channel, and is always taken in the first form.
 */
import {
  broadcastTo,
  concatenate,
  mean,
  multiply,
  reshape,
  type SymbolicTensor,
  scalar,
  sliceAxis,
  sum,
  transpose,
  unfold,
} from "../graph/index.ts";
import type { ConvolutionTap } from "../nn/index.ts";
import type { GramForm } from "./convolution-cost.ts";
import { type ConvolutionLayer, type ConvolutionLayout, convolutionRows } from "./convolution-scores.ts";
import { patchSquares, patchSums } from "./patch-moments.ts";
import { type LayerVector, vectorMatrix } from "./score-matrix.ts";
import type { LayerScores } from "./scores.ts";

interface ImageScores {
  readonly layer: string;
  readonly weight: string;
  readonly bias?: string;
  readonly biasInput: 1;
  readonly preactivations: SymbolicTensor;
  readonly rowsPerSample: number;
}

/** Inputs (N, C, H, W), δ (M, O, H', W'). */
export interface ConvolutionScores extends ImageScores, Pick<ConvolutionTap, "kernel" | "convolution"> {
  readonly kind: "convolution";
  readonly inputs: SymbolicTensor;
  readonly deltas: SymbolicTensor;
}

/** x̂ (N, C, …), δ (M, C, …). */
export interface ScaleScores extends ImageScores {
  readonly kind: "scale";
  readonly inputs: SymbolicTensor;
  readonly deltas: SymbolicTensor;
}

/** How an image layer is written as a linear one. */
export type ImageForm = GramForm | "positions" | "means";

/** A layer as a linear one, and the way between vectors of the two. */
export interface LinearForm {
  readonly linear: LayerScores;
  /** From the layer's own shapes to the linear layer's. */
  pack(vector: LayerVector): LayerVector;
  /** And back. */
  unpack(vector: LayerVector): LayerVector;
}

/** The linear layer of an image layer. */
export function linearForm(scores: ConvolutionScores | ScaleScores, form: ImageForm): LinearForm {
  if (scores.kind === "scale" || form === "samples") return bySamples(scores);
  if (form === "rows" || form === "tensors") return asConvolution(scores, form);
  if (!hasPatches(scores)) return bySamples(scores);
  return form === "positions" ? byPositions(scores) : byMeans(scores);
}

/** Whether all units of a layer see the same patches. */
export function hasPatches(scores: ConvolutionScores | ScaleScores): scores is ConvolutionScores {
  return scores.kind === "convolution" && scores.convolution.groups === 1;
}

/** One unit whose inputs are the rows of S_l, parameters row-major in [W b]. */
function bySamples(scores: ConvolutionScores | ScaleScores): LinearForm {
  const { layer, weight, bias, deltas } = scores;
  const rows = sampleRows(scores);
  const [count, units, width] = rows.shape;
  const linear: LayerScores = {
    ...{ kind: "linear", layer, weight, biasInput: 1, rowsPerSample: 1 },
    inputs: reshape(rows, [count, units * width]),
    deltas: broadcastTo(scalar(1, deltas.dtype), [count, 1]),
    preactivations: scores.preactivations,
  };
  const features = width - (bias === undefined ? 0 : 1);
  const shape = parameterShape(scores);
  return {
    linear,
    pack: (vector) => ({
      weight: reshape(vectorMatrix({ ...vector, weight: reshape(vector.weight, [units, features]) }), [
        1,
        units * width,
      ]),
    }),
    unpack(vector) {
      const matrix = reshape(vector.weight, [units, width]);
      if (bias === undefined) return { weight: reshape(matrix, shape) };
      return {
        weight: reshape(sliceAxis(matrix, 1, 0, features), shape),
        bias: reshape(sliceAxis(matrix, 1, features, width), [units]),
      };
    },
  };
}

/** The rows of S_l, unit by unit: (M, O, F̄), the bias's last. */
export function sampleRows(scores: ConvolutionScores | ScaleScores): SymbolicTensor {
  if (scores.kind === "convolution") return convolutionRows(convolutionLayer(scores, "rows"));
  const { inputs, deltas, bias, rowsPerSample } = scores;
  const samples = inputs.shape[0];
  const [rows, units] = deltas.shape;
  const parts = Array.from({ length: rowsPerSample }, (_, k) => {
    const own = sliceAxis(deltas, 0, k * samples, (k + 1) * samples);
    return reshape(overPositions(multiply(own, inputs)), [samples, units, 1]);
  });
  const weights = concatenate(parts);
  if (bias === undefined) return weights;
  return concatenate([weights, reshape(overPositions(deltas), [rows, units, 1])], 2);
}

/** Σ over all axes but the first two. */
function overPositions(x: SymbolicTensor): SymbolicTensor {
  return x.rank === 2 ? x : sum(x, x.shape.map((_, axis) => axis).slice(2));
}

/** The rows of S_l unit by unit, and vectors of the layer as matrices of one row a unit. */
export interface UnitScores {
  readonly layer: string;
  readonly weight: string;
  readonly bias?: string;
  /** (M, O, F̄), the bias's column last. */
  readonly rows: SymbolicTensor;
  /** (O, F̄). */
  matrix(vector: LayerVector): SymbolicTensor;
  /** And back. */
  vector(matrix: SymbolicTensor): LayerVector;
}

/** An image layer unit by unit. */
export function unitScores(scores: ConvolutionScores | ScaleScores): UnitScores {
  const { layer, weight, bias } = scores;
  const { pack, unpack } = bySamples(scores);
  const rows = sampleRows(scores);
  const [, units, width] = rows.shape;
  return {
    ...{ layer, weight, bias, rows },
    matrix: (vector) => reshape(pack(vector).weight, [units, width]),
    vector: (matrix) => unpack({ weight: reshape(matrix, [1, units * width]) }),
  };
}

/** A convolution as it is, with products of its own. */
function asConvolution(scores: ConvolutionScores, gram: "rows" | "tensors"): LinearForm {
  return { linear: convolutionLayer(scores, gram), ...matrixForm(scores) };
}

function convolutionLayer(scores: ConvolutionScores, gram: "rows" | "tensors"): ConvolutionLayer {
  const { layer, weight, bias, inputs, deltas, kernel, convolution, rowsPerSample, preactivations } = scores;
  const [samples, ...image] = inputs.shape;
  const [rows, ...output] = deltas.shape;
  const layout = { image, output, kernel, convolution, gram } as unknown as ConvolutionLayout;
  return {
    ...{ kind: "linear", layer, weight, bias, biasInput: 1, rowsPerSample, preactivations, layout },
    inputs: reshape(inputs, [samples, -1]),
    deltas: reshape(deltas, [rows, -1]),
  };
}

/** Filters as the rows of a matrix, and back. */
function matrixForm(scores: ConvolutionScores): Pick<LinearForm, "pack" | "unpack"> {
  const units = scores.deltas.shape[1];
  return {
    pack: (vector) => ({ ...vector, weight: reshape(vector.weight, [units, -1]) }),
    unpack: (vector) => ({ ...vector, weight: reshape(vector.weight, parameterShape(scores)) }),
  };
}

/** One row for each sample, of mean patches, for a single group. */
function byMeans(scores: ConvolutionScores): LinearForm {
  const { layer, weight, bias, inputs, deltas, kernel, convolution, rowsPerSample } = scores;
  const samples = inputs.shape[0];
  const linear: LayerScores = {
    ...{ kind: "linear", layer, weight, bias, biasInput: 1, rowsPerSample },
    inputs: reshape(mean(unfold(inputs, kernel, convolution), [3]), [samples, -1]),
    deltas: overPositions(deltas),
    preactivations: mean(scores.preactivations, [2, 3]),
    whole: convolutionLayer(scores, "rows"),
  };
  return { linear, ...matrixForm(scores) };
}

/** One row for each position, for a single group: several see different inputs. */
function byPositions(scores: ConvolutionScores): LinearForm {
  const { layer, weight, bias, inputs, deltas, kernel, convolution, rowsPerSample } = scores;
  const samples = inputs.shape[0];
  const patches = unfold(inputs, kernel, convolution);
  const [, , features, positions] = patches.shape;
  const root = Math.sqrt(positions);
  const linear: LayerScores = {
    ...{ kind: "linear", layer, weight, bias, biasInput: root, rowsPerSample },
    inputs: multiply(reshape(transpose(patches, [0, 3, 1, 2]), [samples * positions, features]), root),
    deltas: toRows(deltas),
    preactivations: toRows(scores.preactivations),
    inputMoments: inputMoments(scores),
    whole: convolutionLayer(scores, "rows"),
  };
  return { linear, ...matrixForm(scores) };
}

/** A and the mean row: Ω, and μ/√T. */
function inputMoments({ inputs, deltas, kernel, convolution }: ConvolutionScores) {
  const [, , height, width] = deltas.shape;
  const windows = { images: inputs, kernel, output: [height, width], convolution } as const;
  return {
    covariance: patchSquares(windows),
    mean: multiply(patchSums(windows), 1 / Math.sqrt(height * width)),
  };
}

/** (…, O, H', W') → (…·H'·W', O). */
function toRows(x: SymbolicTensor): SymbolicTensor {
  return reshape(transpose(x, [0, 2, 3, 1]), [-1, x.shape[1]]);
}

/** Shape of the parameter `weight`. */
function parameterShape(scores: ConvolutionScores | ScaleScores): number[] {
  const units = scores.deltas.shape[1];
  if (scores.kind === "scale") return [units];
  return [units, scores.inputs.shape[1] / scores.convolution.groups, ...scores.kernel];
}
