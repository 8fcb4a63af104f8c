/**
 * Products with the score matrix S of a convolution from its images a (N, C·H·W) and derivatives δ (M, O·T), M = r·N, T = H'·W'.
 *
 * With the patches I_n (T, F) of a sample and δ_q (T, O), row q of S is δ_qᵀ I_n, and
 *
 *   [S Sᵀ]_qp = Σ_{t,t'} (I_n I_mᵀ)_tt' (δ_q δ_pᵀ)_tt'      [Soori21 eq. 11, theorem 2], the covariance tensors
 *   S v       = rowsum(δ ⊙ (a ∗ v))                          a convolution by v
 *   Sᵀu       = Σ_n (Σ_q u_q δ_q)ᵀ I_n                       the gradient of a convolution's filters
 *
 * so that no row of S is formed, but for S Sᵀ where that is cheaper, to be dropped again. In a grouped convolution every group
 * has patches of its own, and the tensors are summed over groups.
 */
import {
  add,
  type Convolution,
  concatenate,
  convolve,
  filterProducts,
  filterProductsOfEach,
  matmul,
  multiply,
  reshape,
  type SymbolicTensor,
  slice,
  sliceAxis,
  sum,
  transpose,
  unfold,
} from "../graph/index.ts";
import { bytesPerElement } from "../tensor.ts";
import type { LayerVector } from "./score-matrix.ts";
import type { LayerScores } from "./scores.ts";

/** How a convolution's rows of images and derivatives are laid out. */
export interface ConvolutionLayout {
  /** C, H, W. */
  readonly image: readonly [number, number, number];
  /** O, H', W'. */
  readonly output: readonly [number, number, number];
  readonly kernel: readonly [number, number];
  readonly convolution: Convolution;
  /** What S Sᵀ is made of: its rows, or covariance tensors. */
  readonly gram: "rows" | "tensors";
}

export type ConvolutionLayer = LayerScores & { readonly layout: ConvolutionLayout };

export function isConvolution(layer: LayerScores): layer is ConvolutionLayer {
  return layer.layout !== undefined;
}

/** Largest covariance tensors that are made at a time, in bytes. */
const CHUNK_BYTES = 64 * 2 ** 20;

/** S_l S_lᵀ, (M, M). */
export function convolutionGram(layer: ConvolutionLayer): SymbolicTensor {
  if (layer.layout.gram === "tensors") return gramOfTensors(layer);
  const rows = convolutionRows(layer);
  const matrix = reshape(rows, [rows.shape[0], -1]);
  return matmul(matrix, matrix, { transposeB: true });
}

/** The rows of S_l unit by unit, the bias's column last: (M, O, F̄). */
export function convolutionRows(layer: ConvolutionLayer): SymbolicTensor {
  const { kernel, convolution } = layer.layout;
  const { images, derivatives } = unpacked(layer);
  const samples = images.shape[0];
  const [rows, units] = derivatives.shape;
  const parts = Array.from({ length: layer.rowsPerSample }, (_, k) => {
    const own = sliceAxis(derivatives, 0, k * samples, (k + 1) * samples);
    return reshape(filterProductsOfEach(images, own, kernel, convolution), [samples, units, -1]);
  });
  const weights = concatenate(parts);
  if (layer.bias === undefined) return weights;
  return concatenate([weights, reshape(sum(derivatives, [2, 3]), [rows, units, 1])], 2);
}

/** S_l v, (M). */
export function convolutionProduct(layer: ConvolutionLayer, { weight, bias }: LayerVector): SymbolicTensor {
  const { layout, deltas, rowsPerSample } = layer;
  const { kernel, convolution } = layout;
  const { images } = unpacked(layer);
  const [samples, channels] = images.shape;
  const units = layout.output[0];
  const filters = reshape(weight, [units, channels / convolution.groups, ...kernel]);
  const product = convolve(images, filters, convolution);
  const moved = bias ? add(product, reshape(bias, [units, 1, 1])) : product;
  const along = multiply(
    reshape(deltas, [rowsPerSample, samples, -1]),
    reshape(moved, [1, samples, deltas.shape[1]]),
  );
  return reshape(sum(along, [-1]), [rowsPerSample * samples]);
}

/** The sum of the rows of S_l, for one row per sample. */
export function convolutionSum(layer: ConvolutionLayer): LayerVector {
  const { kernel, convolution } = layer.layout;
  const { images, derivatives } = unpacked(layer);
  const filters = filterProducts(images, derivatives, kernel, convolution);
  return {
    weight: reshape(filters, [derivatives.shape[1], -1]),
    bias: layer.bias === undefined ? undefined : sum(derivatives, [0, 2, 3]),
  };
}

/** What row q of S_l = δ_qᵀ I_n is made of: patches I (N, T, F), of one group, and δ (r, N, O, T). */
export function convolutionPositions(layer: ConvolutionLayer): {
  readonly patches: SymbolicTensor;
  readonly derivatives: SymbolicTensor;
} {
  const { kernel, convolution } = layer.layout;
  const { images, derivatives } = unpacked(layer);
  const samples = images.shape[0];
  const patches = unfold(images, kernel, convolution);
  return {
    patches: reshape(transpose(patches, [0, 3, 1, 2]), [samples, patches.shape[3], patches.shape[2]]),
    derivatives: reshape(derivatives, [layer.rowsPerSample, samples, derivatives.shape[1], -1]),
  };
}

/** A convolution's layer on some of its samples, with all their rows. */
export function someSamples(layer: ConvolutionLayer, start: number, end: number): ConvolutionLayer {
  const { inputs, deltas, rowsPerSample } = layer;
  const samples = inputs.shape[0];
  const byDraw = reshape(deltas, [rowsPerSample, samples, -1]);
  const own = sliceAxis(byDraw, 1, start, end);
  return {
    ...layer,
    inputs: sliceAxis(inputs, 0, start, end),
    deltas: reshape(own, [rowsPerSample * (end - start), -1]),
  };
}

/** Σ_{t,t'} (I Iᵀ) ⊙ (δ δᵀ), for some samples at a time by all of them. */
function gramOfTensors(layer: ConvolutionLayer): SymbolicTensor {
  const { kernel, convolution, output } = layer.layout;
  const { groups } = convolution;
  const { images, derivatives } = unpacked(layer);
  const draws = layer.rowsPerSample;
  const samples = images.shape[0];
  const positions = output[1] * output[2];
  const perGroup = output[0] / groups;
  const patches = transpose(unfold(images, kernel, convolution), [1, 0, 3, 2]);
  const a = reshape(patches, [groups, samples * positions, -1]);
  const byGroup = reshape(derivatives, [draws * samples, groups, perGroup, positions]);
  const d = reshape(transpose(byGroup, [1, 0, 3, 2]), [groups, draws, samples * positions, perGroup]);
  const all = reshape(d, [groups, draws * samples * positions, perGroup]);

  const widths = samples * (draws * positions) ** 2 * groups * bytesPerElement(layer.deltas.dtype);
  const chunk = Math.max(1, Math.floor(CHUNK_BYTES / widths));
  const parts: SymbolicTensor[] = [];
  for (let start = 0; start < samples; start += chunk) {
    const own = Math.min(chunk, samples - start) * positions;
    const from = start * positions;
    const covariance = matmul(sliceAxis(a, 1, from, from + own), a, { transposeB: true });
    const extended = layer.bias === undefined ? covariance : add(covariance, 1);
    const rows = slice(d, [0, 0, from, 0], [groups, draws, from + own, perGroup]);
    const gradients = matmul(reshape(rows, [groups, draws * own, perGroup]), all, { transposeB: true });
    const tensors = multiply(
      reshape(gradients, [groups, draws, own, draws, samples * positions]),
      reshape(extended, [groups, 1, own, 1, samples * positions]),
    );
    const overLater = sum(reshape(tensors, [-1, positions]), [1]);
    const overBoth = sum(reshape(overLater, [-1, positions, draws * samples]), [1]);
    parts.push(sum(reshape(overBoth, [groups, draws, own / positions, draws * samples]), [0]));
  }
  return reshape(concatenate(parts, 1), [draws * samples, draws * samples]);
}

/** (N, C, H, W) and (M, O, H', W'). */
function unpacked({ inputs, deltas, layout }: ConvolutionLayer) {
  return {
    images: reshape(inputs, [-1, ...layout.image]),
    derivatives: reshape(deltas, [-1, ...layout.output]),
  };
}
