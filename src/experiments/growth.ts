/**
 * How time and memory of a step grow with the width and with the depth of a network: figure 5 of the survey "Natural Gradient
 * Method: Perspectives, Efficient-Scalable Approximation, and Analysis", measured.
 *
 * Every point runs in a process of its own (`growth-point.ts`). What would take more time or memory than the limits is left
 * out, with the estimate in words; a curve's next point is estimated from its last two, its curvature from the report.
 */
import { fork } from "node:child_process";
import { once } from "node:events";
import { extname } from "node:path";
import { fileURLToPath } from "node:url";
import { formatBytes } from "../curvature/solver.ts";
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

export interface GrowthSweep {
  readonly axis: GrowthAxis;
  readonly sizes: readonly number[];
  /** What is the same along the axis, in words: `2 hidden layers`. */
  readonly fixed: string;
  readonly curves: readonly GrowthCurve[];
}

/** `growth.json`: all it takes to draw the figure, and to measure it again. */
export interface GrowthResult {
  readonly format: "natgrad growth 1";
  readonly command: string;
  /** ISO 8601. */
  readonly createdAt: string;
  /** What computed, in lines for people. */
  readonly environment: readonly string[];
  readonly plan: GrowthPlan;
  readonly sweeps: readonly GrowthSweep[];
}

/** Who listens while it is measured. */
export interface GrowthListener {
  readonly signal?: AbortSignal;
  onPoint?(axis: GrowthAxis, method: string, point: GrowthPoint): void;
  onLeftOut?(axis: GrowthAxis, method: string, leftOut: LeftOut): void;
}

export const DEPTH_OF_WIDTHS = 2;
export const WIDTH_OF_DEPTHS = 32;

/** By less than this a process's memory also moves for reasons of its own; no estimate and no fit is based on it. */
export const LEAST_TELLING_BYTES = 8 * 2 ** 20;

/** A small young generation (MiB), so that garbage of the host language does not hide what small networks need. */
const NODE_OPTIONS = ["--max-semi-space-size=1"];

/**
 * Measures all points, the small networks first; when the signal comes, what was measured until then.
 *
 * @param plan its methods of `growthMethods`, its sizes positive integers
 */
export async function measureGrowth(plan: GrowthPlan, listener: GrowthListener = {}): Promise<GrowthSweep[]> {
  const outcomes = new Map<string, Promise<PointOutcome>>(); // the two axes cross in one network
  const runOnce = (request: PointRequest) => {
    const key = `${request.method} ${request.width} ${request.depth}`;
    const outcome = outcomes.get(key) ?? runPoint(request, plan.timeLimit, listener.signal);
    outcomes.set(key, outcome);
    return outcome;
  };
  const sweeps: GrowthSweep[] = [];
  for (const axis of ["width", "depth"] as const) {
    const curves = plan.methods.map((method) => new Curve(axis, method));
    const sizes = sizesOf(plan, axis);
    for (const [x, curve] of sizes.flatMap((x) => curves.map((curve) => [x, curve] as const))) {
      if (listener.signal?.aborted) break;
      const outcome = curve.refuse(x, plan) ?? (await runOnce(curve.request(x, plan)));
      if (listener.signal?.aborted) break;
      if (outcome.kind === "measured") {
        const point = curve.add(x, outcome.point);
        listener.onPoint?.(axis, curve.method, point);
      } else {
        const leftOut = curve.leave(x, outcome, plan);
        listener.onLeftOut?.(axis, curve.method, leftOut);
      }
    }
    const fixed =
      axis === "width" ? `${DEPTH_OF_WIDTHS} hidden layers` : `hidden layers of ${WIDTH_OF_DEPTHS} units`;
    sweeps.push({ axis, sizes, fixed, curves: curves.map((curve) => curve.fitted()) });
  }
  return sweeps;
}

/** How many points a plan has, left out or not. */
export function countPoints(plan: GrowthPlan): number {
  return plan.methods.length * (sizesOf(plan, "width").length + sizesOf(plan, "depth").length);
}

function sizesOf({ widths, depths }: GrowthPlan, axis: GrowthAxis): number[] {
  return [...new Set(axis === "width" ? widths : depths)].sort((a, b) => a - b);
}

type Refusal = Exclude<PointOutcome, { kind: "measured" }>;

/** A curve while it grows. */
class Curve {
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

/** Measures one point in a fresh process, which is ended at the limit or by the signal. */
async function runPoint(
  request: PointRequest,
  timeLimit: number,
  signal?: AbortSignal,
): Promise<PointOutcome> {
  const file = fileURLToPath(new URL(`./growth-point${extname(import.meta.url)}`, import.meta.url));
  const child = fork(file, [JSON.stringify(request)], {
    execArgv: [...process.execArgv, ...NODE_OPTIONS],
    stdio: ["ignore", "ignore", "pipe", "ipc"],
  });
  const stop = () => child.kill("SIGKILL");
  let outcome: PointOutcome | undefined;
  let errors = "";
  child.on("message", (message) => {
    outcome = message as PointOutcome;
  });
  child.stderr!.on("data", (chunk) => {
    errors += chunk;
  });
  const timer = setTimeout(() => {
    outcome ??= { kind: "too slow" };
    stop();
  }, 1000 * timeLimit);
  signal?.addEventListener("abort", stop);
  const [code, killer] = await once(child, "close");
  clearTimeout(timer);
  signal?.removeEventListener("abort", stop);
  const lastLine = errors.trim().split("\n").at(-1);
  return (
    outcome ?? { kind: "failed", reason: lastLine || `its process ended with ${killer ?? `code ${code}`}` }
  );
}
