/**
 * How time and memory of a step grow with the width and with the depth of a network: figure 5 of the survey "Natural Gradient
 * Method: Perspectives, Efficient-Scalable Approximation, and Analysis", measured.
 *
 * Every point runs in a process of its own (`growth-point.ts`). What would take more time or memory than the limits is left
 * out, with the estimate in words (`growth-curve.ts`).
 */
import { fork } from "node:child_process";
import { once } from "node:events";
import { extname } from "node:path";
import { fileURLToPath } from "node:url";
import {
  DEPTH_OF_WIDTHS,
  GrowingCurve,
  type GrowthAxis,
  type GrowthCurve,
  type GrowthPlan,
  type GrowthPoint,
  type LeftOut,
  WIDTH_OF_DEPTHS,
} from "./growth-curve.ts";
import type { PointOutcome, PointRequest } from "./growth-point.ts";

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
    const curves = plan.methods.map((method) => new GrowingCurve(axis, method));
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
