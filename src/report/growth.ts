/** The report of `natgrad bench growth`: time and memory against width and depth, on logarithmic axes, with the fits. */

import type { GrowthResult, GrowthSweep } from "../experiments/growth.ts";
import type { GrowthCurve, GrowthPoint } from "../experiments/growth-curve.ts";
import type { PowerLaw } from "../experiments/power-law.ts";
import { type Axis, drawChart, type Series } from "./chart.ts";
import type { Figure } from "./figures.ts";
import { formatBytes, formatCount } from "./format.ts";
import {
  describeGrowth,
  formatExponent,
  growthTables,
  leftOutLines,
  type TextTable,
} from "./growth-tables.ts";
import { type Html, html } from "./html.ts";
import { commandBlock, formatDate, list, renderPage, section } from "./page.ts";
import { pagePalette } from "./palette.ts";
import { headingCell, scrolling } from "./tables.ts";

/** The whole file; the same bytes for the same result. */
export function renderGrowthReport(result: GrowthResult): string {
  const { plan, sweeps } = result;
  const left = leftOutLines(result);
  return renderPage({
    title: "Growth of cost",
    facts: `Batches of ${formatCount(plan.batchSize)}, ${plan.methods.length} methods, curvature refreshed in every step · limits of a point: ${plan.timeLimit} s, ${formatBytes(plan.memoryLimit)}`,
    headline: describeGrowth(result),
    figures: sweeps.flatMap(figuresOf),
    sections: html`${growthTables(result).map(tableSection)}
${left.length > 0 ? section("Left out", list(left)) : undefined}
${section("Environment", list(result.environment))}
${section("Do it again", commandBlock(result.command))}`,
    footer: `Made by natgrad on ${formatDate(result.createdAt)}. Times are medians over the steps of a process of its own for each point; memory is what the peak of its resident memory rose by.`,
  });
}

function figuresOf(sweep: GrowthSweep): Figure[] {
  return [
    figure(
      sweep,
      "Time",
      "seconds per step",
      ({ secondsPerStep }) => secondsPerStep,
      ({ time }) => time,
    ),
    figure(
      sweep,
      "Memory",
      "MiB",
      ({ peakBytes }) => peakBytes / 2 ** 20,
      ({ memory }) => inMebibytes(memory),
    ),
  ];
}

function figure(
  { axis, fixed, curves }: GrowthSweep,
  name: "Time" | "Memory",
  unit: string,
  cost: (point: GrowthPoint) => number,
  law: (curve: GrowthCurve) => PowerLaw | undefined,
): Figure {
  const title = `${name} against ${axis}, ${fixed}`;
  const exponents = curves.map((curve) => `${curve.method} ${formatExponent(law(curve))}`).join("; ");
  const chart = {
    ...{ title, description: `${title}; exponents: ${exponents}.`, palette: pagePalette },
    x: { label: axis, scale: "log", integer: true } satisfies Axis,
    y: { label: unit, scale: "log" } satisfies Axis,
    series: curves.map((curve, index) => series(curve, index, cost, law(curve))),
  };
  const draw = (variant: string, width: number, height: number) =>
    drawChart({ ...chart, id: `${axis}-${name.toLowerCase()}-${variant}`, width, height });
  return {
    title,
    note: "Beside each name the exponent; dashed: the fit, over the upper part of the range.",
    ...{ wide: draw("wide", 560, 400), narrow: draw("narrow", 350, 320) },
  };
}

function series(
  { method, points }: GrowthCurve,
  index: number,
  cost: (point: GrowthPoint) => number,
  law: PowerLaw | undefined,
): Series {
  const ends = law === undefined ? [] : [law.from, law.to];
  return {
    label: law === undefined ? method : `${method} ${law.exponent.toFixed(2)}`,
    ...{ index, diverged: false },
    solid: points.map((point) => ({ x: point.x, y: cost(point) })).filter(({ y }) => y > 0),
    dashed: ends.map((x) => ({ x, y: law!.factor * x ** law!.exponent })),
  };
}

function inMebibytes(law: PowerLaw | undefined): PowerLaw | undefined {
  return law && { ...law, factor: law.factor / 2 ** 20 };
}

function tableSection({ title, headings, rows }: TextTable): Html {
  const head = headings.map((heading, column) => headingCell(heading, column > 0));
  const body = rows.map(
    ([method, ...cells]) =>
      html`<tr><th scope="row">${method}</th>${cells.map((cell) => html`<td class="number">${cell}</td>`)}</tr>\n`,
  );
  const content = html`<table>
<thead><tr>${head}</tr></thead>
<tbody>
${body}</tbody>
</table>`;
  return section(title, scrolling(title, content));
}
