/** Pictures of two parameters: contours of a function, closed curves, paths, arrows, on axes of equal scale or not. */
import * as Plot from "@observablehq/plot";
import { formatTick } from "./format.ts";
import { escapeHtml } from "./html.ts";
import type { Palette } from "./palette.ts";
import { finishSvg, plotDocument } from "./plot.ts";
import { stepTicks } from "./scales.ts";

type Pair = readonly [number, number];

export interface Plane {
  /** Unique in the page. */
  readonly id: string;
  readonly title: string;
  /** For those who cannot see it. */
  readonly description: string;
  readonly x: { readonly label: string; readonly domain: Pair };
  readonly y: { readonly label: string; readonly domain: Pair };
  /** A function on a grid over both domains, (rows, columns) row-major, the first row at the lower end of y; lines at the levels. */
  readonly contours?: {
    readonly columns: number;
    readonly rows: number;
    readonly values: Float64Array;
    readonly levels: readonly number[];
  };
  readonly curves?: readonly PlaneCurve[];
  readonly arrows?: readonly { readonly from: Pair; readonly to: Pair; readonly index: number }[];
  readonly dots?: readonly Pair[];
  /** Under the picture: what the colors mean. */
  readonly legend: readonly { readonly label: string; readonly index: number; readonly dashed?: boolean }[];
  readonly width: number;
  /** Left out, a unit of y is as long as one of x. */
  readonly height?: number;
  readonly palette: Palette;
}

export interface PlaneCurve {
  readonly points: readonly Pair[];
  /** Number of the color. */
  readonly index: number;
  readonly dashed?: boolean;
  /** Default 1.6. */
  readonly strokeWidth?: number;
}

const margins = { marginTop: 8, marginRight: 14, marginLeft: 46 };
const axisHeight = 42;
const legendLine = 18;

/** The picture as an `<svg>` element. */
export function drawPlane(plane: Plane): string {
  const { id, title, description, x, y, curves = [], arrows = [], dots = [], palette, width, legend } = plane;
  const inner = width - margins.marginLeft - margins.marginRight;
  const equal = (inner * (y.domain[1] - y.domain[0])) / (x.domain[1] - x.domain[0]);
  const legendHeight = legendLine * legend.length;
  const below = axisHeight + legendHeight;
  const height = plane.height ?? Math.round(equal) + margins.marginTop + below;
  const color = (index: number) => palette.series[index % palette.series.length];
  const ticks = ({ domain }: Plane["x"], length: number) => ({
    ticks: stepTicks([...domain], Math.max(2, Math.floor(length / 60)), false),
    tickFormat: formatTick,
  });
  const svg = Plot.plot({
    document: plotDocument(),
    ...{ width, height, ...margins, marginBottom: below },
    className: "chart",
    style: { background: "transparent", color: palette.muted, fontSize: "12px", overflow: "visible" },
    x: { domain: [...x.domain] },
    y: { domain: [...y.domain] },
    marks: [
      contourLines(plane),
      curves.map(({ points, index, dashed, strokeWidth = 1.6 }) =>
        Plot.line(points, {
          ...{ x: (point: Pair) => point[0], y: (point: Pair) => point[1], clip: true },
          ...{ stroke: color(index), strokeWidth, strokeDasharray: dashed ? "4 3" : undefined },
        }),
      ),
      arrows.map(({ from, to, index }) =>
        Plot.arrow([0], {
          ...{ x1: [from[0]], y1: [from[1]], x2: [to[0]], y2: [to[1]] },
          ...{ stroke: color(index), strokeWidth: 2.2, headLength: 7, clip: true },
        }),
      ),
      Plot.dot(dots, {
        ...{
          x: (point: Pair) => point[0],
          y: (point: Pair) => point[1],
          r: 3,
          fill: palette.ink,
          clip: true,
        },
      }),
      Plot.axisX({
        ...ticks(x, inner),
        ...{ label: x.label, labelAnchor: "center", labelArrow: "none", labelOffset: axisHeight - 8 },
      }),
      Plot.axisY({
        ...ticks(y, height - margins.marginTop - below),
        ...{ label: y.label, labelAnchor: "center", labelArrow: "none" },
      }),
      Plot.frame({ stroke: palette.muted, strokeOpacity: 0.5 }),
    ],
  });
  const finished = finishSvg(svg as unknown as SVGSVGElement, { id, title, description });
  return shorten(finished).replace(/<\/svg>$/, `${drawLegend(plane, height - legendHeight)}</svg>`);
}

/** Paths to a tenth of a pixel: nothing else is to be seen, and contours have thousands of points. */
function shorten(svg: string): string {
  return svg.replace(/ d="[^"]+"/g, (path) => path.replace(/(\d\.\d)\d+/g, "$1").replace(/\.0(?=\D)/g, ""));
}

function contourLines({ contours, x, y, palette }: Plane): Plot.Markish {
  if (contours === undefined) return [];
  const { columns, rows, values, levels } = contours;
  return Plot.contour(values, {
    ...{ width: columns, height: rows, thresholds: [...levels] },
    ...{ x1: x.domain[0], x2: x.domain[1], y1: y.domain[0], y2: y.domain[1] },
    ...{ stroke: palette.muted, strokeOpacity: 0.4, strokeWidth: 1, fill: "none", clip: true },
  });
}

function drawLegend({ legend, palette }: Plane, top: number): string {
  const lines = legend.map(({ label, index, dashed }, k) => {
    const y = top + legendLine * k + 10;
    const stroke = palette.series[index % palette.series.length];
    const dash = dashed ? ' stroke-dasharray="4 3"' : "";
    const key = `<path d="M${margins.marginLeft},${y}h26" fill="none" stroke="${stroke}" stroke-width="2"${dash}/>`;
    return `${key}<text x="${margins.marginLeft + 34}" y="${y}" dy="0.32em" text-anchor="start" fill="${palette.ink}">${escapeHtml(label)}</text>`;
  });
  return `<g aria-hidden="true" font-size="12">${lines.join("")}</g>`;
}
