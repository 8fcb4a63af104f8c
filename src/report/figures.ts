/** Which charts a report shows, and the picture of a comparison that stands alone. */
import { UsageError } from "../errors.ts";
import type { EpochRecord, RunRecord } from "../training/run-folder.ts";
import { type Axis, type Chart, drawChart, type Series } from "./chart.ts";
import { formatNumber, formatSeconds } from "./format.ts";
import { escapeHtml } from "./html.ts";
import { type Palette, pagePalette, schemes } from "./palette.ts";
import type { Point } from "./scales.ts";
import { headline, higherIsBetter, type Summary, summarize } from "./summary.ts";

/** A chart drawn twice, so that its text keeps its size on a phone; a picture that has little text is drawn once. */
export interface Figure {
  title: string;
  /** What the reader must know to read it; may be empty. */
  note: string;
  wide: string;
  narrow?: string;
}

type Draft = Pick<Chart, "title" | "description" | "series" | "x" | "y"> & { note: string };

/** Loss and metric against epochs and seconds, and the damping where it moved; none at all without a finite loss. */
export function reportFigures(summary: Summary): Figure[] {
  if (!summary.ranking.some(({ run }) => run.epochs.some(({ trainLoss }) => Number.isFinite(trainLoss))))
    return [];
  const drafts = [
    lossChart(summary, epochAxis),
    lossChart(summary, secondsAxis(summary)),
    ...metricCharts(summary),
    ...dampingChart(summary),
  ];
  return drafts.map(({ note, ...draft }, index) => {
    const draw = (variant: string, width: number, height: number) =>
      drawChart({ ...draft, id: `chart-${index + 1}-${variant}`, width, height, palette: pagePalette });
    return { title: draft.title, note, wide: draw("wide", 560, 360), narrow: draw("narrow", 350, 300) };
  });
}

export interface ComparisonFigure {
  /** In pixels; the two charts stand side by side from 640 on, below each other under that. */
  readonly width: number;
  readonly height: number;
  readonly scheme: keyof typeof schemes;
  /** Default the loss; the metric is that of the validation part. */
  readonly quantity?: "loss" | "metric";
}

/**
 * The loss, or the metric, against epochs and against seconds, side by side, as an SVG file that needs nothing else (for a
 * README, a paper, a slide).
 *
 * @param runs at least one
 * @returns well-formed XML; the same bytes for the same runs
 * @throws UsageError where the metric is asked for and no run has one
 */
export function renderComparisonFigure(
  runs: readonly RunRecord[],
  { width, height, scheme, quantity = "loss" }: ComparisonFigure,
): string {
  const summary = summarize(runs);
  const drafts =
    quantity === "loss"
      ? [lossChart(summary, epochAxis), lossChart(summary, secondsAxis(summary))]
      : metricCharts(summary);
  if (drafts.length === 0) throw new UsageError("invalid quantity: metric (no run has one)");
  const palette: Palette = schemes[scheme];
  const beside = width >= 640;
  const legendHeight = 26;
  const pad = 8;
  const size = beside
    ? { width: (width - 3 * pad) / 2, height: height - legendHeight - 2 * pad }
    : { width: width - 2 * pad, height: (height - legendHeight - 3 * pad) / 2 };
  const panels = drafts.map((draft, index) => {
    const svg = drawChart({ ...draft, id: `panel-${index + 1}`, ...size, palette });
    const x = beside ? pad + index * (size.width + pad) : pad;
    const y = beside ? pad : pad + index * (size.height + pad);
    return svg.replace("<svg ", `<svg x="${x}" y="${y}" `);
  });
  const legend =
    quantity === "loss" ? lineLegend(runs.some(hasValidation), palette) : `<text>${drafts[0].note}</text>`;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}"`,
    ` font-family="system-ui, sans-serif" role="img" aria-labelledby="figure-title figure-description">`,
    `<title id="figure-title">${drafts[0].title} and against seconds</title>`,
    `<desc id="figure-description">${escapeHtml(headline(summary))}</desc>`,
    `<rect width="100%" height="100%" rx="6" fill="${palette.surface}"/>`,
    ...panels,
    `<g transform="translate(${pad + 52},${height - 12})" font-size="12" fill="${palette.muted}">${legend}</g>`,
    "</svg>\n",
  ].join("");
}

/** `── training  - - validation`, as SVG. */
function lineLegend(validation: boolean, { muted }: Palette): string {
  const key = (x: number, dash: string, text: string) =>
    `<path d="M${x},-4h26" stroke="${muted}" stroke-width="2"${dash}/><text x="${x + 32}">${text}</text>`;
  const dashed = ' stroke-dasharray="5 3"';
  return key(0, "", "training") + (validation ? key(104, dashed, "validation") : "");
}

const epochAxis: Axis = { label: "epoch", scale: "linear", integer: true };

/** Linear, unless the slowest run took over thirty times as long as the fastest. */
function secondsAxis({ ranking }: Summary): Axis {
  const ends = ranking.flatMap(({ last, diverged }) => (last && !diverged ? [last.seconds] : []));
  const wide = ends.length > 1 && Math.min(...ends) > 0 && Math.max(...ends) > 30 * Math.min(...ends);
  return { label: "seconds of training", scale: wide ? "log" : "linear", fromZero: true };
}

function lossChart(summary: Summary, x: Axis): Draft {
  const runs = summary.ranking.map(({ run }) => run);
  const losses = runs.flatMap(({ epochs }) =>
    epochs.flatMap((record) => [record.trainLoss, record.validationLoss ?? 1]),
  );
  const negative = losses.some((loss) => loss < 0 && Number.isFinite(loss));
  const y: Axis = { label: "loss", scale: negative ? "linear" : "log" };
  const notes = [runs.some(hasValidation) ? "Solid: training. Dashed: validation." : "Training loss."];
  if (negative) notes.push("The loss axis is linear because some losses are negative.");
  else if (losses.includes(0)) notes.push("A loss of exactly 0 is drawn on the lower edge.");
  return {
    ...{ x, y, note: withDiverged(notes, summary) },
    title: x === epochAxis ? "Loss against epochs" : "Loss against seconds",
    description: describeEnds(summary, summary.lossName, ({ loss }) => loss),
    series: toSeries(
      summary,
      x,
      (record) => record.trainLoss,
      (record) => record.validationLoss,
    ),
  };
}

function metricCharts(summary: Summary): Draft[] {
  const { metricName, ranking } = summary;
  if (metricName === undefined) return [];
  const measure = (record: EpochRecord) =>
    record.metric?.name === metricName ? record.metric.value : undefined;
  const values = ranking
    .flatMap(({ run }) => run.epochs.map(measure))
    .filter((value): value is number => value !== undefined && Number.isFinite(value));
  const decade = Math.min(...values) > 0 && Math.max(...values) > 10 * Math.min(...values);
  const y: Axis = { label: metricName, scale: decade && !higherIsBetter(metricName) ? "log" : "linear" };
  const direction = `${higherIsBetter(metricName) ? "Higher" : "Lower"} is better.`;
  return [epochAxis, secondsAxis(summary)].map((x) => ({
    ...{ x, y, note: `On the validation split. ${direction}` },
    title: `${capitalize(metricName)} against ${x === epochAxis ? "epochs" : "seconds"}`,
    description: describeEnds(summary, metricName, ({ last }) => (last ? measure(last) : undefined)),
    series: toSeries(summary, x, measure),
  }));
}

/** Shown when the damping of some run moved: how Levenberg-Marquardt judged its own steps. */
function dampingChart(summary: Summary): Draft[] {
  const adaptive = summary.ranking.filter(
    ({ run }) => new Set(run.epochs.flatMap(({ damping }) => damping ?? [])).size > 1,
  );
  if (adaptive.length === 0) return [];
  return [
    {
      ...{ x: epochAxis, y: { label: "damping", scale: "log" }, note: "Runs whose damping adapts." },
      title: "Damping against epochs",
      description: describeEnds({ ...summary, ranking: adaptive }, "damping", ({ last }) => last?.damping),
      series: toSeries({ ...summary, ranking: adaptive }, epochAxis, (record) => record.damping),
    },
  ];
}

/** The best run last, so that it lies on top. */
function toSeries(
  { ranking }: Summary,
  x: Axis,
  solid: (record: EpochRecord) => number | undefined,
  dashed?: (record: EpochRecord) => number | undefined,
): Series[] {
  const along = (record: EpochRecord) => (x === epochAxis ? record.epoch : record.seconds);
  const points = ({ epochs }: RunRecord, field: typeof solid): Point[] =>
    epochs
      .map((record) => ({ x: along(record), y: field(record) ?? Number.NaN }))
      .filter((point) => x.scale === "linear" || point.x > 0);
  return ranking.toReversed().map(({ run, label, index, diverged }) => ({
    ...{ label, index, diverged, solid: points(run, solid) },
    dashed: dashed && points(run, dashed),
  }));
}

function describeEnds(
  { ranking }: Summary,
  name: string,
  measure: (run: Summary["ranking"][number]) => number | undefined,
): string {
  const ends = ranking.map((one) => {
    const value = measure(one);
    if (one.diverged || one.last === undefined || value === undefined) return `${one.label}: no finite value`;
    return `${one.label}: ${formatNumber(value)} after ${formatSeconds(one.last.seconds)}`;
  });
  return `Final ${name}, ${ends.join("; ")}.`;
}

function withDiverged(notes: string[], { ranking }: Summary): string {
  const lost = ranking.filter(({ diverged }) => diverged);
  const drawn = lost.filter(({ run }) => run.epochs.some(({ trainLoss }) => Number.isFinite(trainLoss)));
  const absent = lost.filter((one) => !drawn.includes(one));
  const names = (runs: typeof lost) => runs.map(({ label }) => label).join(", ");
  if (drawn.length > 0) notes.push(`× marks the last finite loss of a diverged run (${names(drawn)}).`);
  if (absent.length > 0) notes.push(`Not drawn, for want of a finite loss: ${names(absent)}.`);
  return notes.join(" ");
}

function hasValidation({ epochs }: RunRecord): boolean {
  return epochs.some(({ validationLoss }) => validationLoss !== undefined);
}

function capitalize(text: string): string {
  return text.length <= 4 ? text.toUpperCase() : text[0].toUpperCase() + text.slice(1);
}
