/** The figures of `natgrad bench growth` as tables of texts: for the terminal, for Markdown and for the report alike. */

import type { GrowthResult, GrowthSweep } from "../experiments/growth.ts";
import type { GrowthCurve, GrowthPoint } from "../experiments/growth-curve.ts";
import type { PowerLaw } from "../experiments/power-law.ts";
import { formatBytes, formatNumber, formatSeconds } from "./format.ts";

/** The first column names the methods, the others are numbers. */
export interface TextTable {
  readonly title: string;
  readonly headings: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

/** Time, memory, estimate and operations: for each axis, one row a method. */
export function growthTables({ sweeps }: Pick<GrowthResult, "sweeps">): TextTable[] {
  return sweeps.flatMap((sweep) => [
    table(
      sweep,
      "Time per step",
      ({ secondsPerStep }) => formatSeconds(secondsPerStep),
      ({ time }) => time,
    ),
    table(
      sweep,
      "Peak memory",
      ({ peakBytes }) => formatBytes(peakBytes),
      ({ memory }) => memory,
    ),
    table(sweep, "Memory of the curvature by the report's estimate", ({ estimatedBytes }) =>
      estimatedBytes === 0 ? "–" : formatBytes(estimatedBytes),
    ),
    table(
      sweep,
      "Millions of operations per step, without the host's",
      ({ flops }) => formatNumber(flops / 1e6),
      ({ operations }) => operations,
    ),
  ]);
}

/** What was not measured: `exact-dense, width 512: …`. */
export function leftOutLines({ sweeps }: Pick<GrowthResult, "sweeps">): string[] {
  return sweeps.flatMap(({ axis, curves }) =>
    curves.flatMap(({ method, leftOut }) =>
      leftOut.map(({ x, reason }) => `${method}, ${axis} ${x}: ${reason}`),
    ),
  );
}

/** `1.85 ± 0.03`, a dash where there is no fit. */
export function formatExponent(law: PowerLaw | undefined): string {
  return law === undefined ? "–" : `${law.exponent.toFixed(2)} ± ${law.standardError.toFixed(2)}`;
}

/** `Time per step grows with the width as sgd 1.85, …; with the depth as …`: the exponents, for a headline. */
export function describeGrowth({ sweeps }: Pick<GrowthResult, "sweeps">): string {
  const parts = sweeps.flatMap(({ axis, curves }) => {
    const fitted = curves.filter(({ time }) => time !== undefined);
    if (fitted.length === 0) return [];
    return `with the ${axis}: ${fitted.map(({ method, time }) => `${method} ${time!.exponent.toFixed(2)}`).join(", ")}`;
  });
  if (parts.length === 0) return "There are too few points for a fit.";
  return `Exponents by which the time of a step grows ${parts.join("; ")}.`;
}

/** The tables and what was left out, as Markdown. */
export function growthMarkdown(result: GrowthResult): string {
  const tables = growthTables(result).map(({ title, headings, rows }) => {
    const alignment = headings.map((_, column) => (column === 0 ? "---" : "---:"));
    const lines = [headings, alignment, ...rows].map((cells) => `| ${cells.join(" | ")} |`);
    return `**${title}**\n\n${lines.join("\n")}`;
  });
  const left = leftOutLines(result).map((line) => `- ${line}`);
  const leftOut = left.length > 0 ? [`Left out:\n\n${left.join("\n")}`] : [];
  return [`${result.environment.join(", ")}; \`${result.command}\``, ...tables, ...leftOut].join("\n\n");
}

function table(
  { axis, sizes, fixed, curves }: GrowthSweep,
  title: string,
  cell: (point: GrowthPoint) => string,
  law?: (curve: GrowthCurve) => PowerLaw | undefined,
): TextTable {
  const rows = curves.map((curve) => {
    const cells = sizes.map((x) => {
      const point = curve.points.find((one) => one.x === x);
      if (point !== undefined) return cell(point);
      return curve.leftOut.some((one) => one.x === x) ? "left out" : "not run";
    });
    return [curve.method, ...cells, ...(law ? [formatExponent(law(curve))] : [])];
  });
  return {
    title: `${title} against ${axis}, ${fixed}`,
    headings: ["method", ...sizes.map((x) => `${axis} ${x}`), ...(law ? ["exponent"] : [])],
    rows,
  };
}
