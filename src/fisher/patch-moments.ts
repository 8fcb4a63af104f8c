/**
 * Moments of a convolution's patches I (N, T, F), summed over positions and averaged over samples,
 *
 *   Ω = (1/N) Σ_n Σ_t I[n,t] I[n,t]ᵀ, (F, F),   μ = (1/N) Σ_n Σ_t I[n,t], (F)      [Grosse16 §3, times T].
 *
 * Ω is taken by distances (`patch-distances.ts`) where that takes fewer operations, and otherwise from patches.
 */
import {
  add,
  type Convolution,
  matmul,
  mean,
  multiply,
  reshape,
  type SymbolicTensor,
  sliceAxis,
  sum,
  transpose,
  unfold,
} from "../graph/index.ts";
import { bytesPerElement, type FloatDType } from "../tensor.ts";
import { distanceCost, squaresByDistance } from "./patch-distances.ts";

/** What the windows of a convolution of one group see. */
export interface Windows {
  /** x, (N, C, H, W). */
  readonly images: SymbolicTensor;
  readonly kernel: readonly [number, number];
  /** H', W'. */
  readonly output: readonly [number, number];
  readonly convolution: Convolution;
}

/** Patches that are unfolded at a time, in bytes. */
const PATCH_BYTES = 256 * 2 ** 20;

/** With fewer channels, products of two of them are too narrow to gain much; in float64 they would be made of patches. */
const LEAST_CHANNELS = { float32: 8, float64: 16 };

/** With more, a program has thousands of nodes and takes seconds to load. 3 × 3 windows padded by 1 have 9, without padding 42, 5 × 5 ones padded by 2 42, by less or larger ones over 100. */
const MOST_RECTANGLES = 50;

/** Ω, (F, F). */
export function patchSquares(windows: Windows): SymbolicTensor {
  return distancesAreCheaper(windows) ? squaresByDistance(windows) : squaresOfPatches(windows);
}

/** Whether windows lie one pixel apart, channels are many, rectangles few, and products at most half of those of patches: blocks have to be put together, too. */
export function distancesAreCheaper(windows: Windows): boolean {
  const { images, kernel, output, convolution } = windows;
  const apart = convolution.strides.some((stride) => stride > 1);
  if (apart || images.shape[1] < LEAST_CHANNELS[images.dtype as FloatDType]) return false;
  const { products, rectangles } = distanceCost(windows);
  const ofPatches = output[0] * output[1] * (kernel[0] * kernel[1]) ** 2;
  return rectangles <= MOST_RECTANGLES && 2 * products <= ofPatches;
}

/** Ω by unfolding, of as many samples at a time as leave the patches small. */
export function squaresOfPatches({ images, kernel, output, convolution }: Windows): SymbolicTensor {
  const [samples, channels] = images.shape;
  const features = channels * kernel[0] * kernel[1];
  const bytes = output[0] * output[1] * features * bytesPerElement(images.dtype);
  const chunk = Math.max(1, Math.floor(PATCH_BYTES / bytes));
  const squares: SymbolicTensor[] = [];
  for (let start = 0; start < samples; start += chunk) {
    const own = sliceAxis(images, 0, start, Math.min(samples, start + chunk));
    const patches = transpose(unfold(own, kernel, convolution), [0, 3, 1, 2]);
    const rows = reshape(patches, [-1, features]);
    squares.push(matmul(rows, rows, { transposeA: true }));
  }
  return multiply(squares.reduce(add), 1 / samples);
}

/** μ, (F): sums over the positions of the mean image. */
export function patchSums({ images, kernel, convolution }: Windows): SymbolicTensor {
  const patches = unfold(mean(images, [0], true), kernel, convolution);
  return reshape(sum(patches, [3]), [-1]);
}
