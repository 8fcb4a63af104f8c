/**
 * The colors of a report. The eight of the lines were searched for: in each scheme they keep a distance of at least
 * 0.11 in OKLab from each other, for normal sight and under simulated protanopia, deuteranopia and tritanopia
 * (Machado, Oliveira & Fernandes 2009), and a contrast of at least 3 : 1 to the background. Beyond eight runs they
 * come again with hollow symbols; every line also has a symbol of its own and its name beside it.
 */

export interface Palette {
  ink: string;
  muted: string;
  grid: string;
  surface: string;
  accent: string;
  mistake: string;
  series: readonly string[];
}

export const schemes = {
  light: {
    ink: "#1b1f24",
    muted: "#5a636e",
    grid: "#e3e6ea",
    surface: "#ffffff",
    accent: "#0f6a4a",
    mistake: "#b3261e",
    series: ["#0298de", "#662004", "#c03f8f", "#0f6a4a", "#6728ae", "#8a8019", "#ce7b85", "#20366c"],
  },
  dark: {
    ink: "#e8eaed",
    muted: "#a0a8b2",
    grid: "#2b323b",
    surface: "#14181d",
    accent: "#8fe3b0",
    mistake: "#f2a59c",
    series: ["#77d5f3", "#f95d16", "#be7092", "#bcf7c5", "#9161e5", "#e6d73a", "#f19992", "#7da1eb"],
  },
} as const satisfies Record<string, Palette>;

/** The palette by reference: CSS variables that follow the reader's scheme. */
export const pagePalette: Palette = {
  ink: "var(--ink)",
  muted: "var(--muted)",
  grid: "var(--grid)",
  surface: "var(--surface)",
  accent: "var(--accent)",
  mistake: "var(--mistake)",
  series: schemes.light.series.map((_, index) => `var(--series-${index})`),
};

/** `--ink: #1b1f24; …` for a rule of a style sheet. */
export function paletteVariables({ series, ...named }: Palette): string {
  const colors = [...Object.entries(named), ...series.map((color, index) => [`series-${index}`, color])];
  return colors.map(([name, color]) => `--${name}: ${color};`).join(" ");
}

const symbols = ["circle", "square", "triangle", "diamond", "star", "wye", "cross"] as const;

/** How the run number `index` is drawn. */
export function seriesStyle(index: number, palette: Palette) {
  const color = palette.series[index % palette.series.length];
  const filled = index < palette.series.length;
  return { color, fill: filled ? color : palette.surface, symbol: symbols[index % symbols.length] };
}
