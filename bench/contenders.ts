/** Who takes part: natgrad, and the peers that this machine has. */
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { availableParallelism } from "node:os";
import { fileURLToPath } from "node:url";
import type { ContenderDefinition } from "./contender.ts";

const file = (path: string) => fileURLToPath(new URL(path, import.meta.url));
const PEERS_FOLDER = file("peers");

/** Debian's package python3-torch is seen only by the system's own interpreter. */
const PYTHONS = ["python3", "/usr/bin/python3"];

export type Peers = "all" | "none" | "pytorch" | "tfjs";

/** @param note takes a line for people about a peer that is missing */
export function findContenders(peers: Peers, source: boolean, note: (line: string) => void) {
  const found = natgradContenders(source);
  if (peers === "all" || peers === "pytorch") found.push(...pytorchContenders(note));
  if (peers === "all" || peers === "tfjs") found.push(...tensorflowContenders(note));
  return found;
}

function natgradCommand(problem: string, source: boolean): string[] {
  return [
    process.execPath,
    ...["--import", "tsx", file("natgrad.ts")],
    problem,
    ...(source ? ["--source"] : []),
  ];
}

/** natgrad's SGD beside another method, in whose turns it takes part. @param problem of SGD on the same case */
export function ownSgd(problem: string, source: boolean): ContenderDefinition {
  const name = "natgrad's SGD";
  return { name, engine: name, command: () => natgradCommand(problem, source), otherMethod: true };
}

function natgradContenders(source: boolean): ContenderDefinition[] {
  const command = (problem: string) => natgradCommand(problem, source);
  return [
    { name: "natgrad", engine: "natgrad", command },
    {
      name: "natgrad without LAPACK",
      engine: "natgrad without LAPACK",
      command,
      environment: { NATGRAD_LAPACK: "off" },
    },
  ];
}

/** PyTorch with one thread, with two, and with every core: none of them is fastest on every case. */
function pytorchContenders(note: (line: string) => void): ContenderDefinition[] {
  const python = PYTHONS.find(hasTorch);
  if (python === undefined) {
    note(
      `PyTorch: skipped, for neither ${PYTHONS.join(" nor ")} can import torch (Debian: apt install python3-torch)`,
    );
    return [];
  }
  const cores = availableParallelism();
  const threads = [...new Set([1, 2, cores])].filter((count) => count <= cores);
  return threads.map((count) => ({
    name: `PyTorch, ${count} ${count === 1 ? "thread" : "threads"}`,
    engine: "PyTorch",
    command: (problem) => [python, file("peers/pytorch.py"), problem, String(count)],
  }));
}

function hasTorch(python: string): boolean {
  try {
    execFileSync(python, ["-c", "import torch"], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}

function tensorflowContenders(note: (line: string) => void): ContenderDefinition[] {
  if (!existsSync(`${PEERS_FOLDER}/node_modules`)) {
    note("TensorFlow.js: installing it into bench/peers (66 MB, once)");
    const [npm, options] = process.platform === "win32" ? ["npm.cmd", { shell: true }] : ["npm", {}];
    try {
      execFileSync(npm, ["ci", "--no-audit", "--no-fund"], { cwd: PEERS_FOLDER, stdio: "pipe", ...options });
    } catch {
      note("TensorFlow.js: skipped, for it could not be installed (try npm ci in bench/peers)");
      return [];
    }
  }
  const script = [process.execPath, "--import", "tsx", file("peers/tensorflow.mjs")];
  return [{ name: "TensorFlow.js", engine: "TensorFlow.js", command: (problem) => [...script, problem] }];
}
