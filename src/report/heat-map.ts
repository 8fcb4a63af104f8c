/**
 * Heat maps of matrices: absolute values on a logarithmic scale, in viridis, which is even to the eye, keeps its order for
 * the color-blind and stands on light and dark pages alike. The squares are a PNG of as many pixels inside the SVG: as
 * rectangles they would take a hundred times the bytes.
 */
import * as Plot from "@observablehq/plot";
import { encode } from "fast-png";
import { formatTick } from "./format.ts";
import type { Palette } from "./palette.ts";
import { finishSvg, plotDocument } from "./plot.ts";
import { logTicks, stepTicks } from "./scales.ts";

/** Colors of a map; more make larger files and no other picture. */
const COLORS = 64;

export interface HeatMapChart {
  /** Unique in the page. */
  readonly id: string;
  readonly title: string;
  /** For those who cannot see it. */
  readonly description: string;
  /** Squares along a side. */
  readonly size: number;
  /** (size, size) row-major, ≥ 0. */
  readonly values: Float64Array;
  /** What the axes count: rows and columns of the matrix. */
  readonly order: number;
  /** From the darkest color to the lightest; values beyond take the color at the end. */
  readonly domain: readonly [number, number];
  readonly palette: Palette;
}

const side = 208;
const margins = { marginTop: 6, marginRight: 10, marginBottom: 22, marginLeft: 36 };

/** The map as an `<svg>` element. */
export function drawHeatMap({ palette, order, size, values, domain, ...named }: HeatMapChart): string {
  const ticks = stepTicks([0, order], 4, true).filter((tick) => tick <= order);
  const axis = { ticks, tickFormat: String, tickSize: 3, label: null } as const;
  const svg = Plot.plot({
    document: plotDocument(),
    width: side + margins.marginLeft + margins.marginRight,
    height: side + margins.marginTop + margins.marginBottom,
    ...margins,
    className: "chart",
    style: { background: "transparent", color: palette.muted, fontSize: "12px", overflow: "visible" },
    x: { domain: [0, order] },
    y: { domain: [order, 0] },
    marks: [
      picture(size, size, (k) => position(values[k], domain), {
        x: order / 2,
        y: order / 2,
        width: side,
        height: side,
      }),
      Plot.axisX(axis),
      Plot.axisY(axis),
      Plot.frame({ stroke: palette.muted, strokeOpacity: 0.5 }),
    ],
  });
  return finishSvg(svg as unknown as SVGSVGElement, named);
}

/** What the colors of maps mean, as an `<svg>` element. */
export function drawColorScale(id: string, domain: readonly [number, number], palette: Palette): string {
  const width = 300;
  const [low, high] = domain;
  const ticks = logTicks([low, high]);
  const svg = Plot.plot({
    document: plotDocument(),
    ...{ width, height: 44, marginLeft: 10, marginRight: 20, marginTop: 4, marginBottom: 26 },
    className: "chart",
    style: { background: "transparent", color: palette.muted, fontSize: "11px", overflow: "visible" },
    x: { type: "log", domain: [low, high] },
    y: { domain: [0, 1], axis: null },
    marks: [
      picture(COLORS, 1, (k) => k / (COLORS - 1), {
        x: Math.sqrt(low * high),
        y: 0.5,
        width: width - 30,
        height: 14,
      }),
      Plot.axisX({ ticks, tickFormat: formatTick, tickSize: 3, label: null }),
    ],
  });
  const ends = `from ${formatTick(low)} and less to ${formatTick(high)}`;
  return finishSvg(svg as unknown as SVGSVGElement, {
    id,
    title: "Color scale",
    description: `Absolute values, ${ends}.`,
  });
}

/** Where a value lies on a logarithmic scale, 0 to 1. */
function position(value: number, [low, high]: readonly [number, number]): number {
  const along = Math.log(value / low) / Math.log(high / low);
  return Math.max(0, Math.min(along, 1)); // of 0 too, whose logarithm is -∞
}

/** A picture of colored squares around a point of the chart. */
function picture(
  columns: number,
  rows: number,
  shade: (square: number) => number,
  { x, y, width, height }: { x: number; y: number; width: number; height: number },
): Plot.Markish {
  const data = Uint8Array.from({ length: columns * rows }, (_, k) => Math.round(shade(k) * (COLORS - 1)));
  const bytes = encode(
    { width: columns, height: rows, data, channels: 1, depth: 8, palette: viridis() },
    { zlib: { level: 9 } },
  );
  const src = `data:image/png;base64,${Buffer.from(bytes).toString("base64")}`;
  return Plot.image([0], {
    ...{ x: [x], y: [y], width, height, src: [src], preserveAspectRatio: "none" },
    imageRendering: "pixelated",
  });
}

let colors: [number, number, number][] | undefined;

/** The scheme's colors, dark to light. */
function viridis(): [number, number, number][] {
  const scale = Plot.scale({ color: { type: "linear", domain: [0, COLORS - 1], scheme: "viridis" } });
  colors ??= Array.from({ length: COLORS }, (_, k) => toRgb(scale.apply(k)));
  return colors;
}

/** `#440154` or `rgb(68, 1, 84)` → [68, 1, 84]. */
function toRgb(color: string): [number, number, number] {
  const parts = color.startsWith("#")
    ? [1, 3, 5].map((start) => Number.parseInt(color.slice(start, start + 2), 16))
    : color.match(/\d+/g)!.map(Number);
  return [parts[0], parts[1], parts[2]];
}
