/** The report of one experiment: what the paper claims beside what was measured, charts, tables, the command. */
import type { ExperimentTable } from "../experiments/experiment.ts";
import { compareWithPaper, type ExperimentRecord, type JudgedClaim } from "../experiments/record.ts";
import { experimentFigures } from "./experiment-figures.ts";
import { formatSeconds } from "./format.ts";
import { type Html, html } from "./html.ts";
import { commandBlock, formatDate, list, renderPage, section } from "./page.ts";
import { headingCell, scrolling } from "./tables.ts";

/** The whole file; the same bytes for the same record. */
export function renderExperiment(record: ExperimentRecord): string {
  const { title, source, summary, claims, tables, environment, command, createdAt, seconds } = record;
  const version = record.quick ? "the quick version" : "the full version";
  return renderPage({
    title,
    facts: `${source} · ${version} · data: ${record.data} · seed ${record.seed}`,
    headline: `${summary} ${compareWithPaper(record)}`,
    figures: experimentFigures(record),
    sections: html`${section("Claims", claimTable(claims))}
${tables.map((table) => section(table.title, textTable(table)))}
${section("Environment", list(environment))}
${section("Do it again", commandBlock(command))}`,
    footer: `Made by natgrad on ${formatDate(createdAt)}, in ${formatSeconds(seconds)}. result.json beside this file has every number.`,
  });
}

function claimTable(claims: readonly JudgedClaim[]): Html {
  const rows = claims.map(
    ({ claim, ours, measured, agrees }) =>
      html`<tr><td>${ours ? html`<em>ours:</em> ` : ""}${claim}</td><td>${measured}</td><td>${agrees ? html`agrees` : html`<strong class="against">disagrees</strong>`}</td></tr>\n`,
  );
  const headings = ["the paper says", "measured", ""].map((heading) => headingCell(heading, false));
  return scrolling(
    "Claims of the paper and what was measured",
    html`<table>
<thead><tr>${headings}</tr></thead>
<tbody>
${rows}</tbody>
</table>`,
  );
}

function textTable({ title, headings, rows }: ExperimentTable): Html {
  const numeric = headings.map((_, column) => rows.every((cells) => isNumber(cells[column] ?? "")));
  const body = rows.map(
    ([name, ...cells]) =>
      html`<tr><th scope="row">${name}</th>${cells.map((cell, k) => (numeric[k + 1] ? html`<td class="number">${cell}</td>` : html`<td>${cell}</td>`))}</tr>\n`,
  );
  return scrolling(
    title,
    html`<table>
<thead><tr>${headings.map((heading, column) => headingCell(heading, column > 0 && numeric[column]))}</tr></thead>
<tbody>
${body}</tbody>
</table>`,
  );
}

/** Whether a cell begins as a number does, or is a dash for none. */
function isNumber(cell: string): boolean {
  return cell === "–" || /^[≤≥<>±−-]?\s?\d/.test(cell);
}
