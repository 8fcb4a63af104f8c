/** The page of an inspection: spectra, directions, and the inverses that methods imply layer by layer. */
import type { DirectionComparison, Inspection, LayerInspection, Spectrum } from "../inspect/inspection.ts";
import { drawChart, type Series } from "./chart.ts";
import { drawDotPlot } from "./dot-plot.ts";
import type { Figure } from "./figures.ts";
import { countOf, formatCount, formatNumber, formatOption } from "./format.ts";
import { drawColorScale, drawHeatMap } from "./heat-map.ts";
import { Html, html } from "./html.ts";
import { commandBlock, formatDate, list, renderPage, section } from "./page.ts";
import { pagePalette as palette } from "./palette.ts";
import { headingCell, scrolling } from "./tables.ts";

/** What the page says besides what was found. */
export interface InspectionContext {
  readonly title: string;
  /** The command that does it again. */
  readonly command: string;
  readonly dataset: string;
  readonly model: string;
  /** ISO 8601. */
  readonly createdAt: string;
}

/** Decades below the largest entry that the colors of a layer's heat maps span. */
const DECADES = 4;
/** Shares of the exact direction's decrease from which on a direction is the exact one to rounding. */
const EXACT = 1 - 1e-9;

/**
 * Renders an inspection.
 *
 * @returns the whole file; the same bytes for the same arguments
 */
export function renderInspection(context: InspectionContext, inspection: Inspection): string {
  const { samples, rows, fisher, damping, epoch, step, leftOut, layers } = inspection;
  return renderPage({
    title: context.title,
    facts: `${context.dataset} · ${context.model} · epoch ${epoch}, step ${formatCount(step)} · ${fisher} Fisher matrix of ${countOf(samples, "sample")}, ${countOf(rows, "score row")} · damping λ = ${formatOption(damping)}`,
    headline: headline(inspection),
    figures: [spectrumFigure(inspection), directionFigure(inspection)],
    sections: html`${section("Spectra", spectrumTable(inspection))}
${section("Directions", directionTable(inspection))}
${layers.length > 0 ? section("Inverses", html`${errorTable(inspection)}${layers.map(layerMaps)}`) : undefined}
${leftOut.length > 0 ? section("Left out", list(leftOut)) : undefined}
${section("Do it again", commandBlock(context.command))}`,
    footer: `Made by natgrad on ${formatDate(context.createdAt)}. Computed in float64 at the checkpoint's parameters.`,
  });
}

function headline(inspection: Inspection): string {
  const { samples, spectra, damping, directions } = inspection;
  const [all] = spectra;
  const of = `The Fisher matrix of ${countOf(samples, "sample")} has rank ${formatCount(all.rank)} of ${countOf(all.parameters, "parameter")}`;
  const damped = `with damping ${formatOption(damping)} its effective dimension is ${formatNumber(all.effectiveDimension)} and its condition number ${formatNumber(all.condition)}`;
  const share = (one: DirectionComparison) => formatPercent(one.bestDecrease / inspection.exactDecrease);
  const gradient = directions.find(({ name }) => name === "gradient")!;
  const nearest = directions.find((one) => one !== gradient && one.metricCosine ** 2 < EXACT);
  const promised = "of the decrease that the quadratic model promises along the exact direction";
  const reached = nearest
    ? `The best step along ${nearest.name}'s direction has ${share(nearest)} ${promised}, along the gradient ${share(gradient)}`
    : `The best step along the gradient has ${share(gradient)} ${promised}`;
  return `${of}; ${damped}. ${reached}.`;
}

function spectrumFigure({ spectra, damping }: Inspection): Figure {
  const points = ({ eigenvalues, rank }: Spectrum) =>
    eigenvalues.slice(0, rank).map((y, index) => ({ x: index + 1, y }));
  const shown = spectra.length === 2 ? spectra.slice(0, 1) : spectra;
  const series = shown.map((spectrum, index): Series => {
    return { label: partName(spectrum.name), index, solid: points(spectrum), diverged: false };
  });
  const longest = Math.max(2, ...shown.map(({ rank }) => rank));
  const line = [1, longest].map((x) => ({ x, y: damping }));
  const level: Series = {
    label: "damping λ",
    index: shown.length,
    solid: line.slice(1),
    dashed: line,
    diverged: false,
  };
  const title = "Eigenvalues of the Fisher matrix";
  const draw = (variant: string, width: number, height: number) =>
    drawChart({
      ...{ id: `spectrum-${variant}`, title, width, height, palette, series: [...series, level] },
      description: spectra
        .map(({ name, rank, trace }) => `${partName(name)}: rank ${rank}, trace ${formatNumber(trace)}`)
        .join("; "),
      x: { label: "number", scale: "linear", integer: true },
      y: { label: "eigenvalue", scale: "log" },
    });
  return {
    title,
    note: "All parameters together and each layer's block, largest first, without those that are rounding. Along eigenvectors far below the damping, dashed, the natural gradient is the gradient divided by λ.",
    wide: draw("wide", 560, 360),
    narrow: draw("narrow", 350, 300),
  };
}

function directionFigure({ directions }: Inspection): Figure {
  const title = "Cosine with the exact direction";
  const rows = directions.map(({ name, cosine, metricCosine }) => ({
    name,
    full: metricCosine,
    hollow: cosine,
  }));
  const draw = (variant: string, width: number) =>
    drawDotPlot({
      ...{ id: `directions-${variant}`, title, rows, width, palette, axis: "cosine" },
      description: rows
        .map(
          ({ name, full, hollow }) => `${name}: ${formatNumber(full)} in the metric, ${formatNumber(hollow)}`,
        )
        .join("; "),
    });
  return {
    title,
    note: "Full: in the metric F + λI. Hollow: Euclidean. The square of the full one is the share of the exact direction's decrease that the method's best step has.",
    wide: draw("wide", 560),
    narrow: draw("narrow", 350),
  };
}

function spectrumTable({ spectra, rows }: Inspection): Html {
  const body = spectra.map(
    ({ name, parameters, eigenvalues, rank, trace, effectiveDimension, condition }) => {
      const cells = [
        formatCount(parameters),
        formatCount(rank),
        formatNumber(trace),
        formatNumber(eigenvalues[0]),
        formatNumber(eigenvalues[rank - 1] ?? 0),
        formatNumber(effectiveDimension),
        formatNumber(condition),
      ];
      return html`<tr><th scope="row">${partName(name)}</th>${cells.map((cell) => html`<td class="number">${cell}</td>`)}</tr>\n`;
    },
  );
  const headings = [
    "parameters",
    "rank",
    "trace",
    "largest eigenvalue",
    "smallest above rounding",
    "effective dimension",
    "condition, damped",
  ];
  return html`${scrolling("Figures of every spectrum", table(["matrix"], headings, body))}
<p class="aside">The rank is at most ${formatCount(rows)}, the number of score rows. The effective dimension is Σ μ/(μ + λ) over the eigenvalues μ.</p>`;
}

function directionTable({ directions, exactDecrease }: Inspection): Html {
  const noted = directions.some(({ note }) => note);
  const body = directions.map((one) => {
    const cells = [
      formatNumber(one.metricCosine),
      formatNumber(one.cosine),
      formatNumber(one.lengthRatio),
      formatNumber(one.decrease),
      formatNumber(one.bestMultiple),
      formatNumber(one.bestDecrease),
      formatPercent(one.bestDecrease / exactDecrease),
    ];
    return html`<tr><th scope="row">${one.name}</th>${cells.map((cell) => html`<td class="number">${cell}</td>`)}${noted ? html`<td>${one.note}</td>` : undefined}</tr>\n`;
  });
  const headings = [
    "cosine in F + λI",
    "cosine",
    "length / exact",
    "decrease at the step",
    "best multiple",
    "decrease there",
    "of the exact",
  ];
  const head = html`${scrolling("Directions beside the exact one", table(["direction"], headings, body, noted ? ["note"] : []))}`;
  return html`${head}
<p class="aside">The decrease is that of the quadratic model of the loss, gᵀd − ½ dᵀ(F + λI)d; the exact direction (F + λI)⁻¹g has the most there is, ${formatNumber(exactDecrease)}.</p>`;
}

function errorTable({ layers }: Inspection): Html {
  const errors = layers.map(
    ({ approximations, same }) =>
      new Map([
        ...same.map((name) => [name, 0] as const),
        ...approximations.flatMap(({ names, error }) => names.map((name) => [name, error] as const)),
      ]),
  );
  const names = [...new Set(errors.flatMap((one) => [...one.keys()]))];
  const total = (name: string) => errors.reduce((sum, one) => sum + (one.get(name) ?? 0), 0);
  names.sort((a, b) => total(a) - total(b));
  const cell = (error: number | undefined) =>
    error === undefined ? "–" : error === 0 ? "rounding" : formatNumber(error);
  const body = names.map(
    (name) =>
      html`<tr><th scope="row">${name}</th>${errors.map((one) => html`<td class="number">${cell(one.get(name))}</td>`)}</tr>\n`,
  );
  const headings = layers.map(({ name }) => partName(name));
  return html`<p>Relative Frobenius error of the inverse that each method implies for a layer, beside (F<sub>l</sub> + λI)⁻¹, the inverse of the layer's exact block:</p>
${scrolling("Errors of the inverses", table(["method"], headings, body))}
<p class="aside">Methods that couple layers, such as exactNgd, are shown with the layer's block of the inverse of the whole, which is not the inverse of the layer's block.</p>`;
}

/** The heat maps of one layer: the exact inverse, then those of the methods, the nearest first. */
function layerMaps(layer: LayerInspection, index: number): Html {
  const { exact, approximations, same, name } = layer;
  const maps = [exact, ...approximations.map(({ map }) => map)];
  const largest = maps.reduce((most, { values }) => values.reduce((a, b) => Math.max(a, b), most), 0);
  const domain = [largest / 10 ** DECADES, largest] as const;
  const id = `layer-${index}`;
  const draw = (map: LayerInspection["exact"], k: number, title: string) =>
    drawHeatMap({
      ...{ id: `${id}-map-${k}`, title, order: layer.window, domain, palette, ...map },
      description: `Absolute values of the ${title} of ${partName(name)}, largest ${formatNumber(map.values.reduce((a, b) => Math.max(a, b), 0))}.`,
    });
  const equal = same.length > 0 ? `to rounding also ${same.join(", ")}` : "";
  const panels = [
    panel("exact block, inverted", equal, draw(exact, 0, "exact inverse")),
    ...approximations.map(({ names, error, map }, k) =>
      panel(
        names.join(", "),
        `error ${formatNumber(error)}`,
        draw(map, k + 1, `inverse by ${names.join(", ")}`),
      ),
    ),
  ];
  return html`<h3 class="layer">${partName(name)}: ${countOf(layer.units, "unit")} of ${countOf(layer.width, "input")}, the bias's included</h3>
<p class="aside">${describeWindow(layer)}</p>
<div class="maps">
${panels}</div>
<div class="scale"><span>absolute value</span>${new Html(drawColorScale(`${id}-scale`, domain, palette))}</div>
`;
}

function panel(title: string, note: string, svg: string): Html {
  return html`<figure>
<h4>${title}</h4>
${new Html(svg)}
<figcaption>${note}</figcaption>
</figure>
`;
}

/** Which part of the inverses is shown, and how coarsely. */
function describeWindow({ parameters, window, averaged, width }: LayerInspection): string {
  const part =
    window === parameters
      ? `All ${formatCount(parameters)} parameters`
      : `The first ${formatCount(window)} of ${formatCount(parameters)} parameters only, for every column costs a product with each method's inverse; the errors are of this part`;
  const coarse = averaged > 1 ? `; every square is the mean of ${averaged} × ${averaged} entries` : "";
  return `${part}, unit by unit, ${formatCount(width)} each${coarse}.`;
}

function table(
  texts: readonly string[],
  numbers: readonly string[],
  body: readonly Html[],
  rest: readonly string[] = [],
): Html {
  const headings = [
    ...texts.map((text) => headingCell(text, false)),
    ...numbers.map((text) => headingCell(text, true)),
    ...rest.map((text) => headingCell(text, false)),
  ];
  return html`<table>
<thead><tr>${headings}</tr></thead>
<tbody>
${body}</tbody>
</table>`;
}

function partName(name: string): string {
  return name === "all" ? "all parameters" : `layer ${name}`;
}

function formatPercent(share: number): string {
  return `${(100 * share).toFixed(share < 0.0995 ? 2 : 1)} %`;
}
