// Bundles a page with esbuild and serves it on this machine, with the headers that give WebAssembly threads.
// Run: npm run example:browser

import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { extname } from "node:path";
import { fileURLToPath } from "node:url";
import { build, type Plugin } from "esbuild";

/** What a page consists of, by the path of its address. */
export type PageFiles = Map<string, Uint8Array>;

/**
 * The program `entry` as `/main.js`, bundled, and ONNX Runtime's WebAssembly files beside it in `/ort/`.
 *
 * @param plugins for esbuild
 */
export async function bundlePage(entry: string, plugins: Plugin[] = []): Promise<PageFiles> {
  const { outputFiles } = await build({
    entryPoints: { main: entry },
    outdir: "/",
    bundle: true,
    platform: "browser",
    format: "esm",
    target: "es2022",
    tsconfigRaw: {}, // this repository's own names the sources; the page is to have what package.json names
    write: false,
    logLevel: "silent",
    plugins,
  });
  const files: PageFiles = new Map(
    outputFiles.map(({ path, contents }) => [`/${path.split(/[\\/]/).at(-1)}`, contents]),
  );
  for (const name of ["ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm"]) {
    files.set(`/ort/${name}`, await readFile(fileURLToPath(import.meta.resolve(`onnxruntime-web/${name}`))));
  }
  return files;
}

const types: Record<string, string> = {
  ".css": "text/css",
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript",
  ".mjs": "text/javascript",
  ".wasm": "application/wasm",
};

/** A page is cross-origin isolated with these: it shares no process with others, and may share memory with its workers. */
const isolation = {
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Embedder-Policy": "require-corp",
};

/** Serves files to this machine only; port 0 takes any that is free. */
export async function serve(files: PageFiles, { port = 0, isolated = true } = {}) {
  const server = createServer(({ url = "/" }, response) => {
    const { pathname } = new URL(url, "http://localhost");
    const name = pathname === "/" ? "/index.html" : pathname;
    const contents = files.get(name);
    response.writeHead(contents ? 200 : 404, {
      "Content-Type": types[extname(name)] ?? "text/plain",
      "Cache-Control": "no-store",
      ...(isolated && isolation),
    });
    response.end(contents ?? "not found");
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, "127.0.0.1", resolve);
  });
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    close: () => server.close().closeAllConnections(),
  };
}

/** The example's own page. */
export async function examplePage(plugins: Plugin[] = []): Promise<PageFiles> {
  const at = (name: string) => fileURLToPath(new URL(name, import.meta.url));
  const files = await bundlePage(at("main.ts"), plugins);
  for (const name of ["index.html", "style.css"]) files.set(`/${name}`, await readFile(at(name)));
  return files;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { url } = await serve(await examplePage(), { port: Number(process.env.PORT ?? 8080) });
  console.log(`${url} (Ctrl-C stops)`);
}
