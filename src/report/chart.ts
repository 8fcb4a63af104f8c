/** One line chart as an SVG element, drawn by Observable Plot into a document of happy-dom. */
import * as Plot from "@observablehq/plot";
import { formatNumber, formatTick } from "./format.ts";
import { type Palette, seriesStyle } from "./palette.ts";
import { finishSvg, plotDocument } from "./plot.ts";
import { linearDomain, logDomain, logTicks, type Point, spreadLabels, stepTicks, thin } from "./scales.ts";

/** One run: a solid line, perhaps a dashed one, and the name at the end. */
export interface Series {
  label: string;
  /** The run's number, for its color and symbol. */
  index: number;
  solid: Point[];
  dashed?: Point[];
  /** Symbols on their own, beside a line that has none then: what was measured beside what was predicted. */
  points?: Point[];
  /** Ends with a cross, and does not stretch the axes. */
  diverged: boolean;
}

export interface Axis {
  label: string;
  scale: "linear" | "log";
  /** Marks whole numbers only. */
  integer?: boolean;
  /** Begins at zero when linear. */
  fromZero?: boolean;
}

export interface Chart {
  /** Unique in the page. */
  id: string;
  title: string;
  /** For those who cannot see it. */
  description: string;
  series: Series[];
  x: Axis;
  y: Axis;
  width: number;
  height: number;
  palette: Palette;
}

/** Longest line in points: beyond it nothing is to be seen at this size, but the file grows. */
const longestLine = 300;
/** Up to here every epoch has a symbol. */
const mostSymbols = 15;
const labelHeight = 15;

/** The chart as an `<svg>` element, well-formed XML, the same for the same input. */
export function drawChart(chart: Chart): string {
  const document = plotDocument();
  const { width, height, palette } = chart;
  const margins = chartMargins(chart);
  const x = scaleOptions(chart.x, xValues(chart), [margins.marginLeft, width - margins.marginRight]);
  const y = scaleOptions(chart.y, yValues(chart), [height - margins.marginBottom, margins.marginTop]);
  const svg = Plot.plot({
    document,
    ...{ width, height, ...margins },
    className: "chart",
    style: { background: "transparent", color: palette.muted, fontSize: "12px", overflow: "visible" },
    x,
    y,
    marks: [
      Plot.gridY({ ticks: y.ticks, stroke: palette.grid, strokeOpacity: 1 }),
      Plot.axisX({ ...axisLabel(chart.x), ticks: x.ticks, tickFormat: x.tickFormat, labelAnchor: "center" }),
      Plot.axisY({
        ...axisLabel(chart.y),
        ticks: y.ticks,
        tickFormat: y.tickFormat,
        labelAnchor: "top",
        tickSize: 0,
      }),
      Plot.ruleY([y.domain[0]], { stroke: palette.muted }),
      chart.series.flatMap((series) => drawLines(series, chart, y.domain)),
      drawLabels(chart, x, y),
    ],
  }) as unknown as SVGSVGElement;

  return finishSvg(svg, chart);
}

function chartMargins({ series, width }: Chart) {
  const longest = Math.max(0, ...series.map((one) => shortLabel(one.label, width).length));
  return { marginTop: 30, marginRight: 32 + 6.6 * longest, marginBottom: 42, marginLeft: 52 };
}

function drawLines(
  series: Series,
  { palette, x: axis }: Chart,
  [floor, ceiling]: [number, number],
): Plot.Markish[] {
  const { color, fill, symbol } = seriesStyle(series.index, palette);
  const solid = finite(series.solid, floor);
  const line = { x: "x", y: "y", stroke: color, clip: true, strokeLinejoin: "round" } as const;
  const title = ({ x, y }: Point) =>
    `${series.label}: ${formatNumber(y)} (${axis.label} ${axis.integer ? x : formatNumber(x)})`;
  const inside = ({ y }: Point) => y >= floor && y <= ceiling;
  const own = series.points && finite(series.points, floor).filter(inside);
  const marked = own ?? (solid.length <= mostSymbols ? solid.slice(0, -1).filter(inside) : []);
  const last = own ? [] : solid.slice(-1);
  const end = last.map(({ x, y }) => ({ x, y: Math.max(floor, Math.min(y, ceiling)) }));
  const symbols = { x: "x", y: "y", stroke: color, strokeWidth: 1.5, title } as const;
  return [
    Plot.line(thin(finite(series.dashed ?? [], floor), longestLine), {
      ...line,
      strokeWidth: 1.4,
      strokeDasharray: "5 3",
      strokeOpacity: 0.85,
    }),
    Plot.line(thin(solid, longestLine), { ...line, strokeWidth: 2 }),
    Plot.dot(series.diverged ? marked : [...marked, ...end], { ...symbols, symbol, fill, r: 2.8 }),
    Plot.dot(series.diverged ? end : [], { ...symbols, symbol: "times", r: 5, strokeWidth: 2 }),
  ];
}

/** The names in the right margin, apart from each other, each led to the end of its line. */
function drawLabels({ series, width, palette }: Chart, x: ScaleOptions, y: ScaleOptions): Plot.Markish[] {
  const toX = Plot.scale({ x });
  const toY = Plot.scale({ y });
  const [bottom, top] = y.range;
  const ends = series.flatMap((one) => {
    const end = finite(one.solid.length > 0 ? one.solid : (one.points ?? []), y.domain[0]).at(-1);
    if (end === undefined) return [];
    const pixel = Math.min(bottom, Math.max(top, toY.apply(end.y)));
    return [{ series: one, endX: Math.min(x.range[1], toX.apply(end.x)), pixel }];
  });
  const places = spreadLabels(
    ends.map(({ pixel }) => pixel),
    labelHeight,
    top - 6,
    bottom + 2,
  );
  return ends.flatMap(({ series: one, endX, pixel }, position) => {
    const { color, fill, symbol } = seriesStyle(one.index, palette);
    const place = places[position];
    const right = x.range[1];
    const at = (pixelX: number) => ({ x: [toX.invert!(pixelX)], y: [toY.invert!(place)] });
    const { x: x2, y: y2 } = at(right + 4);
    const leader = { x1: [toX.invert!(endX)], y1: [toY.invert!(pixel)], x2, y2 };
    const text = shortLabel(one.label, width);
    // A line that ends here, apart from the others, needs no second symbol.
    const alone = ends.every((other) => other.series === one || Math.abs(other.pixel - pixel) > 6);
    const clear = alone && right - endX < 12 && Math.abs(place - pixel) < 4;
    return [
      Plot.link([0], { ...leader, stroke: color, strokeOpacity: 0.6, strokeDasharray: "1 3" }),
      Plot.dot(clear ? [] : [0], { ...at(right + 10), symbol, fill, stroke: color, strokeWidth: 1.5, r: 3 }),
      Plot.text([0], {
        ...at(right + 18),
        text: [one.diverged ? `${text} ×` : text],
        title: one.label === text ? undefined : [one.label],
        ...{ textAnchor: "start", fill: palette.ink },
      }),
    ];
  });
}

interface ScaleOptions {
  type: "linear" | "log";
  domain: [number, number];
  range: [number, number];
  ticks: number[];
  tickFormat: (value: number) => string;
}

function scaleOptions(axis: Axis, values: number[], range: [number, number]): ScaleOptions {
  const type = axis.scale;
  if (type === "log") {
    const domain = logDomain(values);
    return { type, domain, range, ticks: logTicks(domain), tickFormat: formatTick };
  }
  const domain = linearDomain(axis.fromZero ? [0, ...values] : values, axis.integer === true);
  const most = Math.max(2, Math.floor(Math.abs(range[1] - range[0]) / 40));
  return {
    type,
    domain,
    range,
    ticks: stepTicks(domain, most, axis.integer === true),
    tickFormat: formatTick,
  };
}

function axisLabel({ label, scale }: Axis) {
  return { label: scale === "log" ? `${label} (log scale)` : label, labelArrow: "none" } as const;
}

function xValues({ series }: Chart): number[] {
  return series.flatMap(allPoints).map(({ x }) => x);
}

/** What the vertical axis must show: all of the runs that ended well; of a diverged run only what is near them. */
function yValues({ series, y }: Chart): number[] {
  const values = (chosen: Series[]) =>
    chosen
      .flatMap(allPoints)
      .map((point) => point.y)
      .filter((value) => Number.isFinite(value) && (y.scale === "linear" || value > 0));
  const healthy = values(series.filter(({ diverged }) => !diverged));
  const others = values(series.filter(({ diverged }) => diverged));
  if (healthy.length === 0) return others;
  const limit = 3 * Math.max(...healthy.map(Math.abs));
  return [...healthy, ...others.filter((value) => Math.abs(value) <= limit)];
}

function allPoints({ solid, dashed = [], points = [] }: Series): Point[] {
  return [...solid, ...dashed, ...points];
}

/** The finite points; on a logarithmic axis a loss of exactly 0 sits on the floor. */
function finite(points: Point[], floor: number): Point[] {
  return points
    .filter(({ x, y }) => Number.isFinite(x) && Number.isFinite(y))
    .map(({ x, y }) => ({ x, y: y === 0 && floor > 0 ? floor : y }));
}

function shortLabel(label: string, width: number): string {
  const longest = width < 400 ? 13 : 22;
  return label.length <= longest ? label : `${label.slice(0, longest - 1)}…`;
}
