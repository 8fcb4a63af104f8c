/**
 * Approximate inverse Hessians by BFGS on the host, in float64 on slots of the training dtype.
 *
 *   H ← (I − s yᵀ/sᵀy) H (I − y sᵀ/sᵀy) + s sᵀ/sᵀy                     Nocedal & Wright, 2nd ed., eq. 6.17
 *     = H − ρ (p sᵀ + s pᵀ) + (ρ + ρ² yᵀp) s sᵀ,   p = Hy, ρ = 1/sᵀy
 *
 * The second form costs one product with H. The limited-memory form keeps s and p of the last pairs, H = I + LᵀR with two
 * rows of L and R a pair: equal to the two-loop recursion, and a matrix is preconditioned by two products.
 */
import type { SlotArrays } from "./block.ts";

export interface InverseHessian {
  /** H v. */
  product(v: Float64Array): Float64Array;
  /** Updates H by a pair; false, and nothing changed, where the result would not be finite and positive definite. */
  update(s: Float64Array, y: Float64Array): boolean;
}

/** The coefficients ρ and ρ + ρ² yᵀp of an update, unless it would destroy H. */
function coefficients(s: Float64Array, y: Float64Array, p: Float64Array) {
  const rho = 1 / dot(s, y);
  const weight = rho + rho * rho * dot(y, p);
  return rho > 0 && Number.isFinite(rho) && Number.isFinite(weight) ? { rho, weight } : undefined;
}

/** H as a matrix (n, n) in a slot. */
export function denseInverse(h: SlotArrays[string], n: number): InverseHessian {
  const product = (v: Float64Array) => {
    const result = new Float64Array(n);
    for (let i = 0; i < n; i++) {
      let total = 0;
      for (let j = 0; j < n; j++) total += h[i * n + j] * v[j];
      result[i] = total;
    }
    return result;
  };
  return {
    product,
    update(s, y) {
      const p = product(y);
      const found = coefficients(s, y, p);
      if (!found) return false;
      const { rho, weight } = found;
      for (let i = 0; i < n; i++) {
        const diagonal = h[i * n + i] + weight * (s[i] * s[i]) - rho * (2 * p[i] * s[i]);
        if (!isPositive(diagonal)) return false; // it bounds all other elements
      }
      for (let i = 0; i < n; i++) {
        const [si, pi] = [s[i], p[i]];
        for (let j = 0; j < n; j++) h[i * n + j] += weight * (si * s[j]) - rho * (pi * s[j] + si * p[j]);
      }
      return true;
    },
  };
}

/** Slots of a limited-memory H: the pairs, (m, n) each; L and R, (2m, n) each; how many pairs there are. */
export interface LimitedSlots {
  readonly steps: SlotArrays[string];
  readonly changes: SlotArrays[string];
  readonly left: SlotArrays[string];
  readonly right: SlotArrays[string];
  readonly count: SlotArrays[string];
}

/** H by its last pairs, at most `memory`; the oldest makes room. */
export function limitedInverse(slots: LimitedSlots, n: number, memory: number): InverseHessian {
  const { steps, changes, left, right, count } = slots;
  const product = (v: Float64Array, pairs = count[0]) => {
    const result = v.slice();
    for (let row = 0; row < 2 * pairs; row++) {
      let projection = 0;
      for (let j = 0; j < n; j++) projection += right[row * n + j] * v[j];
      for (let j = 0; j < n; j++) result[j] += left[row * n + j] * projection;
    }
    return result;
  };

  /** Writes the rows of pair k by the H of the pairs before it. */
  const append = (k: number, s: Float64Array, y: Float64Array): void => {
    const p = product(y, k);
    const { rho, weight } = coefficients(s, y, p) ?? { rho: 0, weight: 0 }; // 0: rows that change nothing
    const even = 2 * k * n;
    for (let j = 0; j < n; j++) {
      right[even + j] = s[j];
      right[even + n + j] = p[j];
      left[even + j] = weight * s[j] - rho * p[j];
      left[even + n + j] = -rho * s[j];
    }
  };

  return {
    product: (v) => product(v),
    update(s, y) {
      if (!coefficients(s, y, product(y))) return false;
      const full = count[0] === memory;
      if (full) {
        steps.copyWithin(0, n);
        changes.copyWithin(0, n);
      }
      const last = full ? memory - 1 : count[0];
      steps.set(s, last * n);
      changes.set(y, last * n);
      for (let k = full ? 0 : last; k <= last; k++) {
        const row = (rows: SlotArrays[string]) => new Float64Array(rows.subarray(k * n, (k + 1) * n));
        append(k, row(steps), row(changes));
      }
      count[0] = last + 1;
      return true;
    },
  };
}

/** μ of Powell's damping [Goldfarb20 §4]. */
const POWELL_THRESHOLD = 0.2;

/**
 * Double damping of a pair [Goldfarb20, Algorithm 2]: Powell's on H with μ = 0.2, then on B = I with ν. Afterwards
 * sᵀy ≥ ν sᵀs.
 */
export function dampPair(
  inverse: InverseHessian,
  s: Float64Array,
  y: Float64Array,
  floor: number,
): { s: Float64Array; y: Float64Array } {
  const p = inverse.product(y);
  const [along, curvature] = [dot(s, y), dot(y, p)];
  const towardsH =
    along < POWELL_THRESHOLD * curvature ? ((1 - POWELL_THRESHOLD) * curvature) / (curvature - along) : 1;
  const dampedStep = mix(s, p, towardsH);
  const nu = Math.min(1, floor);
  const [slope, length] = [dot(dampedStep, y), dot(dampedStep, dampedStep)];
  const towardsIdentity = slope < nu * length ? ((1 - nu) * length) / (length - slope) : 1;
  return { s: dampedStep, y: mix(y, dampedStep, towardsIdentity) };
}

/** θ a + (1 − θ) b. */
function mix(a: Float64Array, b: Float64Array, theta: number): Float64Array {
  return theta === 1 ? a : a.map((value, k) => theta * value + (1 - theta) * b[k]);
}

export function dot(a: Float64Array, b: Float64Array): number {
  let total = 0;
  for (let k = 0; k < a.length; k++) total += a[k] * b[k];
  return total;
}

/** Whether a value stays a positive number in either dtype. */
function isPositive(value: number): boolean {
  return value > 0 && Number.isFinite(Math.fround(value));
}
