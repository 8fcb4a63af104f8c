/** `natgrad doctor`: what computes here, and what would make it faster. */
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { cpus } from "node:os";
import type { Command } from "commander";
import pc from "picocolors";
import { dataFolders } from "../data/files.ts";
import { listDatasets } from "../data/index.ts";
import { lapackInfo } from "../linalg/index.ts";
import { openRuntime } from "../runtime/runtime.ts";
import { hasWebGpu } from "../runtime/web.ts";
import { integer } from "./arguments.ts";
import { openOutput } from "./output.ts";
import { natgradVersion } from "./version.ts";

const examples = `
Examples:
  $ natgrad doctor
  $ NATGRAD_SESSION=web natgrad doctor     what WebAssembly would be like`;

/** One thing looked at. */
interface Finding {
  readonly name: string;
  readonly value: string;
  /** What to do about it. */
  readonly advice?: string;
}

export function addDoctorCommand(program: Command): void {
  program
    .command("doctor")
    .summary("show what computes here and what to install for more")
    .description(
      "Shows sessions, threads, LAPACK, WebGPU, versions and data folders, and what to install for more.",
    )
    .option("--seed <n>", "no effect: nothing here is random", integer("--seed"))
    .option("--json", "one JSON object a line on stdout")
    .addHelpText("after", examples)
    .action(({ json }: { json?: boolean }) => doctor(json));
}

async function doctor(json: boolean | undefined): Promise<void> {
  const output = openOutput(json);
  const findings = [...versions(), await session(), processor(), lapack(), await webGpu(), ...data()];
  const advice = findings.flatMap((finding) => finding.advice ?? []);
  output.event({ ...Object.fromEntries(findings.map(({ name, value }) => [name, value])), advice });
  const width = Math.max(...findings.map(({ name }) => name.length));
  for (const { name, value } of findings) output.print(`${pc.bold(name.padEnd(width))}  ${value}`);
  output.print();
  output.print(advice.length === 0 ? pc.green("Nothing is missing.") : "For more:");
  for (const line of advice) output.print(`  ${pc.yellow("→")} ${line}`);
}

function versions(): Finding[] {
  const node = process.versions.node;
  const old = Number.parseInt(node, 10) < 20 ? "install Node 20.16 or newer" : undefined;
  return [
    { name: "natgrad", value: natgradVersion() },
    { name: "node", value: `${node}, ${process.platform} ${process.arch}`, advice: old },
    { name: "onnxruntime", value: packageVersion("onnxruntime-node") },
  ];
}

/** The installed version of a package, or that it is not installed. */
function packageVersion(name: string): string {
  try {
    const { version } = createRequire(import.meta.url)(`${name}/package.json`) as { version: string };
    return `${version} (${name})`;
  } catch {
    return `${name} is not installed`;
  }
}

async function session(): Promise<Finding> {
  try {
    const runtime = await openRuntime();
    const value = runtime.describe().join("; ");
    const { kind } = runtime;
    runtime.dispose();
    const forced = process.env.NATGRAD_SESSION
      ? "unset NATGRAD_SESSION"
      : "npm install koffi onnxruntime-node";
    const advice = `${forced}: the native session takes a small step several times faster`;
    return { name: "session", value, advice: kind === "native" ? undefined : advice };
  } catch (error) {
    return {
      name: "session",
      value: `none: ${(error as Error).message}`,
      advice: "npm install onnxruntime-node",
    };
  }
}

function processor(): Finding {
  const all = cpus();
  return { name: "processor", value: `${all[0]?.model.trim() ?? "unknown"}, ${all.length} hardware threads` };
}

function lapack(): Finding {
  const { library, version, reason } = lapackInfo();
  if (library !== undefined) return { name: "LAPACK", value: version ? `${library}: ${version}` : library };
  return { name: "LAPACK", value: "none, the embedded kernels do the work", advice: `LAPACK: ${reason}` };
}

async function webGpu(): Promise<Finding> {
  const found = await hasWebGpu();
  return { name: "WebGPU", value: found ? "available" : "none here (Node has none; a browser may)" };
}

function data(): Finding[] {
  const own = process.env.NATGRAD_DATA;
  const missing =
    own && !existsSync(own) ? `NATGRAD_DATA=${own} does not exist: correct or unset it` : undefined;
  const here = listDatasets().filter(({ available }) => available);
  const names = here.map(({ name }) => name).join(", ");
  const folders = dataFolders({ name: "<dataset>" }).join(", ");
  return [
    { name: "data folders", value: own ? folders : `${folders} (NATGRAD_DATA is not set)`, advice: missing },
    { name: "datasets here", value: `${names} (the others: natgrad data list)` },
  ];
}
