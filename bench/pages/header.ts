/** The comment that a method's file opens with, as Markdown: prose, formulas as they stand, tables of symbols, differences from the paper. */
import { readFileSync } from "node:fs";

export interface Header {
  /** Prose, formulas and tables, in their order. */
  readonly body: string;
  /** What follows "Differs from the paper: " or the like, item by item; they are separated by semicolons. */
  readonly differences: readonly string[];
}

/** @throws Error when the file does not open with a documentation comment */
export function readHeader(path: string): Header {
  const source = readFileSync(path, "utf8");
  const [, comment] = /^\/\*\*(.*?)\*\//s.exec(source) ?? [];
  if (comment === undefined) throw new Error(`${path} does not open with a documentation comment`);
  const lines = comment.split("\n").map((line) => line.replace(/^\s*\* ?/, "").trimEnd());
  const paragraphs = lines
    .join("\n")
    .trim()
    .split(/\n\s*\n/);
  const isDifference = (paragraph: string) => /^Differs from [^:]+: /.test(paragraph);
  return {
    body: paragraphs
      .filter((paragraph) => !isDifference(paragraph))
      .map((paragraph) => toMarkdown(paragraph.split("\n")))
      .join("\n\n"),
    differences: paragraphs.filter(isDifference).flatMap((paragraph) => {
      const items = joined(paragraph.split("\n")).replace(/^Differs from [^:]+: /, "");
      return items.split("; ").map((item) => escapeMarkdown(capitalized(item.replace(/\.$/, ""))));
    }),
  };
}

type Kind = "prose" | "formula" | "table" | "item";

/** Indented lines are formulas, those between bars a table, those after a dash items of a list. */
function kindOf(line: string, before: Kind): Kind {
  if (/^ {2,}/.test(line)) return before === "item" ? "item" : "formula";
  if (line.startsWith("|")) return "table";
  return line.startsWith("- ") ? "item" : "prose";
}

function toMarkdown(lines: readonly string[]): string {
  const groups: { kind: Kind; lines: string[] }[] = [];
  for (const line of lines) {
    const last = groups.at(-1);
    const kind = kindOf(line, last?.kind ?? "prose");
    const continues = last?.kind === kind && !line.startsWith("- ");
    if (continues) last.lines.push(line);
    else groups.push({ kind, lines: [line] });
  }
  return groups
    .map(({ kind, lines }, k) => separator(groups[k - 1]?.kind, kind) + groupText(kind, lines))
    .join("");
}

function separator(before: Kind | undefined, kind: Kind): string {
  if (before === undefined) return "";
  return before === "item" && kind === "item" ? "\n" : "\n\n";
}

function groupText(kind: Kind, lines: readonly string[]): string {
  switch (kind) {
    case "formula":
      return ["```text", ...lines.map((line) => line.replace(/^ {2}/, "")), "```"].join("\n");
    case "table":
      return lines.map(escapeMarkdown).join("\n");
    case "item":
      return `- ${escapeMarkdown(joined(lines).slice(2))}`;
    case "prose":
      return escapeMarkdown(joined(lines));
  }
}

function joined(lines: readonly string[]): string {
  return lines.map((line) => line.trim()).join(" ");
}

/** Words begin with a capital; symbols stay what they are: Λ is not λ, and G not g. */
function capitalized(words: string): string {
  return /^[a-z]{2}|^a /.test(words) ? words.slice(0, 1).toUpperCase() + words.slice(1) : words;
}

/** What Markdown takes for emphasis or for a tag; an underscore inside a word is neither. */
const MARKS = /[*<]|(?<![\p{L}\p{N}\p{M}])_|_(?![\p{L}\p{N}\p{M}])/gu;

/** Marks outside of code, escaped. */
function escapeMarkdown(words: string): string {
  const parts = words.split(/(`[^`]*`)/);
  return parts.map((part, k) => (k % 2 ? part : part.replaceAll(MARKS, "\\$&"))).join("");
}
