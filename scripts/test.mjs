// Runs every test/**/*.test.ts (or the files and folders named on the command line) with node's own runner.
// Files of one of the folders below share a process, for each start costs half a second; a file that looks at the process itself has its own.
// With --built the tests of the command line run what was built in dist/, which starts in half the time, instead of the source.
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { basename, dirname, join, resolve } from "node:path";
import { run } from "node:test";
import { spec } from "node:test/reporters";
import { pathToFileURL } from "node:url";

const SHARED = [
  ...["bench", "curvature", "data", "experiments", "fisher", "graph", "linalg"],
  ...["models", "nn", "optimizers", "report", "theory", "training"],
];
const LOOKS_AT_ITS_PROCESS = /\bprocess\.|\bglobalThis\b|\bmock\b|\bNATGRAD_/;

const under = (path) =>
  statSync(path).isDirectory()
    ? readdirSync(path, { recursive: true }).map((file) => join(path, file.toString()))
    : [path];
const named = process.argv.slice(2).filter((argument) => argument !== "--built");
if (named.length < process.argv.length - 2) process.env.NATGRAD_TEST_BUILT = "1";
const files = (named.length ? named : ["test"])
  .flatMap(under)
  .filter((file) => file.endsWith(".test.ts"))
  .sort();

const generated = mkdtempSync(join(tmpdir(), "natgrad-tests-"));
process.on("exit", () => rmSync(generated, { recursive: true, force: true }));
const processes = share(files);

/** The files to run, one a process: in place of those that share one, a file that imports them. */
function share(files) {
  const alone = [];
  const folders = new Map();
  for (const file of files) {
    const folder = basename(dirname(file));
    if (!SHARED.includes(folder) || LOOKS_AT_ITS_PROCESS.test(readFileSync(file, "utf8"))) alone.push(file);
    else folders.set(folder, [...(folders.get(folder) ?? []), file]);
  }
  const together = [...folders].map(([folder, members]) => {
    const path = join(generated, `${folder}.test.mjs`);
    const imports = members.map((file) => `import ${JSON.stringify(pathToFileURL(resolve(file)).href)};\n`);
    writeFileSync(path, imports.join(""));
    return path;
  });
  return [...together, ...alone]; // the longest first
}

const counts = { passed: 0, failed: 0, skipped: 0 };
const leaf = (data) =>
  data.details?.type !== "suite" && !(data.nesting === 0 && processes.includes(data.name));
process.env.NODE_OPTIONS = [process.env.NODE_OPTIONS, "--import tsx"].filter(Boolean).join(" ");
const events = run({ files: processes, concurrency: availableParallelism() });
events.on("test:pass", (data) => {
  if (leaf(data)) counts[data.skip ? "skipped" : "passed"]++;
});
events.on("test:fail", (data) => {
  if (data.details?.type !== "suite") counts.failed++;
  process.exitCode = 1;
});
events.on("end", () => {
  process.stdout.write(`\n${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped\n`);
});
events.compose(new spec()).pipe(process.stdout);
