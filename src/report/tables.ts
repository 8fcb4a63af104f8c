/** The tables of a report. */
import type { ReportContext, RunRecord } from "../training/run-folder.ts";
import { formatBytes, formatCount, formatNumber, formatOption, formatSeconds } from "./format.ts";
import { type Html, type HtmlContent, html } from "./html.ts";
import { pagePalette, seriesStyle } from "./palette.ts";
import { higherIsBetter, type RunSummary, type Summary, secondsToReach } from "./summary.ts";

/** One column: its heading, the cell of a run, and, for numbers, what is best. */
interface Column {
  heading: string;
  cell: (one: RunSummary) => HtmlContent;
  value?: (one: RunSummary) => number | undefined;
  best?: "lowest" | "highest";
}

/** Final numbers, one run a row, the best run first; the best number of every column is marked. */
export function resultsTable(summary: Summary): Html {
  const { ranking } = summary;
  const columns = resultColumns(summary);
  const marks = columns.map(({ value, best }) => {
    if (value === undefined || best === undefined || ranking.length < 2) return undefined;
    const values = ranking.filter(({ diverged }) => !diverged).map((one) => value(one) ?? Number.NaN);
    const finite = values.filter(Number.isFinite);
    return best === "lowest" ? Math.min(...finite) : Math.max(...finite);
  });
  const row = (one: RunSummary, rank: number) => {
    const winner = rank === 0 && ranking.length > 1 && !one.diverged;
    const cells = columns.map(({ cell, value }, index) => {
      if (value === undefined) return html`<td>${cell(one)}</td>`;
      const best = !one.diverged && marks[index] !== undefined && value(one) === marks[index];
      const content = best
        ? html`<strong class="best">${cell(one)}<span class="unseen"> (best)</span></strong>`
        : cell(one);
      return html`<td class="number">${content}</td>`;
    });
    return html`<tr class="${one.diverged ? "diverged" : winner ? "winner" : "other"}"><th scope="row">${swatch(one)}${one.label}</th>${cells}</tr>\n`;
  };
  return scrolling(
    "Final numbers of every run",
    html`<table>
<thead><tr><th scope="col">run</th>${columns.map(({ heading, value }) => headingCell(heading, value !== undefined))}</tr></thead>
<tbody>
${ranking.map(row)}</tbody>
</table>`,
  );
}

function resultColumns({ ranking, adam, metricName, lossField, lossName }: Summary): Column[] {
  const runs = ranking.map(({ run }) => run);
  const number = (
    heading: string,
    value: (one: RunSummary) => number | undefined,
    best?: Column["best"],
  ): Column => ({
    ...{ heading, value, best },
    cell: (one) => optional(value(one), formatNumber),
  });
  const seconds = (
    heading: string,
    value: (one: RunSummary) => number | undefined,
    best?: Column["best"],
  ): Column => ({
    ...{ heading, value, best },
    cell: (one) => optional(value(one), formatSeconds),
  });
  const columns: Column[] = [];
  if (runs.some(({ epochs }) => epochs.some(({ validationLoss }) => validationLoss !== undefined))) {
    columns.push(number("validation loss", ({ last }) => last?.validationLoss, "lowest"));
  }
  columns.push(number("training loss", ({ last }) => last?.trainLoss, "lowest"));
  if (metricName !== undefined) {
    const best = higherIsBetter(metricName) ? "highest" : "lowest";
    columns.push(
      number(
        metricName,
        ({ last }) => (last?.metric?.name === metricName ? last.metric.value : undefined),
        best,
      ),
    );
  }
  columns.push({
    heading: "epochs",
    value: ({ last }) => last?.epoch,
    cell: ({ last }) => optional(last?.epoch, formatCount),
  });
  columns.push(seconds("training time", ({ last }) => last?.seconds));
  if (adam !== undefined && ranking.length > 1) {
    const reach = ({ run }: RunSummary) => secondsToReach(run, lossField, adam.loss);
    columns.push(seconds(`time to ${adam.label}'s final ${lossName}`, reach, "lowest"));
  }
  const rejected = ({ run }: RunSummary) =>
    run.epochs.reduce((sum, { rejectedSteps }) => sum + rejectedSteps, 0);
  columns.push({ heading: "rejected steps", value: rejected, cell: (one) => formatCount(rejected(one)) });
  columns.push({ heading: "options", cell: ({ run }) => optionsList(run.options) });
  columns.push({ heading: "status", cell: status });
  return columns;
}

/** Every parameter, what preconditions it and what that costs; a group of rows per run. */
export function curvatureTable({ ranking }: Summary): Html {
  const described = ranking.filter(({ run }) => run.curvature.length > 0);
  const plain = ranking.filter(({ run }) => run.curvature.length === 0).map(({ label }) => label);
  const absent = plain.length > 0 ? html`<p>Without curvature: ${plain.join(", ")}.</p>` : undefined;
  if (described.length === 0) return html`${absent}`;
  const noted = described.some(({ run }) => run.curvature.some(({ note }) => note));
  const measured = described.some(({ run }) => run.curvature.some(({ workingBytes }) => workingBytes));
  const columns = 5 + (measured ? 1 : 0) + (noted ? 1 : 0);
  const group = (one: RunSummary) => {
    const memory = one.run.curvature.reduce((sum, { memoryBytes }) => sum + memoryBytes, 0);
    const rows = one.run.curvature.map(
      (
        row,
      ) => html`<tr><td>${row.parameters.map((name) => html`<code>${name}</code> `)}</td><td>${row.structure}</td><td>${row.solver}</td>
<td class="number">${formatCount(row.dimension)}</td><td class="number">${formatBytes(row.memoryBytes)}</td>${measured ? html`<td class="number">${formatBytes(row.workingBytes ?? 0)}</td>` : undefined}${noted ? html`<td>${row.note}</td>` : undefined}</tr>\n`,
    );
    const { peakBytes } = one.run;
    const peak = peakBytes ? `, a step ${formatBytes(peakBytes)} at its peak` : "";
    return html`<tbody>
<tr class="group"><th scope="rowgroup" colspan="${columns}">${swatch(one)}${one.label} <span class="aside">${formatBytes(memory)} in all${peak}</span></th></tr>
${rows}</tbody>\n`;
  };
  const table = html`<table>
<thead><tr>${["parameters", "structure", "solver"].map((heading) => headingCell(heading, false))}${["dimension", "memory", ...(measured ? ["in between"] : [])].map((heading) => headingCell(heading, true))}${noted ? headingCell("note", false) : undefined}</tr></thead>
${described.map(group)}</table>`;
  return html`${scrolling("Curvature of every run", table)}\n${absent}`;
}

/** The grid, the setting chosen for each method, and every trial. */
export function tuningTables({ grid, trials }: NonNullable<ReportContext["tuning"]>): Html {
  const methods = [...new Set(trials.map(({ optimizer }) => optimizer))];
  const ofMethod = (method: string) => {
    const own = trials.filter(({ optimizer }) => optimizer === method);
    const rank = (loss: number, diverged: boolean) =>
      diverged || !Number.isFinite(loss) ? Number.POSITIVE_INFINITY : loss;
    own.sort((a, b) => compare(rank(a.validationLoss, a.diverged), rank(b.validationLoss, b.diverged)));
    return own;
  };
  const failed = ({ diverged, validationLoss }: (typeof trials)[number]) =>
    diverged || !Number.isFinite(validationLoss);
  const loss = (trial: (typeof trials)[number]) =>
    failed(trial) ? "diverged" : formatNumber(trial.validationLoss);
  const chosen = methods.map(ofMethod).map(
    (
      own,
    ) => html`<tr><th scope="row">${own[0].optimizer}</th><td>${failed(own[0]) ? "none" : optionsList(own[0].options)}</td>
<td class="number">${loss(own[0])}</td><td class="number">${own.length}</td><td class="number">${own.filter(failed).length}</td></tr>\n`,
  );
  const every = methods.flatMap(ofMethod).map(
    (trial) => html`<tr><th scope="row">${trial.optimizer}</th><td>${optionsList(trial.options)}</td>
<td class="number">${loss(trial)}</td><td class="number">${trial.epochs}</td></tr>\n`,
  );
  const headings = (texts: string[], numbers: string[]) =>
    html`<thead><tr>${texts.map((text) => headingCell(text, false))}${numbers.map((text) => headingCell(text, true))}</tr></thead>`;
  return html`<p>Settings were tried of these values, as many of each method as the table says, and the one with the lowest validation loss was chosen:</p>
<ul>${Object.entries(grid).map(([name, values]) => html`<li><code>${name}</code>: ${values.map(formatOption).join(", ")}</li>`)}</ul>
${scrolling(
  "The setting chosen for every method",
  html`<table>\n${headings(["method", "chosen setting"], ["validation loss", "trials", "diverged"])}\n<tbody>\n${chosen}</tbody>\n</table>`,
)}
<details><summary>All ${trials.length} trials</summary>
${scrolling(
  "All trials",
  html`<table>\n${headings(["method", "setting"], ["validation loss", "epochs"])}\n<tbody>\n${every}</tbody>\n</table>`,
)}
</details>`;
}

function status({ run, last, diverged }: RunSummary): HtmlContent {
  if (!diverged) return run.status;
  if (/diverge/i.test(run.status)) return html`<strong>${run.status}</strong>`;
  return html`<strong>${last === undefined ? "no epoch finished" : "diverged"}</strong>: ${run.status}`;
}

/** `learningRate 0.5`, one under the other. */
function optionsList(options: RunRecord["options"]): Html {
  const entries = Object.entries(options).filter(([, value]) => value !== undefined);
  if (entries.length === 0) return html`<span class="aside">defaults</span>`;
  return html`<span class="options">${entries.map(([name, value]) => html`<span><span class="aside">${name}</span> ${formatOption(value)}</span> `)}</span>`;
}

/** The run's symbol in its color, as in the charts. */
function swatch({ index }: RunSummary): Html {
  const { color, fill } = seriesStyle(index, pagePalette);
  return html`<span class="swatch" style="border-color: ${color}; background: ${fill}"></span>`;
}

/** A heading of a column, with its scope. */
export function headingCell(heading: string, numeric: boolean): Html {
  return numeric
    ? html`<th scope="col" class="number">${heading}</th>`
    : html`<th scope="col">${heading}</th>`;
}

/** A table wider than the page scrolls by itself, by keyboard too. */
export function scrolling(label: string, table: Html): Html {
  return html`<div class="scrolling" role="region" aria-label="${label}" tabindex="0">${table}</div>`;
}

function optional(value: number | undefined, format: (value: number) => string): string {
  return value === undefined ? "–" : format(value);
}

function compare(a: number, b: number): number {
  return a === b ? 0 : a - b;
}
