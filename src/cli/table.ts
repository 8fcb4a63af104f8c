/** Tables on the terminal. */
import Table from "cli-table3";
import pc from "picocolors";

export interface TableOptions {
  /** Widest each column may be, in characters; longer texts are wrapped between words. */
  readonly widths?: readonly number[];
  /** Columns of numbers, to be aligned on the right. */
  readonly numeric?: readonly number[];
}

/** A table of lines under headings, without a frame. */
export function renderTable(
  headings: readonly string[],
  rows: readonly (readonly string[])[],
  { widths = [], numeric = [] }: TableOptions = {},
): string {
  const none = { left: "", right: "", "left-mid": "", "right-mid": "", middle: "  " };
  const edges = { top: "", "top-mid": "", "top-left": "", "top-right": "", bottom: "", "bottom-mid": "" };
  const table = new Table({
    head: headings.map((heading) => pc.underline(heading)),
    style: { head: [], border: [], "padding-left": 0, "padding-right": 0 },
    chars: { ...none, ...edges, "bottom-left": "", "bottom-right": "", mid: "", "mid-mid": "" },
    colWidths: headings.map((_, index) => widths[index] ?? null),
    colAligns: headings.map((_, index) => (numeric.includes(index) ? "right" : "left")),
    wordWrap: true,
  });
  for (const row of rows) table.push([...row]);
  const lines = table.toString().split("\n");
  return lines.map((line) => line.trimEnd()).join("\n");
}
