import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { after, before, beforeEach, describe, it } from "node:test";
import { gzipSync } from "node:zlib";
import type { DataFile, DatasetDefinition } from "../../src/data/definition.ts";
import { download } from "../../src/data/download.ts";
import { dataFolders, fetchFile, locateFile } from "../../src/data/files.ts";
import { RunError } from "../../src/errors.ts";
import { scratch } from "./scratch.ts";

const { folder } = scratch();
const content = Buffer.from("a,b\n1,2\n".repeat(20_000));
const sha256 = [createHash("sha256").update(content).digest("hex")];

const answers: Record<string, (response: ServerResponse) => void> = {
  "/whole": (response) => response.setHeader("content-length", content.length).end(content),
  "/packed": (response) => response.end(gzipSync(content)),
  "/other": (response) => response.end("another file"),
  "/short": (response) => {
    response.setHeader("content-length", content.length);
    response.write(content.subarray(0, 1000), () => response.destroy());
  },
  "/slow": (response) => response.write(content.subarray(0, 1000)),
};
const server = createServer((request, response) => {
  const answer = answers[request.url!];
  if (answer) answer(response);
  else response.writeHead(404).end();
});
let site = "";
before(async () => {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  site = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
after(() => {
  server.closeAllConnections();
  server.close();
});

const fileAt = (path: string): DataFile => ({ name: "table.csv", url: site + path, sha256 });

describe("download", () => {
  let count = 0;
  let place = "";
  let target = "";
  beforeEach(() => {
    place = join(folder, `download ${count++}`);
    target = join(place, "deep", "table.csv");
  });
  const left = () => readdirSync(join(place, "deep"));

  it("writes the file and tells how far it is", async () => {
    const received: number[] = [];
    await download(fileAt("/whole"), target, {
      onProgress: (progress) => {
        assert.equal(progress.total, content.length);
        received.push(progress.received);
      },
    });
    assert.deepEqual(readFileSync(target), content);
    assert.deepEqual(left(), ["table.csv"]);
    assert.equal(received.at(-1), content.length);
    assert.deepEqual(
      received,
      received.slice().sort((a, b) => a - b),
    );
  });

  it("accepts the known contents packed", async () => {
    await download(fileAt("/packed"), target);
    assert.deepEqual(left(), ["table.csv"]);
  });

  for (const [path, reason] of [
    ["/other", "what arrived is not the known file (its sha256 differs)"],
    ["/missing", "the site answered 404 Not Found"],
    ["/short", "other side closed"],
  ]) {
    it(`leaves nothing behind, and what was there as it was, when ${reason}`, async () => {
      mkdirSync(join(place, "deep"), { recursive: true });
      writeFileSync(target, "before");
      const expected = new RunError(`cannot download ${site}${path}: ${reason}`);
      await assert.rejects(download(fileAt(path), target), ({ name, message }: Error) => {
        assert.deepEqual([name, message], [expected.name, expected.message]);
        return true;
      });
      assert.deepEqual(left(), ["table.csv"]);
      assert.equal(readFileSync(target, "utf8"), "before");
    });
  }

  it("stops when told to, and leaves nothing behind", async () => {
    const stop = new AbortController();
    const options = { signal: stop.signal, onProgress: () => stop.abort() };
    await assert.rejects(download(fileAt("/slow"), target, options), {
      message: `cannot download ${site}/slow: stopped`,
    });
    assert.deepEqual(left(), []);
  });
});

describe("locateFile", () => {
  const environment = { ...process.env };
  beforeEach(() => {
    process.env.NATGRAD_DATA = join(folder, "own");
    process.env.XDG_CACHE_HOME = join(folder, "cache");
    process.env.LOCALAPPDATA = join(folder, "cache");
    process.env.HOME = folder;
  });
  after(() => {
    process.env = environment;
  });
  const definition = (name: string): DatasetDefinition => ({
    name,
    summary: "",
    task: "regression",
    rows: 1,
    inputs: 1,
    licence: "",
    source: "https://example.org/page",
    files: [],
    load: () => Promise.reject(new Error("not loaded here")),
  });

  it("prefers $NATGRAD_DATA, then the cache, and accepts the file packed or not", async () => {
    const [own, cache] = dataFolders({ name: "one" });
    const file: DataFile = { name: "table.csv.gz", sha256 };
    mkdirSync(cache, { recursive: true });
    writeFileSync(join(cache, "table.csv.gz"), gzipSync(content));
    const cached = await locateFile(definition("one"), file);
    assert.deepEqual(cached, { paths: [join(cache, "table.csv.gz")], notices: [] });
    mkdirSync(own, { recursive: true });
    writeFileSync(join(own, "table.csv"), content);
    assert.deepEqual((await locateFile(definition("one"), file)).paths, [join(own, "table.csv")]);
  });

  it("uses a file that differs from the known one, and says so", async () => {
    const [own] = dataFolders({ name: "two" });
    mkdirSync(own, { recursive: true });
    const path = join(own, "table.csv");
    writeFileSync(path, "a,b\n3,4\n");
    assert.deepEqual(await locateFile(definition("two"), fileAt("/whole")), {
      paths: [path],
      notices: [`${path} differs from the known file (its sha256): figures may not compare`],
    });
  });

  it("downloads into the cache, once", async () => {
    const [, cache] = dataFolders({ name: "three" });
    const { paths } = await locateFile(definition("three"), fileAt("/whole"));
    assert.deepEqual(paths, [join(cache, "table.csv")]);
    assert.deepEqual((await locateFile(definition("three"), fileAt("/missing"))).paths, paths);
  });

  it("takes some of an archive's files for the archive, unless all are to be fetched", async () => {
    const [own, cache] = dataFolders({ name: "six" });
    const archive: DataFile = { ...fileAt("/whole"), name: "six.tar.gz", members: ["a.bin", "b.bin"] };
    mkdirSync(own, { recursive: true });
    writeFileSync(join(own, "b.bin.gz"), "a member");
    assert.deepEqual((await locateFile(definition("six"), archive)).paths, [join(own, "b.bin.gz")]);
    assert.deepEqual(await fetchFile(definition("six"), archive), [join(cache, "six.tar.gz")]);
    assert.deepEqual((await locateFile(definition("six"), archive)).paths, [join(cache, "six.tar.gz")]);
    writeFileSync(join(own, "a.bin"), "the other");
    const members = [join(own, "a.bin"), join(own, "b.bin.gz")];
    assert.deepEqual(await fetchFile(definition("six"), archive), members);
  });

  it("fetches anew what is damaged in the cache, and leaves the user's own files alone", async () => {
    const [own, cache] = dataFolders({ name: "seven" });
    const path = join(cache, "table.csv");
    mkdirSync(cache, { recursive: true });
    writeFileSync(path, content.subarray(0, 1000));
    await assert.rejects(fetchFile(definition("seven"), fileAt("/other")), /its sha256 differs/);
    assert.equal(readFileSync(path).length, 1000);
    assert.deepEqual(await fetchFile(definition("seven"), fileAt("/whole")), [path]);
    assert.deepEqual(readFileSync(path), content);
    assert.deepEqual(readdirSync(cache), ["table.csv"]);
    mkdirSync(own, { recursive: true });
    writeFileSync(join(own, "table.csv"), "a,b\n3,4\n");
    assert.deepEqual(await fetchFile(definition("seven"), fileAt("/whole")), [join(own, "table.csv")]);
  });

  it("says where to put the file when the site cannot be reached", async () => {
    const closed = createServer();
    await new Promise<void>((resolve) => closed.listen(0, "127.0.0.1", resolve));
    const { port } = closed.address() as AddressInfo;
    await new Promise((resolve) => closed.close(resolve));
    const [, cache] = dataFolders({ name: "four" });
    const file = { ...fileAt(""), url: `http://127.0.0.1:${port}/table.csv` };
    await assert.rejects(locateFile(definition("four"), file), {
      name: "RunError",
      message:
        `cannot download ${file.url}: connect ECONNREFUSED 127.0.0.1:${port}; try again, or put table.csv ` +
        `(or its .gz) into ${cache} by hand`,
    });
  });

  it("says where to get a file that needs an account", async () => {
    const [, cache] = dataFolders({ name: "five" });
    await assert.rejects(locateFile(definition("five"), { name: "table.csv.gz", sha256 }), {
      name: "RunError",
      message:
        "five cannot be downloaded without an account: get it from https://example.org/page and put table.csv " +
        `(or its .gz) into ${cache}`,
    });
  });
});
