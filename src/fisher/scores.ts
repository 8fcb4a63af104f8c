/**
 * The score matrix of a batch, layer by layer, traced from a forward pass.
 *
 * Every Fisher matrix here is F = (1/N) SᵀS with M = r·N rows of S, r per sample:
 *
 * | fisher             | r | rows of sample n                                     | ρ with g = (1/N) Sᵀρ |
 * | ------------------ | - | ---------------------------------------------------- | -------------------- |
 * | empirical          | 1 | ∇ℓ(f_n, y_n)                                         | 1                    |
 * | improved-empirical | 1 | ∇ℓ(f_n, y_n)/‖∂ℓ_n/∂f_n‖ [Wu24]                      | ‖∂ℓ_n/∂f_n‖          |
 * | exact              | C | Jₙᵀ B_n[:, c], B Bᵀ the output Fisher [Martens20 §5] | the likelihood's     |
 * | monte-carlo        | k | ∇ℓ(f_n, ŷ)/√k, ŷ drawn from the model                | none                 |
 *
 * The improved empirical Fisher undoes what makes the empirical one favour samples that are fitted already: its rows do
 * not shrink with their residuals. With one gaussian output it is the exact Fisher [Wu24, arXiv 2406.06420].
 *
 * Row q of S restricted to a dense layer is δ[q] ⊗ ā[n(q)] [Soori21 eq. 5]: only a and δ are kept. Rows are ordered
 * draw by draw (or column by column): row q belongs to sample q mod N.
 */
import {
  broadcastTo,
  concatenate,
  divide,
  maximum,
  mean,
  multiply,
  reshape,
  type SymbolicTensor,
  scalar,
  sqrt,
  square,
  sum,
  vjp,
} from "../graph/index.ts";
import type { Forward, Likelihood, Tap } from "../nn/index.ts";
import type { ConvolutionLayer, ConvolutionLayout } from "./convolution-scores.ts";
import type { FisherType } from "./fisher-type.ts";
import type { ConvolutionScores, ScaleScores } from "./image-scores.ts";

/** A linear layer's part of the score matrix, and the batch gradient's factors. */
export interface LayerScores {
  readonly kind: "linear";
  /** Name of the layer in the model. */
  readonly layer: string;
  /** Full names of the layer's parameters. */
  readonly weight: string;
  readonly bias?: string;
  /** a, (N, F). */
  readonly inputs: SymbolicTensor;
  /** What the bias is multiplied by; row n of ā is [a[n], biasInput]. */
  readonly biasInput: number;
  /** s, (N, O). */
  readonly preactivations: SymbolicTensor;
  /** δ, (M, O): derivative of each row's score with respect to the pre-activations, not divided by N. */
  readonly deltas: SymbolicTensor;
  /** r = M/N. */
  readonly rowsPerSample: number;
  /** Present where the layer is a convolution as it is: rows of a are images, rows of δ derivatives at all positions. */
  readonly layout?: ConvolutionLayout;
  /** Moments of a (N, F), where they are to be had without a: (1/N) aᵀa and the mean of its rows. */
  readonly inputMoments?: { readonly covariance: SymbolicTensor; readonly mean: SymbolicTensor };
  /** The convolution as it is, where rows of a and δ are its positions or their means, and so not what rows of S are made of. */
  readonly whole?: ConvolutionLayer;
}

/** The scores of linear layers. */
export interface Scores {
  readonly layers: readonly LayerScores[];
  /** ρ, (M); absent for Monte-Carlo. */
  readonly residual?: SymbolicTensor;
  readonly samples: number;
}

/** The scores of all layers, as they are traced. */
export interface TracedScores extends Omit<Scores, "layers"> {
  readonly layers: readonly (LayerScores | ConvolutionScores | ScaleScores)[];
}

/** Norms of ∂ℓ/∂f below it count as this much, so that a sample fitted exactly has a row of zeros, not NaN; far above where squares underflow in float32. */
const SMALLEST_RESIDUAL = 1e-15;

/** Derivatives at the outputs that rows of S are traced from: row q of the k-th N is J_nᵀ seeds[k][n]. */
export interface OutputScores {
  /** r times (N, C). */
  readonly seeds: readonly SymbolicTensor[];
  /** ρ, (M); absent for Monte-Carlo. */
  readonly residual?: SymbolicTensor;
}

/**
 * The scores of a batch with respect to its outputs.
 *
 * @param sampledTargets the targets of every draw, for Monte-Carlo
 */
export function outputScores(
  { outputs }: Pick<Forward, "outputs">,
  likelihood: Likelihood,
  targets: SymbolicTensor,
  { type, draws }: FisherType,
  sampledTargets: readonly SymbolicTensor[] = [],
): OutputScores {
  const samples = outputs.shape[0];
  switch (type) {
    case "empirical": {
      const seed = likelihood.outputGradient(outputs, targets);
      return { seeds: [seed], residual: broadcastTo(scalar(1, outputs.dtype), [samples]) };
    }
    case "improved-empirical": {
      const seed = likelihood.outputGradient(outputs, targets);
      const norm = maximum(sqrt(sum(square(seed), [1])), SMALLEST_RESIDUAL);
      return { seeds: [divide(seed, reshape(norm, [samples, 1]))], residual: norm };
    }
    case "exact": {
      const columns = likelihood.squareRoot(outputs, targets);
      return {
        seeds: columns.map(({ column }) => column),
        residual: concatenate(columns.map((column) => column.residual)),
      };
    }
    case "monte-carlo": {
      const weight = 1 / Math.sqrt(draws);
      const seedOf = (drawn: SymbolicTensor) => multiply(likelihood.outputGradient(outputs, drawn), weight);
      return { seeds: sampledTargets.map(seedOf) };
    }
  }
}

/**
 * Traces the score matrix of a batch.
 *
 * @param sampledTargets the targets of every draw, for Monte-Carlo
 */
export function traceScores(
  forward: Forward,
  likelihood: Likelihood,
  targets: SymbolicTensor,
  fisher: FisherType,
  sampledTargets: readonly SymbolicTensor[] = [],
): TracedScores {
  const { outputs, taps } = forward;
  const { seeds, residual } = outputScores(forward, likelihood, targets, fisher, sampledTargets);
  return { layers: backward(outputs, taps, seeds), residual, samples: outputs.shape[0] };
}

/** One backward pass for every seed (N, C), down to the pre-activations of every layer. */
function backward(
  outputs: SymbolicTensor,
  taps: readonly Tap[],
  seeds: readonly SymbolicTensor[],
): (LayerScores | ConvolutionScores | ScaleScores)[] {
  const preactivations = taps.map((tap) => tap.preactivations);
  const passes = seeds.map((seed) => vjp([outputs], [seed], preactivations));
  return taps.map((tap, k) => ({
    ...tap,
    deltas: concatenate(passes.map((pass) => pass[k])),
    rowsPerSample: seeds.length,
  }));
}

export interface GradientScale {
  /** A scalar that multiplies the gradient, at the output's end of the backward pass; none by default. */
  readonly factor?: SymbolicTensor;
  /**
   * Whether 1/N goes onto the results instead of into the backward pass, which then is shared with the scores of the
   * same batch; default false.
   */
  readonly shared?: boolean;
}

/** Gradient of the mean loss with respect to `parameters`. */
export function traceGradient(
  { outputs }: Forward,
  likelihood: Likelihood,
  targets: SymbolicTensor,
  parameters: readonly SymbolicTensor[],
  { factor, shared = false }: GradientScale = {},
): SymbolicTensor[] {
  const seed = likelihood.outputGradient(outputs, targets);
  const weight = 1 / outputs.shape[0];
  if (shared) return vjp([outputs], [seed], parameters).map((result) => multiply(result, weight));
  const scaled = multiply(seed, factor ? multiply(factor, weight) : weight);
  return vjp([outputs], [scaled], parameters);
}

/** Mean loss of a batch, a scalar; nats per sample. */
export function traceLoss(
  { outputs }: Forward,
  likelihood: Likelihood,
  targets: SymbolicTensor,
): SymbolicTensor {
  return mean(likelihood.loss(outputs, targets));
}
