/**
 * Families of distributions small enough to see [Johnson17 §2]: loss, gradient, Fisher matrix and KL divergence in closed form,
 * and the same family in other parameters.
 *
 * The loss is the mean negative log-likelihood of data, in nats per sample; the Fisher matrix is the model's own, of one sample
 * (gaussian) or the mean over the inputs (logistic), so that KL(θ‖θ+t) = ½ tᵀF t + O(t³).
 */
import { UsageError } from "../errors.ts";
import { dot } from "./geometry.ts";

/** A loss on a space of distributions; θ is (P). */
export interface Family {
  /** Names of the parameters. */
  readonly names: readonly string[];
  loss(theta: Float64Array): number;
  /** ∂loss/∂θ, (P). */
  gradient(theta: Float64Array): Float64Array;
  /** F(θ), (P, P). */
  fisher(theta: Float64Array): Float64Array;
  /** KL(p_θ ‖ p_θ'), in nats. */
  divergence(theta: Float64Array, other: Float64Array): number;
}

/**
 * N(μ, σ²) with θ = (μ, log σ): F = diag(1/σ², 2).
 *
 * @param data (N) numbers
 */
export function gaussianFamily(data: Float64Array): Family {
  if (data.length === 0) throw new UsageError("invalid data: no numbers (must be at least one)");
  const mean = data.reduce((sum, value) => sum + value, 0) / data.length;
  const variance = data.reduce((sum, value) => sum + (value - mean) ** 2, 0) / data.length;
  const square = (theta: Float64Array) => variance + (mean - theta[0]) ** 2;
  return {
    names: ["μ", "log σ"],
    loss: (theta) => 0.5 * Math.log(2 * Math.PI) + theta[1] + 0.5 * square(theta) * Math.exp(-2 * theta[1]),
    gradient(theta) {
      const precision = Math.exp(-2 * theta[1]);
      return Float64Array.of((theta[0] - mean) * precision, 1 - square(theta) * precision);
    },
    fisher: (theta) => Float64Array.of(Math.exp(-2 * theta[1]), 0, 0, 2),
    divergence(theta, other) {
      const step = other[1] - theta[1];
      const shift = (theta[0] - other[0]) ** 2 * Math.exp(-2 * other[1]);
      return step + 0.5 * Math.expm1(-2 * step) + 0.5 * shift;
    },
  };
}

/**
 * Logistic regression, p(y = 1 | x) = σ(xᵀθ): F = mean p(1 − p) xxᵀ. Inputs that are correlated make it far from a multiple of I.
 *
 * @param inputs (N, P) row-major
 * @param targets (N) of 0 and 1
 */
export function logisticFamily(inputs: Float64Array, targets: Float64Array): Family {
  const samples = targets.length;
  const order = inputs.length / samples;
  if (samples === 0 || !Number.isInteger(order)) {
    throw new UsageError(`invalid inputs: ${inputs.length} numbers for ${samples} targets`);
  }
  const rows = Array.from({ length: samples }, (_, n) => inputs.subarray(n * order, (n + 1) * order));
  const mean = (value: (row: Float64Array, n: number) => number) =>
    rows.reduce((sum, row, n) => sum + value(row, n), 0) / samples;
  return {
    names: Array.from({ length: order }, (_, k) => `θ${k + 1}`),
    loss: (theta) => mean((row, n) => softplus(dot(row, theta)) - targets[n] * dot(row, theta)),
    gradient: (theta) =>
      Float64Array.from({ length: order }, (_, k) =>
        mean((row, n) => (sigmoid(dot(row, theta)) - targets[n]) * row[k]),
      ),
    fisher: (theta) =>
      Float64Array.from({ length: order * order }, (_, at) =>
        mean((row) => {
          const p = sigmoid(dot(row, theta));
          return p * (1 - p) * row[Math.floor(at / order)] * row[at % order];
        }),
      ),
    divergence: (theta, other) =>
      mean((row) => {
        const [a, b] = [dot(row, theta), dot(row, other)];
        return softplus(b) - softplus(a) - sigmoid(a) * (b - a);
      }),
  };
}

/** Other parameters φ of the same distributions. */
export interface Parameterization {
  readonly names: readonly string[];
  /** θ(φ). */
  toOriginal(phi: Float64Array): Float64Array;
  /** φ(θ). */
  fromOriginal(theta: Float64Array): Float64Array;
  /** ∂θ/∂φ, (P, P). */
  jacobian(phi: Float64Array): Float64Array;
}

/** The family in the parameters φ: gradient Jᵀg and Fisher matrix JᵀF J with J = ∂θ/∂φ. */
export function reparameterize(family: Family, parameterization: Parameterization): Family {
  const { names, toOriginal, jacobian } = parameterization;
  return {
    names,
    loss: (phi) => family.loss(toOriginal(phi)),
    gradient: (phi) => transposedTimes(jacobian(phi), family.gradient(toOriginal(phi))),
    fisher: (phi) => conjugate(jacobian(phi), family.fisher(toOriginal(phi)), phi.length),
    divergence: (phi, other) => family.divergence(toOriginal(phi), toOriginal(other)),
  };
}

/** φ = (μ, σ²) for θ = (μ, log σ). */
export const meanAndVariance: Parameterization = {
  names: ["μ", "σ²"],
  toOriginal: ([mean, variance]) => Float64Array.of(mean, 0.5 * Math.log(variance)),
  fromOriginal: ([mean, logDeviation]) => Float64Array.of(mean, Math.exp(2 * logDeviation)),
  jacobian: ([, variance]) => Float64Array.of(1, 0, 0, 0.5 / variance),
};

/** Jᵀv. */
function transposedTimes(jacobian: Float64Array, vector: Float64Array): Float64Array {
  const order = vector.length;
  return Float64Array.from({ length: order }, (_, k) =>
    vector.reduce((sum, value, row) => sum + jacobian[row * order + k] * value, 0),
  );
}

/** JᵀF J. */
function conjugate(jacobian: Float64Array, fisher: Float64Array, order: number): Float64Array {
  const result = new Float64Array(order * order);
  for (let a = 0; a < order; a++) {
    for (let b = 0; b < order; b++) {
      let sum = 0;
      for (let i = 0; i < order; i++) {
        for (let j = 0; j < order; j++) {
          sum += jacobian[i * order + a] * fisher[i * order + j] * jacobian[j * order + b];
        }
      }
      result[a * order + b] = sum;
    }
  }
  return result;
}

function sigmoid(x: number): number {
  return x >= 0 ? 1 / (1 + Math.exp(-x)) : Math.exp(x) / (1 + Math.exp(x));
}

function softplus(x: number): number {
  return Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));
}
