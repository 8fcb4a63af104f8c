// Builds dist/: the linear-algebra kernels to WebAssembly, TypeScript to JavaScript, and the command line to a few files.
import { execFileSync } from "node:child_process";
import { chmodSync, rmSync } from "node:fs";
import { build } from "esbuild";

const node = (script, ...args) => execFileSync(process.execPath, [script, ...args], { stdio: "inherit" });

rmSync("dist", { recursive: true, force: true });
node("scripts/build-kernels.mjs");
node("node_modules/typescript/bin/tsc", "-p", "tsconfig.build.json");
// The command is bundled: Node takes longer to find hundreds of modules than `natgrad train` to train a small network.
await build({
  entryPoints: ["src/cli/main.ts", "src/experiments/growth-point.ts"],
  outdir: "dist/cli",
  entryNames: "[name]",
  ...{ bundle: true, splitting: true, packages: "external" },
  ...{ format: "esm", platform: "node", target: "node20", logLevel: "warning" },
});
chmodSync("dist/cli/main.js", 0o755);
