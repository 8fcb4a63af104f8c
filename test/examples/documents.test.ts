import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import type { Command } from "commander";
import { buildProgram } from "../../src/cli/program.ts";
import { methods } from "../../src/index.ts";
import { missingBuild, runProgram } from "./support.ts";

const root = fileURLToPath(new URL("../../", import.meta.url));
const pages = [
  ...readdirSync(root).filter((name) => name.endsWith(".md")),
  ...readdirSync(join(root, "docs"), { recursive: true })
    .map((name) => join("docs", name.toString()))
    // Notes are parts of the methods' pages, a folder above them.
    .filter((name) => name.endsWith(".md") && !name.includes("notes")),
];
const read = (page: string) => readFileSync(join(root, page), "utf8");
const withoutCode = (text: string) => text.replace(/```[\s\S]*?```/g, "").replace(/`[^`\n]*`/g, "");

/** GitHub's anchors of a page's headings. */
function anchors(page: string): Set<string> {
  const headings = read(page)
    .replace(/```[\s\S]*?```/g, "")
    .matchAll(/^#+ (.+)$/gm);
  const slug = (heading: string) =>
    heading
      .toLowerCase()
      .replace(/[^\p{L}\p{N} _-]/gu, "")
      .replaceAll(" ", "-");
  return new Set([...headings].map(([, heading]) => slug(heading)));
}

describe("documents", () => {
  for (const page of pages) {
    it(`${page}: every link leads somewhere`, () => {
      const links = [...withoutCode(read(page)).matchAll(/\]\(([^)\s]+)\)|(?:srcset|src)="([^"]+)"/g)];
      for (const [, markdown, html] of links) {
        const link = markdown ?? html;
        if (/^[a-z]+:/.test(link)) continue;
        const [path, anchor] = link.split("#");
        const target = path === "" ? page : relative(root, join(root, dirname(page), path));
        assert.ok(existsSync(join(root, target)), `${page} links to ${link}`);
        if (anchor !== undefined) assert.ok(anchors(target).has(anchor), `${page} links to ${link}`);
      }
    });
  }

  it("every paper that code and documents name in brackets is in docs/mathematics.md", () => {
    const [, papers] = read("docs/mathematics.md").split("## Papers");
    const known = new Set([...papers.matchAll(/^- \*\*(\w+)\*\*/gm)].map(([, name]) => name));
    const sources = readdirSync(join(root, "src"), { recursive: true })
      .map((name) => join("src", name.toString()))
      .filter((name) => name.endsWith(".ts"));
    for (const file of [...sources, ...pages]) {
      for (const [, names] of read(file).matchAll(/\[((?:[A-Z][A-Za-z]+\d\d\b[^\]\n]*))\]/g)) {
        for (const [name] of names.matchAll(/\b[A-Z][a-z][A-Za-z]+\d\d\b/g)) {
          if (/^(Float|Int|Uint)\d\d$/.test(name)) continue;
          assert.ok(known.has(name), `${file} names ${name}`);
        }
      }
    }
  });

  it("every method has a page and a line in the README and in docs/choosing.md", () => {
    for (const { name } of methods) {
      assert.ok(pages.includes(join("docs", "methods", `${name}.md`)), `docs/methods/${name}.md`);
      assert.ok(read("README.md").includes(`docs/methods/${name}.md`), `README.md on ${name}`);
      assert.ok(read("docs/choosing.md").includes(`methods/${name}.md`), `docs/choosing.md on ${name}`);
    }
  });

  it("every method's page names each of its options", () => {
    for (const { name, options } of methods) {
      const page = read(`docs/methods/${name}.md`);
      for (const option of options)
        assert.ok(page.includes(`\`${option}\``), `docs/methods/${name}.md: ${option}`);
    }
  });

  it("docs/command-line.md names every option of every command, and no other", () => {
    const helpOf = (command: Command): string =>
      [command.helpInformation(), ...command.commands.map(helpOf)].join("\n");
    const flags = (text: string) =>
      new Set([...text.matchAll(/(?<![\w-])--[a-z][\w-]*/g)].map(([flag]) => flag));
    const page = flags(read("docs/command-line.md"));
    assert.deepEqual([...page].sort(), [...flags(helpOf(buildProgram([])))].sort());
  });

  const programs = pages.flatMap((page) =>
    [...read(page).matchAll(/```ts\n([\s\S]*?)```/g)]
      .map(([, source], index) => ({ page, index: index + 1, source }))
      .filter(({ source }) => /from "natgrad/.test(source)),
  );
  for (const { page, index, source } of programs) {
    it(`${page}: program ${index} runs`, { skip: missingBuild(source) }, async () => {
      const scratch = await mkdtemp(join(root, "examples", ".scratch-"));
      try {
        const file = join(scratch, "program.ts");
        await writeFile(
          file,
          source.replaceAll(/"([\w-]+\.safetensors)"/g, JSON.stringify(join(scratch, "$1"))),
        );
        await runProgram(file);
      } finally {
        await rm(scratch, { recursive: true });
      }
    });
  }
});
