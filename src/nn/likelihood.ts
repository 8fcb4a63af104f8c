/** What a likelihood is, and what several are built of. */
import { UsageError } from "../errors.ts";
import type { SymbolicTensor } from "../graph/index.ts";
import * as graph from "../graph/index.ts";
import { formatShape, sameShape, type Tensor } from "../tensor.ts";

/** One column of the square root B of the output Fisher, for every sample. */
export interface SquareRootColumn {
  /** B[:, c], (N, C). */
  readonly column: SymbolicTensor;
  /** ρ_c, (N): the columns weighted by ρ add up to ∂ℓ/∂f. */
  readonly residual: SymbolicTensor;
}

/** Numbers of one sample. */
export type Row = ArrayLike<number>;

/** What an evaluation reports beside the loss: the mean over all samples of a number that is told from one row. */
export interface Metric {
  readonly name: string;
  /** Of the outputs f (C) and the targets y (C, or 1 where they are classes) of one sample. */
  of(f: Row, y: Row): number;
  /** What becomes of the mean, such as its root; default: it stays. */
  finish?(mean: number): number;
  /** Whether outputs have the targets' units, so that both are first put back into the data's original ones; default false. */
  readonly inTargetUnits?: boolean;
}

export interface Likelihood {
  /** What checkpoints know it by. */
  readonly name: string;
  /** Default: the loss, under that name. */
  readonly metric?: Metric;
  /** Targets of a batch of N samples with outputs (N, C). */
  targets(samples: number, outputs: number): { shape: readonly number[]; dtype: "float" | "int32" };
  /** ℓ of every sample, (N); nats, summed over outputs, not divided by N. */
  loss(f: SymbolicTensor, y: SymbolicTensor): SymbolicTensor;
  /** ∂ℓ/∂f, (N, C). */
  outputGradient(f: SymbolicTensor, y: SymbolicTensor): SymbolicTensor;
  /** The C columns of B with their residuals. */
  squareRoot(f: SymbolicTensor, y: SymbolicTensor): SquareRootColumn[];
  /** What one draw of targets needs: independent numbers of this kind and shape. */
  noise(samples: number, outputs: number): { kind: "normal" | "uniform"; shape: readonly number[] };
  /** Targets drawn from the model by that noise. */
  sample(f: SymbolicTensor, noise: SymbolicTensor): SymbolicTensor;
  /** @throws UsageError when a batch of targets cannot be targets of this likelihood */
  check(targets: Tensor, samples: number, outputs: number): void;
}

/** The mean over a sample's outputs. */
export function meanOf(f: Row, y: Row, term: (output: number, target: number) => number): number {
  let total = 0;
  for (let c = 0; c < f.length; c++) total += term(f[c], y[c]);
  return total / f.length;
}

/** Smallest log-probability used in a square root, so that ρ stays far from overflow in float32. */
export const LOG_PROBABILITY_FLOOR = -60;

/** Rows e_c of the identity, (1, C) each. */
export function unitColumns(f: SymbolicTensor): SymbolicTensor[] {
  const outputs = f.shape[1];
  return Array.from({ length: outputs }, (_, c) =>
    graph.constant(
      Array.from({ length: outputs }, (_, k) => (k === c ? 1 : 0)),
      [1, outputs],
      f.dtype,
    ),
  );
}

/** Column c of a matrix, (N). */
export function column(x: SymbolicTensor, c: number): SymbolicTensor {
  return graph.reshape(graph.sliceAxis(x, 1, c, c + 1), [x.shape[0]]);
}

/** @throws UsageError unless targets are (N, C) and finite */
export function checkReal(targets: Tensor, samples: number, outputs: number): void {
  checkShape(targets, [samples, outputs]);
  const wrong = targets.data.find((value) => !Number.isFinite(value));
  if (wrong !== undefined) throw new UsageError(`invalid target ${wrong} (must be a finite number)`);
}

/** @throws UsageError when targets have another shape */
export function checkShape(targets: Tensor, expected: readonly number[]): void {
  if (!sameShape(targets.shape, expected)) {
    throw new UsageError(
      `invalid targets: shape ${formatShape(targets.shape)} (must be ${formatShape(expected)})`,
    );
  }
}
