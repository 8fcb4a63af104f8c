/** How a classifier does class by class. */
import type { Classification } from "../training/classification.ts";
import { formatCount } from "./format.ts";
import { type Html, html } from "./html.ts";
import { headingCell, scrolling } from "./tables.ts";

/** Classes of which the whole table is shown; of more, the pairs that are mistaken most often. */
const MOST_CLASSES = 20;
const MOST_PAIRS = 12;
/** Share of its color in the background of a full cell, in percent: the number must stay readable. */
const STRONGEST = 40;

export function classTable({ classNames, confusion }: Classification): Html {
  return classNames.length <= MOST_CLASSES
    ? confusionTable(classNames, confusion)
    : mistakenPairs(classNames, confusion);
}

/** Examples by class and by the class that they are taken for, with the accuracy of every class. */
function confusionTable(names: readonly string[], confusion: Classification["confusion"]): Html {
  const rows = names.map((name, truth) => {
    const counts = confusion[truth];
    const total = counts.reduce((sum, count) => sum + count, 0);
    const cells = counts.map((count, taken) => {
      if (count === 0) return html`<td class="number none">0</td>`;
      const strength = Math.ceil(STRONGEST * Math.sqrt(count / total)); // the root shows rare mistakes
      const color = taken === truth ? "--accent" : "--mistake";
      return html`<td class="number" style="background: color-mix(in srgb, var(${color}) ${strength}%, transparent)">${formatCount(count)}</td>`;
    });
    return html`<tr><th scope="row">${name}</th>${cells}<td class="number">${percent(counts[truth], total)}</td></tr>\n`;
  });
  return html`<p>Validation examples of each class, by the class that they are taken for.</p>
${scrolling(
  "Validation examples by class and by the class that they are taken for",
  html`<table class="confusion">
<thead><tr><th scope="col">is ↓ taken for →</th>${[...names, "right"].map((name) => headingCell(name, true))}</tr></thead>
<tbody>
${rows}</tbody>
</table>`,
)}`;
}

function mistakenPairs(names: readonly string[], confusion: Classification["confusion"]): Html {
  const pairs = confusion.flatMap((counts, truth) => {
    const total = counts.reduce((sum, count) => sum + count, 0);
    return counts.map((count, taken) => ({ truth, taken, count, total }));
  });
  const mistaken = pairs.filter(({ truth, taken, count }) => truth !== taken && count > 0);
  if (mistaken.length === 0) return html`<p>No class is taken for another one.</p>`;
  mistaken.sort((a, b) => b.count - a.count);
  const rows = mistaken
    .slice(0, MOST_PAIRS)
    .map(
      ({ truth, taken, count, total }) =>
        html`<tr><th scope="row">${names[truth]}</th><td>${names[taken]}</td><td class="number">${formatCount(count)}</td><td class="number">${percent(count, total)}</td></tr>\n`,
    );
  return html`<p>${formatCount(names.length)} classes; the pairs that are mistaken most often:</p>
${scrolling(
  "The pairs of classes that are mistaken most often",
  html`<table>
<thead><tr>${["class", "taken for"].map((heading) => headingCell(heading, false))}${["examples", "of the class"].map((heading) => headingCell(heading, true))}</tr></thead>
<tbody>
${rows}</tbody>
</table>`,
)}`;
}

function percent(count: number, total: number): string {
  return total === 0 ? "–" : `${((100 * count) / total).toFixed(1)} %`;
}
