/** The benchmark's figures as a table for people. */
import { arch, availableParallelism, cpus, loadavg, platform } from "node:os";
import Table from "cli-table3";
import type { Timing } from "./measure.ts";

/** Timings of one case and method. */
export interface Row {
  readonly case: string;
  readonly method: string;
  readonly timings: readonly Timing[];
}

type Engine = Timing["engine"];

/** A row's fastest timing of an engine, by its least round. */
function fastest({ timings }: Row, engine: Engine): Timing | undefined {
  const own = timings.filter((timing) => timing.engine === engine);
  return own.reduce<Timing | undefined>(
    (best, t) => (best && best.minimum <= t.minimum ? best : t),
    undefined,
  );
}

/** Least time of one engine over that of another; below 1 the first is faster. */
export function ratio(row: Row, engine: Engine, peer: Engine): number | undefined {
  const [own, other] = [fastest(row, engine), fastest(row, peer)];
  return own && other && own.minimum / other.minimum;
}

export function formatTable(rows: readonly Row[]): string {
  const table = new Table({
    head: [
      "case",
      "method",
      "natgrad",
      "to SGD",
      "no LAPACK",
      "PyTorch",
      "threads",
      "ratio",
      "no LAPACK",
      "TensorFlow.js",
      "ratio",
      "GiB",
      "PyTorch",
    ],
    colAligns: ["left", "left", ...new Array(11).fill("right")],
    style: { head: [], border: [], compact: true },
  });
  for (const row of rows) {
    const pytorch = fastest(row, "PyTorch");
    table.push([
      row.case,
      row.method,
      formatTiming(fastest(row, "natgrad")),
      formatRatio(ratio(row, "natgrad", "natgrad's SGD")),
      formatTiming(fastest(row, "natgrad without LAPACK")),
      formatTiming(pytorch),
      pytorch?.name.match(/\d+/)?.[0] ?? "",
      formatRatio(ratio(row, "natgrad", "PyTorch")),
      formatRatio(ratio(row, "natgrad without LAPACK", "PyTorch")),
      formatTiming(fastest(row, "TensorFlow.js")),
      formatRatio(ratio(row, "natgrad", "TensorFlow.js")),
      formatMemory(fastest(row, "natgrad")),
      formatMemory(pytorch),
    ]);
  }
  return table.toString();
}

/** Gibibytes. */
function formatMemory(timing: Timing | undefined): string {
  return timing ? (timing.peakBytes / 2 ** 30).toFixed(2) : "";
}

/** `16.2 (17.0)`: least and median. */
function formatTiming(timing: Timing | undefined): string {
  return timing ? `${formatMicroseconds(timing.minimum)} (${formatMicroseconds(timing.median)})` : "";
}

export function formatMicroseconds(value: number): string {
  return value < 100 ? value.toFixed(1) : Math.round(value).toLocaleString("en");
}

function formatRatio(value: number | undefined): string {
  return value === undefined ? "" : value.toFixed(value < 0.1 ? 3 : 2);
}

/** The machine, in one line. */
export function describeMachine(): string {
  const [{ model }] = cpus();
  return `${model.trim()}, ${availableParallelism()} cores, ${platform()} ${arch()}, Node ${process.versions.node}`;
}

/** A warning while other programs use the machine; none on Windows, which keeps no load average. */
export function describeLoad(): string | undefined {
  const [load] = loadavg();
  if (load < 0.5) return undefined;
  return `the load average is ${load.toFixed(1)}: other programs share the cores, so compare ratios, not times`;
}
