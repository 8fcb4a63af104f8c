/** Runs programs that import "natgrad" as a user's do, from the built package. */
import { execFile } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { promisify } from "node:util";

const root = new URL("../../", import.meta.url);
const { exports } = JSON.parse(readFileSync(new URL("package.json", root), "utf8"));

/** Why a program with these imports cannot run now, or `false`. */
export function missingBuild(source: string): string | false {
  for (const [, path] of source.matchAll(/from "natgrad(\/\w+)?"/g)) {
    const entry = exports[`.${path ?? ""}`];
    if (!entry) return `package.json has no export ".${path ?? ""}"`;
    if (!existsSync(new URL(entry.default, root))) return `${entry.default} is absent (npm run build)`;
  }
  return false;
}

/** The lines that a program of this repository prints; rejects when it fails. */
export async function runProgram(file: string, ...programArguments: string[]): Promise<string[]> {
  const command = ["--import", "tsx", file, ...programArguments];
  const { stdout } = await promisify(execFile)(process.execPath, command, { cwd: root });
  return stdout.trimEnd().split("\n");
}
