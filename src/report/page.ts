/** The page that every report is: one HTML file that needs nothing else, neither scripts nor the network. */
import type { Figure } from "./figures.ts";
import { Html, type HtmlContent, html } from "./html.ts";
import { styleSheet } from "./style.ts";

export interface Page {
  readonly title: string;
  /** What it is about, in a line. */
  readonly facts: string;
  /** The finding in a sentence or two. */
  readonly headline: string;
  readonly figures: readonly Figure[];
  /** Whatever follows the figures, as {@link section}s. */
  readonly sections: HtmlContent;
  readonly footer: string;
}

/** The whole file. */
export function renderPage({ title, facts, headline, figures, sections, footer }: Page): string {
  const page = html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<meta name="color-scheme" content="light dark">
<meta name="generator" content="natgrad">
<title>${title}</title>
<style>${new Html(styleSheet)}</style>
</head>
<body>
<header>
<h1>${title}</h1>
<p class="facts">${facts}</p>
<p class="headline">${headline}</p>
</header>
<main>
<div class="charts">
${figures.map(figure)}</div>
${sections}
</main>
<footer>${footer}</footer>
</body>
</html>
`;
  return page.markup;
}

function figure({ title, note, wide, narrow }: Figure): Html {
  return html`<figure>
<h3>${title}</h3>
${narrow === undefined ? new Html(wide) : html`<div class="wide">${new Html(wide)}</div>\n<div class="narrow">${new Html(narrow)}</div>`}
<figcaption>${note}</figcaption>
</figure>
`;
}

export function section(title: string, content: HtmlContent): Html {
  return html`<section>
<h2>${title}</h2>
${content}
</section>`;
}

export function list(items: readonly string[]): Html {
  return html`<ul>
${items.map((item) => html`<li>${item}</li>\n`)}</ul>`;
}

/** The command that makes the report again, to be copied. */
export function commandBlock(command: string): Html {
  return html`<pre tabindex="0" aria-label="The command that makes this report"><code>${command}</code></pre>`;
}

/** `2026-03-01 14:05 UTC`; what is not a date stays as it is. */
export function formatDate(text: string): string {
  const date = new Date(text);
  return Number.isNaN(date.getTime()) ? text : `${date.toISOString().slice(0, 16).replace("T", " ")} UTC`;
}
