/** The picture on each method's page: its training loss beside Adam's and SGD's, from the results file. */
import { drawChart } from "../../src/report/chart.ts";
import { pagePalette, paletteVariables, schemes } from "../../src/report/palette.ts";
import type { Point } from "../../src/report/scales.ts";
import { figure } from "./markdown.ts";
import type { Outcome, Results } from "./results.ts";

/** Beside whom every method is drawn. */
const baselines = ["adam", "sgd"] as const;
const network = "32-16";
/** One task of regression and one of classification; a method for one likelihood alone has one panel. */
const panels = ["house", "ecoli"] as const;

const size = { width: 400, height: 290 } as const;

/** An SVG file that needs nothing else and follows the reader's light or dark scheme; nothing where the method has no curve. */
export function methodFigure(results: Results, method: string): string | undefined {
  const drawn = panels.flatMap((task, panel) => {
    const names = [method, ...baselines.filter((name) => name !== method)];
    const runs = names.map((name) => results.outcomes.find((outcome) => isOf(outcome, task, name)));
    const [own] = runs;
    return own && medianCurve(own).length > 0 ? [drawPanel(task, panel, names, runs)] : [];
  });
  if (drawn.length === 0) return undefined;
  const width = drawn.length * size.width;
  const placed = drawn.map((svg, panel) => svg.replace("<svg ", `<svg x="${panel * size.width}" y="24" `));
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${size.height + 24}" viewBox="0 0 ${width} ${size.height + 24}"`,
    ` font-family="system-ui, sans-serif" role="img" aria-label="Training loss against steps: ${method}, ${baselines.join(", ")}">`,
    `<style>svg { ${paletteVariables(schemes.light)} }`,
    ` @media (prefers-color-scheme: dark) { svg { ${paletteVariables(schemes.dark)} } }</style>`,
    `<rect width="100%" height="100%" rx="6" fill="var(--surface)"/>`,
    ...placed,
    "</svg>\n",
  ].join("");
}

/** The lines of a page that show the picture and say what it is. */
export function figureText(method: string): string {
  return [
    `![Training loss against steps: ${method}, Adam and SGD](../images/methods/${method}.svg)`,
    "",
    `*Loss over all training rows against steps, hidden layers ${network}, each method tuned on the same budget, medians of three seeds; from`,
    "`bench/results/methods.jsonl`, drawn by `npm run bench:methods -- --pages-only`. All tasks, and seconds: [results](../results.md).*",
  ].join("\n");
}

function drawPanel(
  task: string,
  panel: number,
  names: readonly string[],
  runs: readonly (Outcome | undefined)[],
): string {
  const series = names.flatMap((label, index) => {
    const run = runs[index];
    const solid = run ? medianCurve(run) : [];
    return solid.length > 0 ? [{ label, index, solid, diverged: false }] : [];
  });
  const ends = series.map(({ label, solid }) => `${label} ${figure(solid[solid.length - 1].y)}`);
  const svg = drawChart({
    ...{ id: `panel-${panel}`, title: task, description: `Losses at the end: ${ends.join(", ")}.`, series },
    x: { label: "step", scale: "linear", integer: true, fromZero: true },
    y: { label: "loss", scale: "log" },
    ...{ ...size, palette: pagePalette },
  });
  const title = `<text x="${panel * size.width + 16}" y="18" font-size="13" fill="var(--ink)">${task}</text>`;
  return `${svg}${title}`;
}

/** The median over the seeds at every step that all of them reached. */
function medianCurve({ trainings }: Outcome): Point[] {
  const [first, ...others] = trainings.map(({ curve }) => new Map(curve));
  if (!first) return [];
  return [...first].flatMap(([x, own]) => {
    const values = [own, ...others.map((curve) => curve.get(x))];
    if (!values.every((value) => typeof value === "number" && Number.isFinite(value))) return [];
    const sorted = (values as number[]).sort((a, b) => a - b);
    return [{ x, y: sorted[Math.floor((sorted.length - 1) / 2)] }];
  });
}

function isOf(outcome: Outcome, task: string, method: string): boolean {
  return outcome.task === task && outcome.network === network && outcome.method === method;
}
