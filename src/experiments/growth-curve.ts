/**
 * One method along one axis: its points as they are measured, what is left out by the limits and why, and the fits.
 *
 * What would take more time or memory than the limits is not tried: the next point is estimated from the last two.
 */
import { formatBytes } from "../memory.ts";
import type { PointMeasurement, PointOutcome, PointRequest } from "./growth-point.ts";
import { extrapolate, fitPowerLaw, type PowerLaw, upperPart } from "./power-law.ts";

export interface GrowthPlan {
  readonly methods: readonly string[];
  /** Units of each of {@link DEPTH_OF_WIDTHS} hidden layers. */
  readonly widths: readonly number[];
  /** Numbers of hidden layers of {@link WIDTH_OF_DEPTHS} units each. */
  readonly depths: readonly number[];
  readonly batchSize: number;
  readonly seed: number;
  /** How long the steps of one point are timed. */
  readonly seconds: number;
  /** Of one point, from the start of its process. */
  readonly timeLimit: number;
  /** Bytes of one point. */
  readonly memoryLimit: number;
}

export type GrowthAxis = "width" | "depth";

export interface GrowthPoint extends PointMeasurement {
  /** The width or the depth. */
  readonly x: number;
}

/** A point that was not measured, and why. */
export interface LeftOut {
  readonly x: number;
  readonly reason: string;
}

/** One method along one axis. */
export interface GrowthCurve {
  readonly method: string;
  readonly points: readonly GrowthPoint[];
  readonly leftOut: readonly LeftOut[];
  /** Of the upper part of the points, of memory where it is more than noise; absent where there are fewer than three. */
  readonly time?: PowerLaw;
  readonly memory?: PowerLaw;
  readonly operations?: PowerLaw;
}

export const DEPTH_OF_WIDTHS = 2;
export const WIDTH_OF_DEPTHS = 32;

/** By less than this a process's memory also moves for reasons of its own; no estimate and no fit is based on it. */
export const LEAST_TELLING_BYTES = 8 * 2 ** 20;

/** Why there is no measurement. */
export type Refusal = Exclude<PointOutcome, { kind: "measured" }>;

/** A curve while it grows. */
export class GrowingCurve {
  readonly axis: GrowthAxis;
  readonly method: string;
  readonly #points: GrowthPoint[] = [];
  readonly #leftOut: LeftOut[] = [];
  #tooSlowFrom: number | undefined;

  constructor(axis: GrowthAxis, method: string) {
    this.axis = axis;
    this.method = method;
  }

  request(x: number, { batchSize, seed, seconds, memoryLimit }: GrowthPlan): PointRequest {
    const network =
      this.axis === "width" ? { width: x, depth: DEPTH_OF_WIDTHS } : { width: WIDTH_OF_DEPTHS, depth: x };
    return { method: this.method, ...network, batchSize, seed, seconds, memoryLimit };
  }

  /** Why a point is not to be tried, by the points before it. */
  refuse(x: number, { timeLimit, memoryLimit }: GrowthPlan): Refusal | undefined {
    if (this.#tooSlowFrom !== undefined) {
      const reason = `${this.axis} ${this.#tooSlowFrom} already took more than the limit of ${timeLimit} s`;
      return { kind: "failed", reason };
    }
    const seconds = this.#extrapolate(x, ({ leastSeconds }) => leastSeconds);
    if (seconds !== undefined && seconds > timeLimit) {
      const estimate = `it would take about ${Math.round(seconds)} s as the points before it grow`;
      return { kind: "failed", reason: `${estimate}, the limit is ${timeLimit} s` };
    }
    const bytes = this.#extrapolate(x, ({ peakBytes }) => Math.max(peakBytes, LEAST_TELLING_BYTES));
    if (bytes !== undefined && bytes > memoryLimit) {
      const estimate = `it would need about ${formatBytes(bytes)} as the points before it grow`;
      return { kind: "failed", reason: `${estimate}, the limit is ${formatBytes(memoryLimit)}` };
    }
    return undefined;
  }

  add(x: number, measurement: PointMeasurement): GrowthPoint {
    const point = { x, ...measurement };
    this.#points.push(point);
    return point;
  }

  leave(x: number, refusal: Refusal, { timeLimit, memoryLimit }: GrowthPlan): LeftOut {
    if (refusal.kind === "too slow") this.#tooSlowFrom = x;
    const left = { x, reason: inWords(refusal, timeLimit, memoryLimit) };
    this.#leftOut.push(left);
    return left;
  }

  fitted(): GrowthCurve {
    const fit = (cost: (point: GrowthPoint) => number, least = 0) => {
      const costs = this.#points.map((point) => ({ x: point.x, y: cost(point) }));
      return fitPowerLaw(upperPart(costs.filter(({ y }) => y > least)));
    };
    return {
      ...{ method: this.method, points: this.#points, leftOut: this.#leftOut },
      time: fit(({ secondsPerStep }) => secondsPerStep),
      memory: fit(({ peakBytes }) => peakBytes, LEAST_TELLING_BYTES),
      operations: fit(({ flops }) => flops),
    };
  }

  #extrapolate(x: number, cost: (point: GrowthPoint) => number): number | undefined {
    return extrapolate(
      this.#points.map((point) => ({ x: point.x, y: cost(point) })),
      x,
    );
  }
}

function inWords(refusal: Refusal, timeLimit: number, memoryLimit: number): string {
  switch (refusal.kind) {
    case "too large":
      return `its curvature needs ${formatBytes(refusal.estimatedBytes)} by the report's estimate, the limit is ${formatBytes(memoryLimit)}`;
    case "too slow":
      return `stopped at the limit of ${timeLimit} s`;
    case "failed":
      return refusal.reason;
  }
}
