/** Named rows with a dot or two each, on one axis. */
import * as Plot from "@observablehq/plot";
import { formatNumber, formatTick } from "./format.ts";
import type { Palette } from "./palette.ts";
import { finishSvg, plotDocument } from "./plot.ts";

export interface DotPlot {
  /** Unique in the page. */
  readonly id: string;
  readonly title: string;
  /** For those who cannot see it. */
  readonly description: string;
  /** From top to bottom: a full dot and a hollow one. */
  readonly rows: readonly { readonly name: string; readonly full: number; readonly hollow: number }[];
  /** The axis begins at 0, or at −1 where a value is negative, and ends at 1. */
  readonly axis: string;
  readonly width: number;
  readonly palette: Palette;
}

/** The dots as an `<svg>` element. */
export function drawDotPlot({ rows, axis, width, palette, ...named }: DotPlot): string {
  const values = rows.flatMap(({ full, hollow }) => [full, hollow]);
  const longest = Math.max(...rows.map(({ name }) => name.length));
  const color = palette.series[0];
  const dot = { y: "name", stroke: color, strokeWidth: 1.8, r: 4 } as const;
  const svg = Plot.plot({
    document: plotDocument(),
    ...{ width, height: 66 + 21 * rows.length, marginTop: 10, marginRight: 18, marginBottom: 42 },
    marginLeft: 16 + 6.6 * longest,
    className: "chart",
    style: { background: "transparent", color: palette.muted, fontSize: "12px", overflow: "visible" },
    x: { domain: [values.some((value) => value < 0) ? -1 : 0, 1] },
    y: { type: "point", domain: rows.map(({ name }) => name), padding: 0.6 },
    marks: [
      Plot.gridX({ ticks: 5, stroke: palette.grid, strokeOpacity: 1 }),
      Plot.link(rows, { x1: "hollow", x2: "full", y: "name", stroke: color, strokeOpacity: 0.35 }),
      Plot.dot(rows, {
        ...dot,
        x: "hollow",
        fill: palette.surface,
        title: ({ name, hollow }) => `${name}: ${formatNumber(hollow)}`,
      }),
      Plot.dot(rows, {
        ...dot,
        x: "full",
        fill: color,
        title: ({ name, full }) => `${name}: ${formatNumber(full)}`,
      }),
      Plot.axisX({
        ticks: 5,
        tickFormat: formatTick,
        label: axis,
        labelAnchor: "center",
        labelArrow: "none",
      }),
      Plot.axisY({ tickSize: 0, label: null, fill: palette.ink }),
    ],
  });
  return finishSvg(svg as unknown as SVGSVGElement, named);
}
