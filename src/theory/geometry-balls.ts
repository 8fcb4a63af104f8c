/**
 * Balls of two parameters without approximation, and the point of a ball where the loss is least: what steepest descent is the
 * limit of [Johnson17 §1, §2].
 *
 *   KL ball      { θ' : KL(p_θ ‖ p_θ') ≤ ε }, to second order the ellipse ½ dᵀF d ≤ ε
 *   Euclidean    { θ' : ½ ‖θ' − θ‖² ≤ ε }
 *
 * Points of a boundary are found along rays d = s L⁻ᵀu, u = (cos φ, sin φ), with M = L Lᵀ the metric at θ: in the coordinates
 * Lᵀd the ball is round, so angles φ measure both balls alike.
 */
import { RunError, requireOption } from "../errors.ts";
import { dampedCholesky, solveLowerTransposed } from "../linalg/index.ts";
import { times } from "./geometry.ts";
import type { Family } from "./geometry-families.ts";
import { plus } from "./geometry-order.ts";

export type BallName = "kl" | "euclidean";

/** A ball around θ, to be walked along its boundary. */
export interface Ball {
  /** The step d to the boundary at the angle φ. */
  at(angle: number): Float64Array;
  /** φ of a step. */
  angleOf(step: Float64Array): number;
}

/**
 * The ball of radius ε around θ (2).
 *
 * @throws UsageError for a radius that is not positive; RunError when a ray does not reach the boundary
 */
export function ballAround(family: Family, theta: Float64Array, name: BallName, radius: number): Ball {
  requireOption(radius > 0 && radius < Infinity, "radius", radius, "> 0 and finite");
  const metric = name === "kl" ? family.fisher(theta) : Float64Array.of(1, 0, 0, 1);
  const result = dampedCholesky(metric, 2, 0, { maxRetries: 0 });
  if (result.failure !== undefined) throw new RunError(`the metric at the center: ${result.failure}`);
  const { factor } = result;
  const ray = (angle: number) => {
    const direction = Float64Array.of(Math.cos(angle), Math.sin(angle));
    solveLowerTransposed(factor, 2, direction);
    return direction;
  };
  const transposed = Float64Array.of(factor[0], factor[2], factor[1], factor[3]);
  return {
    at(angle) {
      const direction = ray(angle);
      const ellipse = Math.sqrt(2 * radius);
      const length =
        name === "euclidean"
          ? ellipse
          : reach((s) => family.divergence(theta, plus(theta, direction, s)), radius, ellipse);
      return direction.map((value) => length * value);
    },
    angleOf(step) {
      const [x, y] = times(transposed, step);
      return Math.atan2(y, x);
    },
  };
}

/** (count + 1, 2) row-major: the steps to the boundary, the first again at the end. */
export function walkBoundary(ball: Ball, count: number): Float64Array {
  requireOption(Number.isInteger(count) && count >= 3, "count", count, "an integer ≥ 3");
  const steps = Array.from({ length: count + 1 }, (_, k) => [
    ...ball.at((2 * Math.PI * (k % count)) / count),
  ]);
  return Float64Array.from(steps.flat());
}

/** Where a loss is least on the boundary: a coarse walk, then golden sections until the angle is known to about 1e-8. */
export function leastOnBoundary(
  family: Family,
  theta: Float64Array,
  ball: Ball,
): { readonly angle: number; readonly step: Float64Array; readonly loss: number } {
  const loss = (angle: number) => family.loss(plus(theta, ball.at(angle)));
  const coarse = 32;
  const angles = Array.from({ length: coarse }, (_, k) => (2 * Math.PI * k) / coarse);
  const losses = angles.map(loss);
  const best = angles[losses.indexOf(Math.min(...losses))];
  let [low, high] = [best - (2 * Math.PI) / coarse, best + (2 * Math.PI) / coarse];
  const golden = (Math.sqrt(5) - 1) / 2;
  while (high - low > 1e-8) {
    const [left, right] = [high - golden * (high - low), low + golden * (high - low)];
    if (loss(left) < loss(right)) high = right;
    else low = left;
  }
  const angle = (low + high) / 2;
  return { angle, step: ball.at(angle), loss: loss(angle) };
}

/** The smaller angle between two, in radians. */
export function angleBetween(a: number, b: number): number {
  const turn = Math.abs(a - b) % (2 * Math.PI);
  return Math.min(turn, 2 * Math.PI - turn);
}

/** s > 0 with value(s) = target, value rising from 0: by doubling, then by secants that keep the root between them (Illinois). */
function reach(value: (s: number) => number, target: number, guess: number): number {
  let [low, below] = [0, -target];
  let [high, above] = [guess, value(guess) - target];
  for (let doublings = 0; above < 0; doublings++) {
    if (doublings === 60) {
      throw new RunError(`no point at a divergence of ${target}: the ray does not reach it`);
    }
    [low, below] = [high, above];
    high *= 2;
    above = value(high) - target;
  }
  for (let secants = 0; secants < 100 && high - low > 1e-14 * high; secants++) {
    const next = high - (above * (high - low)) / (above - below);
    const excess = value(next) - target;
    if (excess === 0 || next <= low || next >= high) return next;
    if (excess > 0) {
      [high, above] = [next, excess];
      below /= 2;
    } else {
      [low, below] = [next, excess];
      above /= 2;
    }
    if (Math.abs(excess) <= 1e-14 * target) return next;
  }
  return (low + high) / 2;
}
