/** Pages for tests: bundled from the sources and opened in a Chromium that is on this machine. */
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { Plugin } from "esbuild";
import { type Browser, chromium } from "playwright-core";

/** `natgrad` as package.json's condition "browser" resolves it, taken from the sources so that no build is needed. */
export const fromSources: Plugin = {
  name: "natgrad from its sources",
  setup({ onResolve }) {
    const path = fileURLToPath(new URL("../../src/browser.ts", import.meta.url));
    onResolve({ filter: /^natgrad$/ }, () => ({ path }));
  },
};

const places = [
  "/usr/bin/chromium",
  "/usr/bin/chromium-browser",
  "/usr/bin/google-chrome",
  "/Applications/Chromium.app/Contents/MacOS/Chromium",
  "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
  "C:\\Program Files\\Google\\Chrome\\Application\\chrome.exe",
];
const named = process.env.CHROMIUM_PATH;
const executablePath = [...(named ? [named] : []), ...places].find((path) => existsSync(path));

/** Why tests in a browser are skipped, or `false`. */
export const missingChromium = executablePath === undefined && "no Chromium found (set CHROMIUM_PATH)";

const flags = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

/** A browser without a window, with an empty profile of its own. */
export function launchChromium(): Promise<Browser> {
  return chromium.launch({ executablePath, args: flags });
}
