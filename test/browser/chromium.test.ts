import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import type { Browser, Page as BrowserPage } from "playwright-core";
import { bundlePage, examplePage, type PageFiles, serve } from "../../examples/browser/serve.ts";
import { createTrainer, resumeTrainer } from "../../src/index.ts";
import type { Page } from "./page.ts";
import { fromSources, launchChromium, missingChromium } from "./support.ts";
import { configuration, type OptimizerName, trainSteps } from "./task.ts";

const steps = 24;
/** A page that forbids `eval` and scripts of other sites. */
const html = new TextEncoder().encode(`<!doctype html><link rel="icon" href="data:,">
<meta http-equiv="Content-Security-Policy" content="script-src 'self' 'wasm-unsafe-eval'">
<script type="module" src="/main.js"></script>`);

async function nativeLosses(optimizer: OptimizerName): Promise<number[]> {
  const trainer = await createTrainer(configuration(optimizer));
  const losses = await trainSteps(trainer, steps);
  trainer.dispose();
  return losses;
}

function assertTrained(losses: readonly number[], native: readonly number[]): void {
  assert.equal(losses.length, steps);
  const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value) / values.length;
  const [first, last] = [mean(losses.slice(0, 6)), mean(losses.slice(-6))];
  assert.ok(last < 0.75 * first, `mean loss of six steps: ${first} at first, ${last} at last`);
  const gap = Math.max(...losses.map((loss, step) => Math.abs(loss - native[step])));
  assert.ok(gap < 1e-4, `losses differ from Node's by ${gap}`);
}

/** Calls one of the page's functions. */
function call<Name extends keyof Page>(tab: BrowserPage, name: Name, ...values: Parameters<Page[Name]>) {
  return tab.evaluate(([name, values]) => Reflect.get(globalThis, "page")[name](...values), [
    name,
    values,
  ] as const) as Promise<Awaited<ReturnType<Page[Name]>>>;
}

describe("a page in Chromium", { skip: missingChromium }, () => {
  let files: PageFiles;
  let browser: Browser;
  before(async () => {
    const entry = fileURLToPath(new URL("page.ts", import.meta.url));
    [files, browser] = await Promise.all([bundlePage(entry), launchChromium()]);
    files.set("/index.html", html);
    files.set("/ort-wasm-simd-threaded.wasm", files.get("/ort/ort-wasm-simd-threaded.wasm")!);
  });
  after(() => browser.close());

  const cases = [
    {
      name: "not isolated",
      isolated: false,
      wasmFolder: undefined,
      threads: /^threads 1( \(more need a cross-origin isolated page\))?$/,
    },
    {
      name: "isolated",
      isolated: true,
      wasmFolder: undefined,
      threads: /^threads 1( \(more need setWasmFolder\))?$/,
    },
    {
      name: "isolated, with a folder of WebAssembly files",
      isolated: true,
      wasmFolder: "/ort",
      threads: /^threads \d+$/,
    },
  ];
  for (const { name, isolated, wasmFolder, threads } of cases) {
    describe(name, () => {
      let server: Awaited<ReturnType<typeof serve>>;
      let tab: BrowserPage;
      const errors: string[] = [];
      before(async () => {
        server = await serve(files, { isolated });
        tab = await browser.newPage();
        tab.on("pageerror", (error) => errors.push(error.message));
        tab.on("console", (message) => {
          if (message.text() !== "No available adapters.") errors.push(message.text()); // Chromium's own, on WebGPU
        });
        await tab.goto(server.url);
        assert.equal(await tab.evaluate(() => crossOriginIsolated), isolated);
        if (wasmFolder) await call(tab, "setWasmFolder", wasmFolder);
      });
      after(async () => {
        await tab.close();
        server.close();
      });

      it("trains as Node does", async () => {
        for (const optimizer of ["tengrad", "adam"] as const) {
          const { losses, description } = await call(tab, "train", optimizer, steps);
          assertTrained(losses, await nativeLosses(optimizer));
          assert.match(description[0], /^session web: onnxruntime-web [\d.]+, WebAssembly$/);
          assert.match(description[1], threads);
        }
      });

      it("resumes from kept bytes with the same bits, and so does Node with the same parameters", async () => {
        const { kept, again, losses, parameters } = await call(tab, "resume", "tengrad");
        assert.deepEqual(again, kept);
        assert.deepEqual(losses[1], losses[0]);
        assert.deepEqual(parameters[1], parameters[0]);
        const inNode = await resumeTrainer(Uint8Array.from(kept), configuration("tengrad"));
        assert.deepEqual([...inNode.toBytes()], kept);
        const further = await trainSteps(inNode, 6);
        assert.ok(further.every((loss, step) => Math.abs(loss - losses[0][step]) < 1e-4));
        inNode.dispose();
      });

      it("trains in a worker", async () => {
        const { losses } = await call(tab, "trainInWorker", "sgd", steps);
        assert.deepEqual(losses, (await call(tab, "train", "sgd", steps)).losses);
      });

      it("says in one line what it cannot do", async () => {
        assert.equal(
          await call(tab, "refusal", "webgpu"),
          'UsageError: device "webgpu": no WebGPU adapter here (use a browser with hardware acceleration on, or device "auto" or "cpu")',
        );
        assert.match(
          await call(tab, "refusal", "save"),
          /^UsageError: files need Node .*\(in a browser keep trainer\.toBytes\(\)/,
        );
        assert.match(
          await call(tab, "refusal", "other bytes"),
          /^RunError: cannot read the data given: not a safetensors file$/,
        );
      });

      it("writes nothing to the console", () => assert.deepEqual(errors, []));
    });
  }

  it("without the WebAssembly files says which to copy where", async () => {
    const absent = [...files].filter(([name]) => !name.endsWith(".wasm"));
    const aPageInstead = [...absent, ["/ort-wasm-simd-threaded.wasm", html] as const];
    const cases = [
      { folder: undefined, served: absent },
      { folder: "/nowhere", served: absent },
      { folder: undefined, served: aPageInstead },
    ];
    for (const { folder, served } of cases) {
      const server = await serve(new Map(served));
      const tab = await browser.newPage();
      await tab.goto(server.url);
      if (folder) await call(tab, "setWasmFolder", folder);
      assert.match(
        await call(tab, "refusal", "a step"),
        /^RunError: ONNX Runtime's WebAssembly files were not found \(copy ort-wasm-simd-threaded\.\* from onnxruntime-web/,
      );
      await tab.close();
      server.close();
    }
  });

  describe("the example", () => {
    let server: Awaited<ReturnType<typeof serve>>;
    let tab: BrowserPage;
    const errors: string[] = [];
    const texts = (selector: string) => tab.locator(selector).allTextContents();
    before(async () => {
      server = await serve(await examplePage([fromSources]));
      tab = await browser.newPage();
      tab.on("pageerror", (error) => errors.push(error.message));
      tab.on("console", (message) => errors.push(message.text()));
      await tab.goto(server.url);
    });
    after(async () => {
      await tab.close();
      server.close();
    });

    it("trains three methods and draws them", async () => {
      await tab.waitForFunction(() => {
        const losses = [...document.querySelectorAll("#runs td:nth-child(2)")];
        return losses.length === 3 && losses.every(({ textContent }) => Number(textContent) < 0.05);
      });
      assert.deepEqual(
        (await texts("#runs th")).map((text) => /^[a-z]+/.exec(text)?.[0]),
        ["sgd", "adam", "tengrad"],
      );
      for (const line of await tab.locator("path.line").all()) {
        assert.match((await line.getAttribute("d"))!, /^M[\d.]+ [\d.]+(L[\d.]+ [\d.]+){3,}$/);
      }
    });

    it("pauses, takes another point and starts over", async () => {
      await tab.click("#pause");
      await tab.waitForFunction(() => document.querySelector("#pause")?.textContent === "Continue");
      await tab.click("#fits svg");
      assert.equal(await tab.locator("#fits circle").count(), 61);
      await tab.click("#by-time");
      assert.ok((await texts("#losses text")).includes("time trained"));
      await tab.click("#restart");
      await tab.waitForFunction(() =>
        document.querySelector("#status")?.textContent?.startsWith("61 points"),
      );
      assert.deepEqual(errors, []);
    });
  });
});
