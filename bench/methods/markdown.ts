/** Markdown tables and numbers as people read them. */

/** The first column is aligned to the left, and those whose heading is in `texts`. */
export function markdownTable(
  headings: readonly string[],
  rows: readonly (readonly string[])[],
  texts: readonly string[] = [],
): string {
  const rule = headings.map((heading, index) => (index === 0 || texts.includes(heading) ? "---" : "---:"));
  return [headings, rule, ...rows].map((cells) => `| ${cells.join(" | ")} |`).join("\n");
}

/** Three digits: `0.0312`, `1.25e-5`; `–` for what is not finite. */
export function figure(value: number): string {
  if (!Number.isFinite(value)) return "–";
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-3 || size >= 1e5)) return value.toExponential(2);
  return size >= 100 ? value.toFixed(0) : value.toPrecision(3);
}

/** Two digits and a unit: `85 µs`, `1.2 ms`, `0.34 s`; `–` for what is not finite. */
export function duration(seconds: number): string {
  if (!Number.isFinite(seconds)) return "–";
  const short = (value: number) => (value >= 100 ? value.toFixed(0) : String(+value.toPrecision(2)));
  if (seconds < 1e-3) return `${short(1e6 * seconds)} µs`;
  return seconds < 0.1 ? `${short(1e3 * seconds)} ms` : `${short(seconds)} s`;
}

/** `1.7×`; `–` for what is not finite. */
export function times(ratio: number): string {
  return Number.isFinite(ratio) ? `${ratio >= 10 ? ratio.toFixed(0) : ratio.toPrecision(2)}×` : "–";
}

/** `12 %`. */
export function percent(share: number): string {
  return `${(100 * share).toFixed(0)} %`;
}

/** The part of a page between two marks, replaced. @throws Error when the marks are not there */
export function replaceBetweenMarks(page: string, name: string, content: string): string {
  const [begin, end] = [`<!-- ${name}: generated, do not edit -->`, `<!-- ${name}: end -->`];
  const [from, to] = [page.indexOf(begin), page.indexOf(end)];
  if (from < 0 || to < from) throw new Error(`the page lacks the marks of ${name}`);
  return `${page.slice(0, from + begin.length)}\n\n${content}${content && "\n\n"}${page.slice(to)}`;
}
