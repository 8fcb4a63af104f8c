/** The report of a run or a comparison. */
import type { ReportContext, RunRecord } from "../training/run-folder.ts";
import { classTable } from "./classes.ts";
import { contactSheet } from "./contact-sheet.ts";
import { reportFigures } from "./figures.ts";
import { countOf, formatCount } from "./format.ts";
import { type Html, html } from "./html.ts";
import { commandBlock, formatDate, list, renderPage, section } from "./page.ts";
import { headline, type Summary, summarize } from "./summary.ts";
import { curvatureTable, resultsTable, tuningTables } from "./tables.ts";

/** What is said about one run before the report points to the log. */
const mostNotices = 12;

/**
 * Renders one run or a comparison: the finding in a sentence, charts, final numbers, images and classes, curvature, tuning, data,
 * environment and the command.
 *
 * @param runs in the order that gives them their colors; diverged runs and runs without an epoch are welcome
 * @returns the whole file; the same bytes for the same arguments
 */
export function renderReport(context: ReportContext, runs: readonly RunRecord[]): string {
  const summary = summarize(runs);
  const { classification } = context;
  return renderPage({
    ...{ title: context.title, facts: facts(context, runs), headline: headline(summary) },
    figures: reportFigures(summary),
    sections: html`${section("Results", resultsTable(summary))}
${classification && classification.images.length > 0 ? section("Images", contactSheet(classification)) : undefined}
${classification ? section("Classes", classTable(classification)) : undefined}
${section("Curvature", curvatureTable(summary))}
${context.tuning && context.tuning.trials.length > 0 ? section("Tuning", tuningTables(context.tuning)) : undefined}
${notices(summary)}
<div class="columns">
${section("Data", dataset(context))}
${section("Environment", list(context.environment))}
</div>
${section("Do it again", commandBlock(context.command))}`,
    footer: `Made by natgrad on ${formatDate(context.createdAt)}. Times are seconds of training; compilation, evaluation and checkpoints are not counted.`,
  });
}

function facts({ dataset, model }: ReportContext, runs: readonly RunRecord[]): string {
  const counts = [...new Set(runs.map(({ parameterCount }) => parameterCount))];
  const parameters = counts.length === 1 ? ` (${countOf(counts[0], "parameter")})` : "";
  return `${dataset.name}, ${dataset.task} · ${model}${parameters}${runs.length > 1 ? ` · ${runs.length} runs` : ""}`;
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
