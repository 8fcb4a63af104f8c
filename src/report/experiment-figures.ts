/** The charts and pictures of an experiment: in a page, and as SVG files that follow the reader's light or dark scheme. */
import type { ChartPoint, ExperimentChart, ExperimentPicture } from "../experiments/experiment.ts";
import type { ExperimentRecord } from "../experiments/record.ts";
import { drawChart, type Series } from "./chart.ts";
import type { Figure } from "./figures.ts";
import { escapeHtml } from "./html.ts";
import { pagePalette, paletteVariables, schemes } from "./palette.ts";

type Shown = Pick<ExperimentRecord, "id" | "title" | "charts" | "pictures">;

/** Above each panel of a file, its title. */
const titleHeight = 26;
const panelSize = { width: 420, height: 300 } as const;

/** For the page of an experiment: pictures first. */
export function experimentFigures({ charts, pictures }: Shown): Figure[] {
  return [
    ...pictures.map(({ title, note, svg }) => ({ title, note, wide: withClass(svg) })),
    ...charts.map((chart) => ({
      ...{ title: chart.title, note: chart.note },
      wide: draw(chart, "wide", 560, 360),
      narrow: draw(chart, "narrow", 350, 300),
    })),
  ];
}

/** One SVG file for each picture and chart, by its id. */
export function experimentFiles(record: Shown): { readonly id: string; readonly svg: string }[] {
  return panelsOf(record).map((panel) => ({ id: panel.id, svg: standalone(record, [panel], panel.title) }));
}

/** All pictures and charts in one SVG file, two beside each other; nothing where there are none. */
export function experimentFigure(record: Shown): string | undefined {
  const panels = panelsOf(record);
  return panels.length === 0 ? undefined : standalone(record, panels, record.title);
}

interface Panel {
  readonly id: string;
  readonly title: string;
  readonly svg: string;
  readonly width: number;
  readonly height: number;
}

function panelsOf({ id, charts, pictures }: Shown): Panel[] {
  return [
    ...pictures.map((picture) => ({ ...picture, ...sizeOf(id, picture) })),
    ...charts.map((chart) => ({
      ...{ id: chart.id, title: chart.title, ...panelSize },
      svg: draw(chart, "panel", panelSize.width, panelSize.height),
    })),
  ];
}

function draw(chart: ExperimentChart, variant: string, width: number, height: number): string {
  const { id, title, note, x, y, series } = chart;
  const ends = series.map(({ label, line, points }) => `${label} ends at ${lastOf(points ?? line)}`);
  return drawChart({
    ...{ id: `${id}-${variant}`, title, description: `${note} ${ends.join("; ")}.`, x, y },
    series: series.map(
      ({ label, line = [], dashed, points, index }, place): Series => ({
        ...{ label, index: index ?? place, diverged: false },
        solid: [...line],
        dashed: dashed && [...dashed],
        points: [...(points ?? [])], // lines have no symbols of their own here
      }),
    ),
    ...{ width, height, palette: pagePalette },
  });
}

function lastOf(points: readonly ChartPoint[] = []): string {
  const last = points.at(-1);
  return last === undefined ? "nothing" : last.y.toPrecision(3);
}

/** Rows of two, each panel under its title. */
function standalone({ id }: Shown, panels: readonly Panel[], title: string): string {
  const parts: string[] = [];
  let top = 0;
  let width = 0;
  for (let first = 0; first < panels.length; first += 2) {
    const row = panels.slice(first, first + 2);
    let left = 0;
    for (const panel of row) {
      parts.push(
        `<text x="${left + 16}" y="${top + 19}" font-size="13" fill="var(--ink)">${escapeHtml(panel.title)}</text>`,
        panel.svg.replace("<svg ", `<svg x="${left}" y="${top + titleHeight}" `),
      );
      left += panel.width;
    }
    width = Math.max(width, left);
    top += titleHeight + Math.max(...row.map(({ height }) => height));
  }
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${top}" viewBox="0 0 ${width} ${top}"`,
    ` font-family="system-ui, sans-serif" role="img" aria-label="${escapeHtml(`${id}: ${title}`)}">`,
    `<style>svg { ${paletteVariables(schemes.light)} }`,
    ` @media (prefers-color-scheme: dark) { svg { ${paletteVariables(schemes.dark)} } }</style>`,
    `<rect width="100%" height="100%" rx="6" fill="var(--surface)"/>`,
    ...parts,
    "</svg>\n",
  ].join("");
}

/** @throws Error for a picture that does not say its size */
function sizeOf(experiment: string, { id, svg }: ExperimentPicture): { width: number; height: number } {
  const [opening] = /^<svg [^>]*>/.exec(svg) ?? [""];
  const [width, height] = ["width", "height"].map((name) =>
    Number(new RegExp(` ${name}="([\\d.]+)"`).exec(opening)?.[1]),
  );
  if (!(width > 0 && height > 0))
    throw new Error(`picture ${id} of ${experiment} is no <svg> with width and height`);
  return { width, height };
}

/** The page's rule for charts makes it as wide as its column. */
function withClass(svg: string): string {
  return /^<svg [^>]*class=/.test(svg) ? svg : svg.replace("<svg ", '<svg class="chart" ');
}
