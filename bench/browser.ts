/**
 * Steps in Chromium (WebAssembly, one thread and several) beside the same steps in Node: batches of 128 rows of 8 numbers,
 * float32. The fastest of the rounds, taken by turns, in microseconds.
 *
 * Run: node --import tsx bench/browser.ts
 */
import { fileURLToPath } from "node:url";
import { bundlePage, serve } from "../examples/browser/serve.ts";
import { launchChromium } from "../test/browser/support.ts";
import { stepTime } from "../test/browser/task.ts";

const rounds = 15;
const steps = 200;
const hidden = [[4], [32, 16]];
const optimizers = ["sgd", "adam", "tengrad"] as const;

const files = await bundlePage(fileURLToPath(new URL("../test/browser/page.ts", import.meta.url)));
files.set(
  "/index.html",
  new TextEncoder().encode('<!doctype html><script type="module" src="/main.js"></script>'),
);
files.set("/ort-wasm-simd-threaded.wasm", files.get("/ort/ort-wasm-simd-threaded.wasm")!);
const server = await serve(files);
const browser = await launchChromium();

async function openPage(wasmFolder?: string): Promise<typeof stepTime> {
  const page = await browser.newPage();
  await page.goto(server.url);
  const call = (name: string, values: unknown[]) =>
    page.evaluate(([name, values]) => Reflect.get(globalThis, "page")[name](...values), [
      name,
      values,
    ] as const);
  if (wasmFolder) await call("setWasmFolder", [wasmFolder]);
  return async (...values) => Number(await call("time", values));
}

const places = {
  node: stepTime,
  "wasm, 1 thread": await openPage(),
  "wasm, all threads": await openPage("/ort"),
};
const best: Record<string, Record<string, number>> = {};
for (let round = 0; round < rounds; round++) {
  for (const units of hidden) {
    for (const optimizer of optimizers) {
      const row = (best[`8-${units.join("-")}-1 ${optimizer}`] ??= {});
      for (const [place, time] of Object.entries(places)) {
        row[place] = Math.min(
          row[place] ?? Number.POSITIVE_INFINITY,
          Math.round(await time(units, optimizer, steps)),
        );
      }
    }
  }
}
console.log(`Chromium ${browser.version()}, Node ${process.versions.node}, microseconds a step`);
console.table(best);
await browser.close();
server.close();
