/** Heat maps in rows under one scale of colors, as one `<svg>` element. */
import { drawColorScale, drawHeatMap } from "./heat-map.ts";
import { escapeHtml } from "./html.ts";
import type { Palette } from "./palette.ts";

export interface GridMap {
  readonly title: string;
  /** Under the title. */
  readonly note: string;
  /** Squares along a side. */
  readonly size: number;
  /** (size, size) row-major, ≥ 0. */
  readonly values: Float64Array;
}

export interface GridRow {
  readonly title: string;
  /** What the axes count: rows and columns of the matrix. */
  readonly order: number;
  readonly maps: readonly GridMap[];
}

export interface HeatMapGrid {
  /** Unique in the page. */
  readonly id: string;
  readonly title: string;
  /** For those who cannot see it. */
  readonly description: string;
  readonly rows: readonly GridRow[];
  readonly palette: Palette;
}

/** Decades below a row's largest entry that its colors span. */
const DECADES = 4;
const map = { width: 254, height: 236 } as const;
const above = { row: 26, map: 38 } as const;
const scale = { width: 300, height: 44 } as const;

/** Every row has a scale of its own, for blocks of different layers differ by orders of magnitude. */
export function drawHeatMapGrid({ id, title, description, rows, palette }: HeatMapGrid): string {
  const parts: string[] = [];
  const text = (x: number, y: number, words: string, color: string, size = 12) =>
    parts.push(`<text x="${x}" y="${y}" font-size="${size}" fill="${color}">${escapeHtml(words)}</text>`);
  const width = map.width * Math.max(...rows.map(({ maps }) => maps.length));
  let top = 0;
  for (const [r, { title: heading, order, maps }] of rows.entries()) {
    const largest = Math.max(...maps.map(({ values }) => values.reduce((a, b) => Math.max(a, b), 0)));
    const domain = [largest / 10 ** DECADES, largest] as const;
    text(8, top + 18, heading, palette.ink, 13);
    for (const [k, { title: name, note, ...matrix }] of maps.entries()) {
      const own = { id: `${id}-${r}-${k}`, title: name, description: `${heading}: ${name}, ${note}.` };
      text(k * map.width + 36, top + above.row + 16, name, palette.ink);
      text(k * map.width + 36, top + above.row + 31, note, palette.muted, 11);
      const svg = drawHeatMap({ ...own, ...matrix, order, domain, palette });
      parts.push(placed(svg, k * map.width, top + above.row + above.map));
    }
    top += above.row + above.map + map.height;
    parts.push(placed(drawColorScale(`${id}-${r}-scale`, domain, palette), 26, top));
    text(26 + scale.width, top + 16, "absolute value", palette.muted, 11);
    top += scale.height + 8;
  }
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${top}" viewBox="0 0 ${width} ${top}"`,
    ` role="img" aria-labelledby="${id}-title ${id}-description">`,
    `<title id="${id}-title">${escapeHtml(title)}</title>`,
    `<desc id="${id}-description">${escapeHtml(description)}</desc>`,
    ...parts,
    "</svg>",
  ].join("");
}

/** Inside another `<svg>`, where the page's rule for charts must not reach it. */
function placed(svg: string, x: number, y: number): string {
  return svg.replace(/^<svg ([^>]*)class="chart"/, "<svg $1").replace("<svg ", `<svg x="${x}" y="${y}" `);
}
