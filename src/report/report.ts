/** The report: one HTML file that needs nothing else, neither scripts nor the network. */
import type { ReportContext, RunRecord } from "../training/run-folder.ts";
import { type Figure, reportFigures } from "./figures.ts";
import { countOf, formatCount } from "./format.ts";
import { Html, type HtmlContent, html } from "./html.ts";
import { styleSheet } from "./style.ts";
import { headline, type Summary, summarize } from "./summary.ts";
import { curvatureTable, resultsTable, tuningTables } from "./tables.ts";

/** What is said about one run before the report points to the log. */
const mostNotices = 12;

/**
 * Renders one run or a comparison: the finding in a sentence, charts, final numbers, curvature, tuning, data,
 * environment and the command.
 *
 * @param runs in the order that gives them their colors; diverged runs and runs without an epoch are welcome
 * @returns the whole file; the same bytes for the same arguments
 */
export function renderReport(context: ReportContext, runs: readonly RunRecord[]): string {
  const summary = summarize(runs);
  const page = html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="color-scheme" content="light dark">
<meta name="generator" content="natgrad">
<title>${context.title}</title>
<style>${new Html(styleSheet)}</style>
</head>
<body>
<header>
<h1>${context.title}</h1>
<p class="facts">${facts(context, runs)}</p>
<p class="headline">${headline(summary)}</p>
</header>
<main>
<div class="charts">
${reportFigures(summary).map(figure)}</div>
${section("Results", resultsTable(summary))}
${section("Curvature", curvatureTable(summary))}
${context.tuning && context.tuning.trials.length > 0 ? section("Tuning", tuningTables(context.tuning)) : undefined}
${notices(summary)}
<div class="columns">
${section("Data", dataset(context))}
${section("Environment", list([...context.environment]))}
</div>
${section("Do it again", html`<pre tabindex="0" aria-label="The command that makes this report"><code>${context.command}</code></pre>`)}
</main>
<footer>Made by natgrad on ${formatDate(context.createdAt)}. Times are seconds of training; compilation, evaluation and checkpoints are not counted.</footer>
</body>
</html>
`;
  return page.markup;
}

function facts({ dataset, model }: ReportContext, runs: readonly RunRecord[]): string {
  const counts = [...new Set(runs.map(({ parameterCount }) => parameterCount))];
  const parameters = counts.length === 1 ? ` (${countOf(counts[0], "parameter")})` : "";
  return `${dataset.name}, ${dataset.task} · ${model}${parameters}${runs.length > 1 ? ` · ${runs.length} runs` : ""}`;
}

function figure({ title, note, wide, narrow }: Figure): Html {
  return html`<figure>
<h3>${title}</h3>
<div class="wide">${new Html(wide)}</div>
<div class="narrow">${new Html(narrow)}</div>
<figcaption>${note}</figcaption>
</figure>
`;
}

function section(title: string, content: HtmlContent): Html {
  return html`<section>
<h2>${title}</h2>
${content}
</section>`;
}

function dataset({ dataset: { name, rows, features, task, notices } }: ReportContext): Html {
  const size = `${name}: ${formatCount(rows)} rows, ${countOf(features, "feature")}, ${task}.`;
  return html`<p>${size}</p>
${notices.length > 0 ? list(notices) : undefined}`;
}

/** What the runs had to say on their way, epoch by epoch. */
function notices({ ranking }: Summary): Html | undefined {
  const told = ranking.flatMap(({ label, run }) => {
    const lines = run.epochs.flatMap(({ epoch, notices }) =>
      notices.map((notice) => `epoch ${epoch}: ${notice}`),
    );
    if (lines.length === 0) return [];
    const rest = lines.length - mostNotices;
    const shown = rest > 0 ? [...lines.slice(0, mostNotices), `and ${rest} more, in metrics.jsonl`] : lines;
    return [html`<h3>${label}</h3>${list(shown)}`];
  });
  return told.length > 0 ? section("Notices", told) : undefined;
}

function list(items: string[]): Html {
  return html`<ul>
${items.map((item) => html`<li>${item}</li>\n`)}</ul>`;
}

/** `2026-03-01 14:05 UTC`; what is not a date stays as it is. */
function formatDate(text: string): string {
  const date = new Date(text);
  return Number.isNaN(date.getTime()) ? text : `${date.toISOString().slice(0, 16).replace("T", " ")} UTC`;
}
