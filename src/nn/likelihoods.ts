/**
 * Likelihoods: the loss is always a negative log-likelihood, so that the model itself defines the Fisher metric.
 *
 * | likelihood  | ℓ(f, y)                  | output Fisher F_out = BBᵀ | columns of B            | ρ with Bρ = ∂ℓ/∂f       |
 * | ----------- | ------------------------ | ------------------------- | ----------------------- | ----------------------- |
 * | gaussian    | ½‖f − y‖²                | I                         | e_c                     | f_c − y_c               |
 * | categorical | −log softmax(f)_y        | diag(p) − ppᵀ             | √p_c·(e_c − p)          | (p_c − y_c)/√p_c        |
 * | bernoulli   | Σ softplus(f_c) − y_c f_c | diag(p(1 − p))           | √(p_c(1 − p_c))·e_c     | (p_c − y_c)/√(p_c(1−p_c)) |
 *
 * All are exponential families with natural parameter f [Johnson17 §A], so the Fisher equals the generalized
 * Gauss-Newton matrix. Others of independent outputs follow from their log-partition function (`exponential-family.ts`);
 * any other is an object of the type {@link Likelihood}.
 */
import { requireOption, UsageError } from "../errors.ts";
import type { SymbolicTensor } from "../graph/index.ts";
import * as graph from "../graph/index.ts";
import { indexOfLargest } from "../tensor.ts";
import {
  checkReal,
  checkShape,
  column,
  type Likelihood,
  LOG_PROBABILITY_FLOOR,
  type Metric,
  meanOf,
  unitColumns,
} from "./likelihood.ts";

const rootMeanSquare: Metric = {
  name: "rmse",
  of: (f, y) => meanOf(f, y, (value, target) => (value - target) ** 2),
  finish: Math.sqrt,
  inTargetUnits: true,
};
/** Whether the largest output is the class. */
const classAccuracy: Metric = {
  name: "accuracy",
  of: (f, y) => (indexOfLargest(f) === y[0] ? 1 : 0),
};
/** Share of outputs on the right side of 0. */
const signAccuracy: Metric = {
  name: "accuracy",
  of: (f, y) => meanOf(f, y, (value, target) => (value > 0 === target > 0.5 ? 1 : 0)),
};

/** Regression with unit variance: targets (N, C). */
export function gaussian(): Likelihood {
  return {
    name: "gaussian",
    metric: rootMeanSquare,
    targets: (samples, outputs) => ({ shape: [samples, outputs], dtype: "float" }),
    loss: (f, y) => graph.multiply(graph.sum(graph.square(graph.subtract(f, y)), [1]), 0.5),
    outputGradient: (f, y) => graph.subtract(f, y),
    squareRoot(f, y) {
      const residuals = graph.subtract(f, y);
      return unitColumns(f).map((unit, c) => ({
        column: graph.broadcastTo(unit, f.shape),
        residual: column(residuals, c),
      }));
    },
    noise: (samples, outputs) => ({ kind: "normal", shape: [samples, outputs] }),
    sample: (f, noise) => graph.add(f, noise),
    check: checkReal,
  };
}

/** Classification by softmax: targets are class indices (N), int32. */
export function categorical(): Likelihood {
  return {
    name: "categorical",
    metric: classAccuracy,
    targets: (samples) => ({ shape: [samples], dtype: "int32" }),
    loss: (f, y) => graph.negate(graph.sum(graph.multiply(graph.logSoftmax(f), oneHot(y, f)), [1])),
    outputGradient: (f, y) => graph.subtract(graph.softmax(f), oneHot(y, f)),
    squareRoot(f, y) {
      const logRoots = graph.multiply(graph.maximum(graph.logSoftmax(f), LOG_PROBABILITY_FLOOR), 0.5);
      const roots = graph.exp(logRoots);
      const residuals = graph.divide(graph.subtract(graph.softmax(f), oneHot(y, f)), roots);
      const p = graph.softmax(f);
      return unitColumns(f).map((unit, c) => ({
        column: graph.multiply(graph.sliceAxis(roots, 1, c, c + 1), graph.subtract(unit, p)),
        residual: column(residuals, c),
      }));
    },
    noise: (samples) => ({ kind: "uniform", shape: [samples, 1] }),
    sample(f, noise) {
      // Inverse transform: the number of cumulative probabilities, but the last, that the uniform draw exceeds.
      const classes = f.shape[1];
      const triangle = Array.from({ length: classes * (classes - 1) }, (_, k) =>
        Math.floor(k / (classes - 1)) <= k % (classes - 1) ? 1 : 0,
      );
      const cumulative = graph.matmul(
        graph.softmax(f),
        graph.constant(triangle, [classes, classes - 1], f.dtype),
      );
      const exceeded = graph.cast(graph.less(cumulative, noise), f.dtype);
      return graph.cast(graph.sum(exceeded, [1]), "int32");
    },
    check(targets, samples, outputs) {
      requireOption(
        outputs > 1,
        "outputs of a categorical model",
        outputs,
        "at least 2, one for every class",
      );
      checkShape(targets, [samples]);
      for (const value of targets.data) {
        if (!Number.isInteger(value) || value < 0) {
          throw new UsageError(`invalid class ${value} (must be an integer from 0 to ${outputs - 1})`);
        }
        if (value >= outputs) {
          throw new UsageError(
            `invalid class ${value}: the model has ${outputs} outputs (give its last layer at least ${value + 1} units)`,
          );
        }
      }
    },
  };
}

/** Independent yes-no outputs by the logistic function: targets (N, C) of 0 and 1. */
export function bernoulli(): Likelihood {
  return {
    name: "bernoulli",
    metric: signAccuracy,
    targets: (samples, outputs) => ({ shape: [samples, outputs], dtype: "float" }),
    loss: (f, y) => graph.sum(graph.subtract(graph.softplus(f), graph.multiply(y, f)), [1]),
    outputGradient: (f, y) => graph.subtract(graph.sigmoid(f), y),
    squareRoot(f, y) {
      // log(p(1 − p)) = −softplus(−f) − softplus(f)
      const logVariance = graph.negate(graph.add(graph.softplus(f), graph.softplus(graph.negate(f))));
      const roots = graph.exp(graph.multiply(graph.maximum(logVariance, LOG_PROBABILITY_FLOOR), 0.5));
      const residuals = graph.divide(graph.subtract(graph.sigmoid(f), y), roots);
      return unitColumns(f).map((unit, c) => ({
        column: graph.multiply(roots, unit),
        residual: column(residuals, c),
      }));
    },
    noise: (samples, outputs) => ({ kind: "uniform", shape: [samples, outputs] }),
    sample: (f, noise) => graph.cast(graph.less(noise, graph.sigmoid(f)), f.dtype),
    check(targets, samples, outputs) {
      checkReal(targets, samples, outputs);
      const wrong = targets.data.find((value) => value < 0 || value > 1);
      if (wrong !== undefined) throw new UsageError(`invalid target ${wrong} (must be between 0 and 1)`);
    },
  };
}

/** Class indices (N) as rows of the identity (N, C), in f's dtype. */
function oneHot(y: SymbolicTensor, f: SymbolicTensor): SymbolicTensor {
  const [samples, classes] = f.shape;
  const indices = graph.constant(
    Int32Array.from({ length: classes }, (_, c) => c),
    [1, classes],
    "int32",
  );
  return graph.cast(graph.equal(graph.reshape(y, [samples, 1]), indices), f.dtype);
}
