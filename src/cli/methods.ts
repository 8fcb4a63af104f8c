/** `natgrad methods`: every optimizer with its options. */
import type { Command } from "commander";
import pc from "picocolors";
import { methods } from "../optimizers/index.ts";
import { integer } from "./arguments.ts";
import { formatOptions, openOutput } from "./output.ts";
import { renderTable } from "./table.ts";

const examples = `
Examples:
  $ natgrad methods
  $ natgrad methods --json | jq -r .name`;

export function addMethodsCommand(program: Command): void {
  program
    .command("methods")
    .summary("list the optimizers and their options")
    .description("Lists every optimizer: what it does, where it comes from, its options and their defaults.")
    .option("--seed <n>", "no effect: nothing here is random", integer("--seed"))
    .option("--json", "one JSON object a line on stdout")
    .addHelpText("after", examples)
    .action(({ json }: { json?: boolean }) => listMethods(json));
}

function listMethods(json: boolean | undefined): void {
  const output = openOutput(json);
  for (const { create: _, ...about } of methods) output.event(about);
  const rows = methods.map(({ name, summary, reference, options, defaults, imageDefaults }) => {
    const forImages = imageDefaults ? `\nnetworks for images: ${formatOptions(imageDefaults)}` : "";
    return [
      pc.bold(name),
      `${summary}\n${pc.dim(reference)}`,
      `${options.join(", ")}\n${pc.dim(`defaults: ${formatOptions(defaults)}${forImages}`)}`,
    ];
  });
  output.print(renderTable(["method", "what it does", "options"], rows, { widths: [20, 40, 56] }));
}
