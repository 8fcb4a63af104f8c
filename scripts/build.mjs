// Builds dist/: the linear-algebra kernels to WebAssembly, then TypeScript to JavaScript.
import { execFileSync } from "node:child_process";
import { chmodSync, existsSync, rmSync } from "node:fs";

const node = (script, ...args) => execFileSync(process.execPath, [script, ...args], { stdio: "inherit" });

rmSync("dist", { recursive: true, force: true });
if (existsSync("scripts/build-kernels.mjs")) node("scripts/build-kernels.mjs");
node("node_modules/typescript/bin/tsc", "-p", "tsconfig.build.json");
if (existsSync("dist/cli/main.js")) chmodSync("dist/cli/main.js", 0o755);
