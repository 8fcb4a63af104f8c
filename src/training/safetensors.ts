/**
 * The safetensors format: tensors by name in one file that other tools read too.
 *
 *     8 bytes   length of the header, little-endian
 *     header    JSON { name: { dtype, shape, data_offsets: [begin, end] }, __metadata__: { key: text } }, padded with spaces
 *     data      the tensors' numbers, little-endian, row-major, without gaps
 *
 * Reference: https://huggingface.co/docs/safetensors (format description).
 */

import { RunError } from "../errors.ts";
import type { DType, NamedTensors, NamedTensorsLike, Tensor, TypedArray } from "../tensor.ts";
import { allocate, bytesPerElement, dtypeOf, sizeOf, toNamedTensors } from "../tensor.ts";

export interface Safetensors {
  /** In the order in which their data lie in the file. */
  tensors: NamedTensors;
  metadata: Record<string, string>;
}

/** Where bytes are read from: a file (`safetensors-file.ts`) or memory ({@link bytesInMemory}). */
export interface ByteSource {
  /** For messages: a path, or what the bytes are in words. */
  readonly name: string;
  /** In bytes. */
  readonly size: number;
  /** Fills `target` with the bytes from `position` on; asked only for what lies within `size`. */
  read(target: Uint8Array, position: number): Promise<void>;
}

interface Entry {
  name: string;
  dtype: keyof typeof stored;
  shape: number[];
  begin: number;
  end: number;
}

/** The element types of the format that we read: bytes per element, and the host type that holds them. */
const stored = {
  F64: { bytes: 8, dtype: "float64" },
  I64: { bytes: 8, dtype: "int32" },
  F32: { bytes: 4, dtype: "float32" },
  I32: { bytes: 4, dtype: "int32" },
  U8: { bytes: 1, dtype: "bool" },
  BOOL: { bytes: 1, dtype: "bool" },
} as const satisfies Record<string, { bytes: number; dtype: DType }>;

/** Host type → the type it is written as. Bytes go out as U8, which any value fits; BOOL allows 0 and 1 only. */
const written = { float64: "F64", float32: "F32", int32: "I32", bool: "U8" } as const satisfies Record<
  DType,
  keyof typeof stored
>;

/** The format's own limit: what claims a longer header is not a safetensors file. */
const longestHeader = 100_000_000;

/**
 * Encodes tensors and metadata, in pieces to be written one after another. The tensors' pieces are their own memory, not
 * copies.
 */
export function encodeSafetensors(
  tensors: NamedTensorsLike,
  metadata: Readonly<Record<string, string>> = {},
): Uint8Array[] {
  // Widest elements first keeps every tensor aligned to its element; the sort is stable.
  const ordered = [...toNamedTensors(tensors)].sort(([, a], [, b]) => elementBytes(b) - elementBytes(a));
  return [encodeHeader(ordered, metadata), ...ordered.map(([, { data }]) => bytesOf(data))];
}

/**
 * Decodes tensors, one at a time. F32, F64, I32, U8 and BOOL are kept as they are; I64 becomes int32 when its values fit.
 *
 * @throws RunError in one line when it is not in the format, is cut short or contradicts itself
 */
export async function decodeSafetensors(source: ByteSource): Promise<Safetensors> {
  const { entries, metadata, dataStart } = await readHeader(source);
  const tensors: NamedTensors = new Map();
  for (const entry of entries) tensors.set(entry.name, await readTensor(source, entry, dataStart));
  return { tensors, metadata };
}

/** Bytes that are here already. */
export function bytesInMemory(bytes: Uint8Array, name: string): ByteSource {
  return {
    name,
    size: bytes.length,
    async read(target, position) {
      target.set(bytes.subarray(position, position + target.length));
    },
  };
}

function encodeHeader(tensors: [string, Tensor][], metadata: Readonly<Record<string, string>>): Uint8Array {
  let end = 0;
  const fields = tensors.map(([name, { shape, data }]) => {
    if (name === "__metadata__") throw new Error(`invalid tensor name: ${name} (the format reserves it)`);
    const begin = end;
    end += data.byteLength;
    const entry = { dtype: written[dtypeOf(data)], shape, data_offsets: [begin, end] };
    return `${JSON.stringify(name)}:${JSON.stringify(entry)}`;
  });
  if (Object.keys(metadata).length > 0) fields.unshift(`"__metadata__":${JSON.stringify(metadata)}`);
  const json = new TextEncoder().encode(`{${fields.join(",")}}`);
  const header = new Uint8Array(8 + Math.ceil(json.length / 8) * 8).fill(" ".charCodeAt(0));
  new DataView(header.buffer).setBigUint64(0, BigInt(header.length - 8), true);
  header.set(json, 8);
  return header;
}

async function readHeader(source: ByteSource) {
  const { name: origin, size: fileSize } = source;
  if (fileSize < 8) throw broken(origin, `not a safetensors file (${fileSize} bytes)`);
  const lengthField = new Uint8Array(8);
  await source.read(lengthField, 0);
  const length = Number(new DataView(lengthField.buffer).getBigUint64(0, true));
  if (length < 2 || length > longestHeader) throw broken(origin, "not a safetensors file");

  const header = new Uint8Array(Math.min(length, fileSize - 8));
  await source.read(header, 8);
  if (header[0] !== "{".charCodeAt(0)) throw broken(origin, "not a safetensors file");
  if (8 + length > fileSize) {
    throw broken(origin, `cut short: ${fileSize} bytes, and the header alone takes ${8 + length}`);
  }
  const { entries, metadata } = parseHeader(origin, header);
  checkOffsets(origin, entries, fileSize - 8 - length);
  return { entries, metadata, dataStart: 8 + length };
}

function parseHeader(origin: string, bytes: Uint8Array) {
  let header: unknown;
  try {
    header = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch {
    throw broken(origin, "the header is not valid JSON");
  }
  const entries: Entry[] = [];
  let metadata: Record<string, string> = {};
  for (const [name, value] of Object.entries(header as object)) {
    if (name === "__metadata__") metadata = parseMetadata(origin, value);
    else entries.push(parseEntry(origin, name, value));
  }
  return { entries: entries.sort((a, b) => a.begin - b.begin || a.end - b.end), metadata };
}

function parseMetadata(origin: string, value: unknown): Record<string, string> {
  if (!isObject(value) || !Object.values(value).every((text) => typeof text === "string")) {
    throw broken(origin, "the metadata must map texts to texts");
  }
  return value as Record<string, string>;
}

function parseEntry(origin: string, name: string, value: unknown): Entry {
  const where = `tensor ${JSON.stringify(name)}`;
  if (!isObject(value)) throw broken(origin, `${where} is not described by an object`);
  const { dtype, shape, data_offsets: offsets } = value;
  if (typeof dtype !== "string" || !Object.hasOwn(stored, dtype)) {
    const known = Object.keys(stored).join(", ");
    throw broken(
      origin,
      `${where} has the unsupported dtype ${JSON.stringify(dtype)} (must be one of ${known})`,
    );
  }
  if (!isCounts(shape)) throw broken(origin, `${where} has the invalid shape ${JSON.stringify(shape)}`);
  if (!isCounts(offsets) || offsets.length !== 2 || offsets[0] > offsets[1]) {
    throw broken(origin, `${where} has the invalid data_offsets ${JSON.stringify(offsets)}`);
  }
  const entry = { name, dtype: dtype as Entry["dtype"], shape, begin: offsets[0], end: offsets[1] };
  const expected = sizeOf(shape) * stored[entry.dtype].bytes;
  if (entry.end - entry.begin !== expected) {
    const found = entry.end - entry.begin;
    throw broken(
      origin,
      `${where} takes ${found} bytes, but ${dtype} of shape (${shape.join(", ")}) takes ${expected}`,
    );
  }
  return entry;
}

/** The data must be covered from end to end, once: the format allows neither gaps nor overlaps. */
function checkOffsets(origin: string, entries: readonly Entry[], dataLength: number): void {
  let covered = 0;
  for (const { name, begin, end } of entries) {
    if (begin < covered) throw broken(origin, `tensor ${JSON.stringify(name)} overlaps the one before it`);
    if (begin > covered)
      throw broken(origin, `${begin - covered} stray bytes before tensor ${JSON.stringify(name)}`);
    covered = end;
  }
  if (covered > dataLength) {
    throw broken(origin, `cut short: the tensors take ${covered} bytes and ${dataLength} are there`);
  }
  if (covered < dataLength) throw broken(origin, `${dataLength - covered} stray bytes after the last tensor`);
}

async function readTensor(source: ByteSource, entry: Entry, dataStart: number): Promise<Tensor> {
  const position = dataStart + entry.begin;
  const length = sizeOf(entry.shape);
  if (entry.dtype === "I64") {
    const wide = new BigInt64Array(length);
    await source.read(bytesOf(wide), position);
    const data = Int32Array.from(wide, Number);
    if (data.some((value, index) => BigInt(value) !== wide[index])) {
      throw broken(source.name, `tensor ${JSON.stringify(entry.name)} has I64 values beyond 32 bits`);
    }
    return { shape: entry.shape, data };
  }
  const data = allocate(stored[entry.dtype].dtype, length);
  await source.read(bytesOf(data), position);
  return { shape: entry.shape, data };
}

function bytesOf(view: ArrayBufferView): Uint8Array {
  return new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
}

function elementBytes({ data }: { data: TypedArray }): number {
  return bytesPerElement(dtypeOf(data));
}

function isCounts(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((item) => Number.isSafeInteger(item) && item >= 0);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The error for a file that cannot be made sense of. */
export function broken(origin: string, reason: string): RunError {
  return new RunError(`cannot read ${origin}: ${reason}`);
}
