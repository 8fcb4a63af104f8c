// Runs every test/**/*.test.ts (or the files and folders named on the command line) with node's own runner.
// With --built the tests of the command line run what was built in dist/, which starts in half the time, instead of the source.
import { readdirSync, statSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { run } from "node:test";
import { spec } from "node:test/reporters";

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

const counts = { passed: 0, failed: 0, skipped: 0 };
const leaf = (data) => data.details?.type !== "suite" && !(data.nesting === 0 && files.includes(data.name));
process.env.NODE_OPTIONS = [process.env.NODE_OPTIONS, "--import tsx"].filter(Boolean).join(" ");
const events = run({ files, concurrency: Math.min(2, availableParallelism()) });
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
