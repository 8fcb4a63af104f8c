/**
 * Exponential families of independent outputs with natural parameter f [Johnson17 §A]: p(y | f) ∝ exp(y f − A(f)).
 *
 * | of one output       | by the log-partition function A  | poisson        |
 * | ------------------- | -------------------------------- | -------------- |
 * | loss ℓ              | A(f) − y f, less what f is not in | exp f − y f    |
 * | mean μ of y         | A′(f)                            | exp f          |
 * | ∂ℓ/∂f               | μ − y                            | exp f − y      |
 * | variance of y, F_out | A″(f)                            | exp f          |
 * | column of B         | √A″(f)                           | exp(f/2)       |
 * | ρ with Bρ = ∂ℓ/∂f   | (μ − y)/√A″(f)                   | (exp f − y)/exp(f/2) |
 *
 * Both derivatives are taken symbolically. Monte-Carlo draws are μ + √A″(f)·ε with normal ε: they have the mean and the variance of
 * the family and not its other moments, which is all that the expected Fisher matrix depends on.
 */
import { requireOption, UsageError } from "../errors.ts";
import type { SymbolicTensor } from "../graph/index.ts";
import * as graph from "../graph/index.ts";
import { formatShape, sameShape } from "../tensor.ts";
import {
  checkReal,
  column,
  type Likelihood,
  LOG_PROBABILITY_FLOOR,
  type Metric,
  meanOf,
  unitColumns,
} from "./likelihood.ts";

/** Smallest variance used in a square root, so that ρ stays far from overflow in float32. */
const VARIANCE_FLOOR = Math.exp(LOG_PROBABILITY_FLOOR);

export interface ExponentialFamily {
  /** What checkpoints know it by. */
  readonly name: string;
  /** A(f), element by element: twice differentiable and strictly convex. */
  logPartition(f: SymbolicTensor): SymbolicTensor;
  /** Least and largest target; default: any finite number. */
  readonly targets?: readonly [least: number, largest: number];
  /** Default: the loss alone. */
  readonly metric?: Metric;
}

/**
 * The likelihood of a one-parameter exponential family in every output: targets (N, C), outputs the natural parameters.
 *
 * @throws UsageError when the range of targets is empty, and as soon as it is used when `logPartition` changes the shape
 */
export function exponentialFamily({ name, logPartition, targets, metric }: ExponentialFamily): Likelihood {
  const [least, largest] = targets ?? [-Infinity, Infinity];
  requireOption(least < largest, `targets of ${name}`, [least, largest], "the least and the largest one");
  const partition = (f: SymbolicTensor) => {
    const result = logPartition(f);
    const shapes = `${formatShape(f.shape)} to ${formatShape(result.shape)}`;
    requireOption(sameShape(result.shape, f.shape), `logPartition of ${name}`, shapes, "element by element");
    return result;
  };
  const mean = (f: SymbolicTensor) => derivative(partition, f);
  const deviation = (f: SymbolicTensor) => graph.sqrt(graph.maximum(derivative(mean, f), VARIANCE_FLOOR));
  return {
    ...{ name, metric },
    targets: (samples, outputs) => ({ shape: [samples, outputs], dtype: "float" }),
    loss: (f, y) => graph.sum(graph.subtract(partition(f), graph.multiply(y, f)), [1]),
    outputGradient: (f, y) => graph.subtract(mean(f), y),
    squareRoot(f, y) {
      const roots = deviation(f);
      const residuals = graph.divide(graph.subtract(mean(f), y), roots);
      return unitColumns(f).map((unit, c) => ({
        column: graph.multiply(roots, unit),
        residual: column(residuals, c),
      }));
    },
    noise: (samples, outputs) => ({ kind: "normal", shape: [samples, outputs] }),
    sample: (f, noise) => graph.add(mean(f), graph.multiply(deviation(f), noise)),
    check(tensor, samples, outputs) {
      checkReal(tensor, samples, outputs);
      const wrong = tensor.data.find((value) => value < least || value > largest);
      if (wrong !== undefined) {
        throw new UsageError(`invalid target ${wrong} (must be ${describeRange(least, largest)})`);
      }
    },
  };
}

/** 2 (y log(y/μ) − y + μ): twice what the loss of an output is above that of the rate y, the best there is. */
function unitDeviance(logRate: number, count: number): number {
  const likelihoodRatio = count > 0 ? count * (Math.log(count) - logRate) : 0;
  return 2 * (likelihoodRatio - count + Math.exp(logRate));
}

/**
 * Counts, or other numbers from 0 on whose variance is their mean: targets (N, C), outputs the logarithms of the rates. The
 * loss is without log y!, which no parameter changes. In float32 rates beyond 10³⁸ (f > 88) are infinite.
 */
export function poisson(): Likelihood {
  return exponentialFamily({
    name: "poisson",
    logPartition: graph.exp,
    targets: [0, Infinity],
    metric: { name: "deviance", of: (f, y) => meanOf(f, y, unitDeviance) },
  });
}

/** The derivative of a function of each element, at each element. */
function derivative(of: (f: SymbolicTensor) => SymbolicTensor, f: SymbolicTensor): SymbolicTensor {
  return graph.gradient(graph.sum(of(f)), [f])[0];
}

function describeRange(least: number, largest: number): string {
  if (largest === Infinity) return `at least ${least}`;
  return least === -Infinity ? `at most ${largest}` : `between ${least} and ${largest}`;
}
