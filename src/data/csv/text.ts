/** From a file's bytes to text, in pieces small enough not to hold up the event loop. */
import { isUtf8 } from "node:buffer";
import { UsageError } from "../../errors.ts";
import { readBytes } from "../bytes.ts";

const pieceBytes = 1 << 16;

/** A text file ready to be read piece by piece. */
export interface TextFile {
  /** What had to be guessed about the encoding. */
  readonly notices: readonly string[];
  /** The text in order, with `\n` line ends only; a piece may end anywhere. */
  pieces(): Generator<string>;
}

/**
 * Opens a text file: UTF-8 or UTF-16 with a byte-order mark, otherwise UTF-8, otherwise Windows-1252 with a notice.
 *
 * @throws UsageError as {@link readBytes}, and when the file is empty or not text
 */
export async function readText(path: string): Promise<TextFile> {
  const bytes = await readBytes(path);
  const mark = bytes.subarray(0, 2).toString("hex");
  if (mark === "fffe" || mark === "feff") {
    const encoding = mark === "fffe" ? "utf-16le" : "utf-16be";
    return { notices: [], pieces: () => decode(bytes, encoding) };
  }
  if (bytes.subarray(0, 4).toString("latin1") === "PK\x03\x04") {
    throw new UsageError(`${path} is a zip archive (unpack it and name the CSV file)`);
  }
  if (bytes.includes(0)) throw new UsageError(`${path} is not a text file (it has zero bytes)`);
  if (isUtf8(bytes)) return { notices: [], pieces: () => decode(bytes, "utf-8") };
  const notice = `${path} is not UTF-8; it is read as Windows-1252`;
  return { notices: [notice], pieces: () => decode(bytes, "windows-1252") };
}

/** Decodes and turns `\r\n` and `\r` into `\n`; a `\r` at the end of a piece waits for what follows. */
function* decode(bytes: Buffer, encoding: string): Generator<string> {
  const decoder = new TextDecoder(encoding);
  let held = "";
  for (let from = 0; from < bytes.length; from += pieceBytes) {
    const last = from + pieceBytes >= bytes.length;
    let text = held + decoder.decode(bytes.subarray(from, from + pieceBytes), { stream: !last });
    held = !last && text.endsWith("\r") ? "\r" : "";
    if (held) text = text.slice(0, -1);
    yield text.includes("\r") ? text.replace(/\r\n?/g, "\n") : text;
  }
}
