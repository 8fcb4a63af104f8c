import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { setTimeout as wait } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { RunError, UsageError } from "../../src/errors.ts";
import { Random } from "../../src/random.ts";
import { sizeOf, type Tensor, tensor } from "../../src/tensor.ts";
import { writeFileAtomically } from "../../src/training/atomic-file.ts";
import { readSafetensors, writeSafetensors } from "../../src/training/safetensors-file.ts";

const folder = mkdtempSync(join(tmpdir(), "natgrad-safetensors-"));
after(() => rmSync(folder, { recursive: true }));
const at = (name: string) => join(folder, name);

/** A file of the format from its parts, right or wrong. */
function handmade(header: unknown, data = new Uint8Array(), headerLength?: number): Buffer {
  const json = Buffer.from(typeof header === "string" ? header : JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(headerLength ?? json.length));
  return Buffer.concat([length, json, data]);
}

describe("safetensors", () => {
  it("gives back every element type, shape and text", async () => {
    const path = at("all.safetensors");
    const tensors = new Map<string, Tensor>([
      ["0.weight", tensor(Float32Array.of(1.5, -0, Number.NaN, Number.POSITIVE_INFINITY, 1e-45, 6), [2, 3])],
      ["7", tensor(Int32Array.of(-1, 2 ** 31 - 1, -(2 ** 31)))],
      ["mask", tensor(Uint8Array.of(0, 1, 255))],
      ["scalar", tensor(Float64Array.of(Math.PI), [])],
      ["empty", tensor(new Float32Array(0), [0, 4])],
      ["__proto__", tensor(Float64Array.of(2))],
      ['"quoted" – ñ', tensor(Float64Array.of(3))],
    ]);
    const metadata = { format: "natgrad", note: 'line\nbreak, "quotes", ∇ and 🙂' };
    await writeSafetensors(path, tensors, metadata);
    const read = await readSafetensors(path);
    assert.deepEqual(read.metadata, metadata);
    assert.deepEqual([...read.tensors.keys()].sort(), [...tensors.keys()].sort());
    for (const [name, expected] of tensors) assert.deepEqual(read.tensors.get(name), expected, name);
  });

  it("gives back any tensors bit by bit", async () => {
    const path = at("any.safetensors");
    const data = fc.oneof(fc.float32Array(), fc.float64Array(), fc.int32Array(), fc.uint8Array());
    await fc.assert(
      fc.asyncProperty(fc.dictionary(fc.string(), data, { maxKeys: 6 }), async (arrays) => {
        const named = new Map(
          Object.entries(arrays).map(([name, values]) => [name, tensor(values)] as const),
        );
        await writeSafetensors(path, named);
        const { tensors } = await readSafetensors(path);
        assert.equal(tensors.size, named.size);
        for (const [name, { data }] of named) {
          const found = tensors.get(name)!.data;
          assert.equal(found.constructor, data.constructor);
          assert.deepEqual(
            new Uint8Array(found.buffer),
            new Uint8Array(data.buffer, data.byteOffset, data.byteLength),
          );
        }
      }),
      { numRuns: 30, seed: 1 },
    );
  });

  it("writes what the format's description asks for", async () => {
    const path = at("layout.safetensors");
    await writeSafetensors(
      path,
      { a: tensor(Float32Array.of(1, 2, 3)), b: tensor(Float64Array.of(4)) },
      { k: "v" },
    );
    const bytes = readFileSync(path);
    const headerLength = Number(bytes.readBigUInt64LE());
    assert.equal(headerLength % 8, 0);
    const header = bytes.toString("utf8", 8, 8 + headerLength);
    assert.match(header, /^\{.*\} *$/);
    assert.deepEqual(JSON.parse(header), {
      __metadata__: { k: "v" },
      b: { dtype: "F64", shape: [1], data_offsets: [0, 8] },
      a: { dtype: "F32", shape: [3], data_offsets: [8, 20] },
    });
    assert.equal(bytes.length, 8 + headerLength + 20);
    assert.equal(bytes.readDoubleLE(8 + headerLength), 4);
    assert.equal(bytes.readFloatLE(8 + headerLength + 8 + 4), 2);
  });

  it("writes only the window of an array that a tensor shows", async () => {
    const path = at("window.safetensors");
    await writeSafetensors(path, { part: tensor(Float32Array.of(1, 2, 3, 4).subarray(1, 3)) });
    const { tensors } = await readSafetensors(path);
    assert.deepEqual(tensors.get("part"), tensor(Float32Array.of(2, 3)));
  });

  it("reads BOOL, and I64 that fits 32 bits", async () => {
    const path = at("foreign.safetensors");
    const data = new Uint8Array(18);
    new BigInt64Array(data.buffer, 0, 2).set([-5n, 2n ** 31n - 1n]);
    data.set([1, 0], 16);
    const header = {
      classes: { dtype: "I64", shape: [2], data_offsets: [0, 16] },
      mask: { dtype: "BOOL", shape: [2], data_offsets: [16, 18] },
    };
    writeFileSync(path, handmade(header, data));
    const { tensors } = await readSafetensors(path);
    assert.deepEqual(tensors.get("classes"), tensor(Int32Array.of(-5, 2 ** 31 - 1)));
    assert.deepEqual(tensors.get("mask"), tensor(Uint8Array.of(1, 0)));

    new BigInt64Array(data.buffer, 0, 2).set([2n ** 31n, 0n]);
    writeFileSync(path, handmade(header, data));
    await assert.rejects(readSafetensors(path), /tensor "classes" has I64 values beyond 32 bits$/);
  });

  const whole = { dtype: "F32", shape: [2], data_offsets: [0, 8] };
  const eight = new Uint8Array(8);
  const damaged: [string, Uint8Array, RegExp][] = [
    ["an empty file", new Uint8Array(0), /not a safetensors file \(0 bytes\)$/],
    ["a text", Buffer.from("epoch,loss\n1,0.5\n2,0.25\n"), /not a safetensors file$/],
    ["a header that does not begin with {", handmade("[1,2,3]"), /not a safetensors file$/],
    [
      "a header cut short",
      handmade('{"a":{"dty', eight, 500),
      /cut short: 26 bytes, and the header alone takes 508$/,
    ],
    ["a header that is no JSON", handmade("{nonsense}"), /the header is not valid JSON$/],
    [
      "data cut short",
      handmade({ a: whole }, eight.subarray(3)),
      /cut short: the tensors take 8 bytes and 5 are there$/,
    ],
    ["bytes at the end", handmade({ a: whole }, new Uint8Array(9)), /1 stray bytes after the last tensor$/],
    [
      "a gap",
      handmade({ a: whole, b: { ...whole, data_offsets: [12, 20] } }, new Uint8Array(20)),
      /4 stray bytes before tensor "b"$/,
    ],
    [
      "an overlap",
      handmade({ a: whole, b: { ...whole, data_offsets: [4, 12] } }, new Uint8Array(12)),
      /tensor "b" overlaps the one before it$/,
    ],
    [
      "an unknown dtype",
      handmade({ a: { ...whole, dtype: "F8_E4M3" } }, eight),
      /tensor "a" has the unsupported dtype "F8_E4M3" \(must be one of F64, I64, F32, I32, U8, BOOL\)$/,
    ],
    [
      "a shape that disagrees with its bytes",
      handmade({ a: { ...whole, shape: [3] } }, eight),
      /tensor "a" takes 8 bytes, but F32 of shape \(3\) takes 12$/,
    ],
    [
      "a negative dimension",
      handmade({ a: { ...whole, shape: [-2] } }, eight),
      /"a" has the invalid shape \[-2\]$/,
    ],
    [
      "offsets that run backwards",
      handmade({ a: { ...whole, data_offsets: [8, 0] } }, eight),
      /tensor "a" has the invalid data_offsets \[8,0\]$/,
    ],
    ["a tensor that is no object", handmade({ a: 1 }), /tensor "a" is not described by an object$/],
    [
      "metadata that is not text",
      handmade({ __metadata__: { a: 1 } }),
      /the metadata must map texts to texts$/,
    ],
  ];
  for (const [what, bytes, message] of damaged) {
    it(`refuses ${what} in one line`, async () => {
      const path = at("damaged.safetensors");
      await writeFile(path, bytes);
      await assert.rejects(readSafetensors(path), (error: Error) => {
        assert.ok(error instanceof RunError);
        assert.ok(error.message.startsWith(`cannot read ${path}: `));
        assert.match(error.message, message);
        return true;
      });
    });
  }

  it("refuses every shorter version of a good file", async () => {
    const path = at("short.safetensors");
    await writeSafetensors(
      path,
      { a: tensor(Float32Array.of(1, 2)), b: tensor(Float64Array.of(3)) },
      { k: "v" },
    );
    const bytes = readFileSync(path);
    for (let length = 0; length < bytes.length; length += 7) {
      writeFileSync(path, bytes.subarray(0, length));
      await assert.rejects(readSafetensors(path), RunError, `${length} bytes`);
    }
  });

  it("says when there is no such file", async () => {
    await assert.rejects(readSafetensors(at("none")), new UsageError(`no such file: ${at("none")}`));
  });
});

describe("an atomic save", () => {
  it("keeps the old file and removes its temporary when it fails", async () => {
    const place = at("failing");
    await mkdir(place);
    const path = join(place, "model.safetensors");
    await writeSafetensors(path, { a: tensor([1]) });
    const pieces = function* () {
      yield Uint8Array.of(1);
      throw new Error("disk full");
    };
    await assert.rejects(writeFileAtomically(path, pieces()), /disk full/);
    assert.deepEqual(readdirSync(place), ["model.safetensors"]);
    assert.deepEqual((await readSafetensors(path)).tensors.get("a"), tensor([1]));
  });

  it("clears away the temporary of a killed process, and no living one's", async () => {
    const place = at("stale");
    await mkdir(place);
    const { pid: gone } = spawnSync(process.execPath, ["--version"]);
    const living = `.model.safetensors.${process.pid}-0.tmp`;
    for (const name of [`.model.safetensors.${gone}-0.tmp`, living]) writeFileSync(join(place, name), "half");
    await writeSafetensors(join(place, "model.safetensors"), { a: tensor([1]) });
    assert.deepEqual(readdirSync(place).sort(), [living, "model.safetensors"]);
  });

  it("lets saves of one file overlap", async () => {
    const path = at("overlapping.safetensors");
    await Promise.all([1, 2, 3, 4].map((value) => writeSafetensors(path, { a: tensor([value, value]) })));
    const [first, second] = (await readSafetensors(path)).tensors.get("a")!.data;
    assert.equal(first, second);
  });

  it("survives SIGKILL at 20 random moments", { timeout: 60_000 }, async () => {
    const place = at("killed");
    await mkdir(place);
    const random = new Random(7);
    const delays = Array.from({ length: 20 }, () => random.uniform() * 40);
    const outcomes = [];
    for (let first = 0; first < 20; first += 5) {
      outcomes.push(...(await Promise.all(delays.slice(first, first + 5).map(saveAndKill))));
    }
    assert.ok(new Set(outcomes).size > 1, `every child was killed at the same version: ${outcomes}`);

    /** The version found after killing a child `delay` ms after its first save. */
    async function saveAndKill(delay: number): Promise<number> {
      const path = join(place, `${delays.indexOf(delay)}.safetensors`);
      const script = fileURLToPath(new URL("save-forever.ts", import.meta.url));
      const child = spawn(process.execPath, ["--import", "tsx", script, path], {
        stdio: ["ignore", "pipe", "inherit"],
      });
      await once(child.stdout, "data");
      await wait(delay);
      child.kill("SIGKILL");
      await once(child, "exit");
      const { tensors, metadata } = await readSafetensors(path);
      const version = Number(metadata.version);
      for (const name of ["weights", "biases"]) {
        const { shape, data } = tensors.get(name)!;
        assert.equal(data.length, sizeOf(shape));
        assert.ok(
          (data as Float32Array).every((value) => value === version),
          `${name} of version ${version}`,
        );
      }
      return version;
    }
  });
});
