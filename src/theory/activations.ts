/**
 * Dual activations: what a wide layer does to the covariance of its pre-activations.
 *
 * Source: Y. Cho & L. Saul, Kernel methods for deep learning (2009) for ReLU; C. Williams, Computing with infinite networks
 * (1997) for erf; [Karakida20] for their use. With (u, u') normal, of mean zero, variances q and q' and covariance s,
 *
 *   covariance  E[φ(u)φ(u')]       ReLU  √(qq')/(2π)·(√(1 − c²) + c(π − arccos c)),  c = s/√(qq')
 *                                  erf   (2/π)·arcsin(2s/√((1 + 2q)(1 + 2q')))
 *   derivative  E[φ'(u)φ'(u')]     ReLU  (π − arccos c)/(2π)
 *                                  erf   (4/π)/√((1 + 2q)(1 + 2q') − 4s²)
 *
 * | symbol           | argument | value             |
 * | ---------------- | -------- | ----------------- |
 * | Q(x, x)          | `q`      | a number ≥ 0      |
 * | Q(x', x')        | `other`  | a number ≥ 0      |
 * | Q(x, x')         | `s`      | |s| ≤ √(q·other)  |
 *
 * Rounding can take |s| a little above √(qq'); it is cut back. Where c is within rounding of ±1 the derivative of ReLU has an error of
 * the square root of rounding (about 1e-8), for arccos is not smooth there; equal points are exact, since √(q·q) is q bit for bit.
 *
 * Differs from the paper: a pre-activation that is always zero (q = 0, a point of zeros and no bias) has the derivative 0
 * under ReLU, as in the graph; the paper's inputs have positive norm.
 */
import { requireOption } from "../errors.ts";

export type ActivationName = "relu" | "erf";

export interface DualActivation {
  /** E[φ(u)φ(u')]. */
  covariance(q: number, other: number, s: number): number;
  /** E[φ'(u)φ'(u')]. */
  derivative(q: number, other: number, s: number): number;
  /** Share of units whose derivative is not zero, in the mean over initial weights: γ of [Karakida20 §5]. */
  readonly activeShare: number;
}

/** Between these a product of two variances has lost nothing to underflow or overflow. */
const [SMALLEST, LARGEST] = [1e-290, 1e290];

/** c = s/√(qq') cut to [−1, 1]; √q·√q' where the product would under- or overflow. */
function correlation(q: number, other: number, s: number): number {
  const squared = q * other;
  const safe = squared > SMALLEST && squared < LARGEST;
  const scale = safe ? Math.sqrt(squared) : Math.sqrt(q) * Math.sqrt(other);
  return Math.max(-1, Math.min(1, s / scale));
}

const relu: DualActivation = {
  activeShare: 0.5,
  covariance(q, other, s) {
    if (q <= 0 || other <= 0) return 0;
    const c = correlation(q, other, s);
    const angle = Math.acos(c);
    const scale = Math.sqrt(q) * Math.sqrt(other);
    return (scale / (2 * Math.PI)) * (Math.sqrt((1 - c) * (1 + c)) + c * (Math.PI - angle));
  },
  derivative(q, other, s) {
    if (q <= 0 || other <= 0) return 0;
    return (Math.PI - Math.acos(correlation(q, other, s))) / (2 * Math.PI);
  },
};

const erf: DualActivation = {
  activeShare: 1,
  covariance(q, other, s) {
    const bound = Math.sqrt(q) * Math.sqrt(other);
    const inside = Math.max(-bound, Math.min(bound, s));
    return (2 / Math.PI) * Math.asin((2 * inside) / Math.sqrt((1 + 2 * q) * (1 + 2 * other)));
  },
  derivative(q, other, s) {
    // (1 + 2q)(1 + 2q') − 4s² = 1 + 2(q + q') + 4(qq' − s²), whose last term is no less than zero.
    const determinant = Math.max(0, q * other - s * s);
    return 4 / Math.PI / Math.sqrt(1 + 2 * (q + other) + 4 * determinant);
  },
};

const duals: Readonly<Record<ActivationName, DualActivation>> = { relu, erf };

/** @throws UsageError for an activation whose expectations have no closed form here */
export function dualActivation(name: ActivationName): DualActivation {
  requireOption(Object.hasOwn(duals, name), "activation", name, Object.keys(duals).join(" | "));
  return duals[name];
}
