/**
 * How fast a cost grows: the exponent p of y = c xᵖ, by least squares on log y = log c + p log x.
 *
 * Small networks cost what any call costs, so a curve is flat before it is straight; only the upper part of the range
 * is fitted.
 */

/** A size and what it costs, both > 0. */
export interface CostPoint {
  readonly x: number;
  readonly y: number;
}

export interface PowerLaw {
  /** p. */
  readonly exponent: number;
  /** Of p: √(RSS / (n − 2) / Σ(log x − mean)²), n points. */
  readonly standardError: number;
  /** c. */
  readonly factor: number;
  /** The smallest and the largest x of the fit, and how many points it has. */
  readonly from: number;
  readonly to: number;
  readonly points: number;
}

/** Fewer leave no residual to judge the fit by. */
const FEWEST_POINTS = 3;

/** The points with the largest x: half of them, and at least three where there are as many. */
export function upperPart(points: readonly CostPoint[]): CostPoint[] {
  const sorted = [...points].sort((a, b) => a.x - b.x);
  return sorted.slice(-Math.max(FEWEST_POINTS, Math.ceil(points.length / 2)));
}

/** The law that fits all the points given; `undefined` for fewer than three, or for one x alone. */
export function fitPowerLaw(points: readonly CostPoint[]): PowerLaw | undefined {
  if (points.length < FEWEST_POINTS) return undefined;
  const logs = points.map(({ x, y }) => ({ x: Math.log(x), y: Math.log(y) }));
  const mean = { x: average(logs.map(({ x }) => x)), y: average(logs.map(({ y }) => y)) };
  const spread = sum(logs.map(({ x }) => (x - mean.x) ** 2));
  if (spread === 0) return undefined;
  const exponent = sum(logs.map(({ x, y }) => (x - mean.x) * (y - mean.y))) / spread;
  const residuals = logs.map(({ x, y }) => y - mean.y - exponent * (x - mean.x));
  const variance = sum(residuals.map((residual) => residual ** 2)) / (points.length - 2);
  const sizes = points.map(({ x }) => x);
  return {
    exponent,
    standardError: Math.sqrt(variance / spread),
    factor: Math.exp(mean.y - exponent * mean.x),
    ...{ from: Math.min(...sizes), to: Math.max(...sizes), points: points.length },
  };
}

/**
 * What the next point would cost if the cost went on as between the last two, and at least what the last one did;
 * `undefined` where there are not two.
 */
export function extrapolate(points: readonly CostPoint[], x: number): number | undefined {
  const [before, last] = points.slice(-2);
  if (last === undefined) return undefined;
  const slope = Math.log(last.y / before.y) / Math.log(last.x / before.x);
  return last.y * (x / last.x) ** Math.max(0, slope);
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

function average(values: readonly number[]): number {
  return sum(values) / values.length;
}
