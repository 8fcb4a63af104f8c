/** Small image files in the formats of the real ones. */
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";

/** An idx file: its magic number, its sizes, its bytes. */
export function idx(magic: number, sizes: readonly number[], items: Uint8Array): Buffer {
  const header = Buffer.alloc(4 + 4 * sizes.length);
  [magic, ...sizes].forEach((value, at) => {
    header.writeUInt32BE(value, 4 * at);
  });
  return Buffer.concat([header, items]);
}

export function idxImages(count: number, height: number, width: number, pixel = patterned): Buffer {
  return idx(2051, [count, height, width], bytes(count * height * width, pixel));
}

export function idxLabels(count: number, label = (at: number) => at % 10): Buffer {
  return idx(2049, [count], bytes(count, label));
}

/** Records of CIFAR-10 or CIFAR-100: labels 3, 4, 5, …, the coarse one of CIFAR-100 always 7. */
export function cifar(count: number, { fine = false, label = (at: number) => (3 + at) % 10 } = {}): Buffer {
  const records = Array.from({ length: count }, (_, at) => {
    const labels = fine ? [7, label(at)] : [label(at)];
    return Buffer.concat([Buffer.from(labels), bytes(3072, (k) => patterned(3072 * at + k))]);
  });
  return Buffer.concat(records);
}

/** A tar archive of files by path. */
export function tar(files: Readonly<Record<string, Uint8Array>>): Buffer {
  const blocks = Object.entries(files).flatMap(([path, content]) => {
    const header = Buffer.alloc(512);
    header.write(path, 0);
    header.write(`${content.length.toString(8).padStart(11, "0")}\0`, 124);
    header.write(" ".repeat(8), 148);
    header.write("0", 156);
    header.write("ustar\x0000", 257);
    const sum = header.reduce((total, byte) => total + byte);
    header.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
    return [header, content, Buffer.alloc((512 - (content.length % 512)) % 512)];
  });
  return Buffer.concat([...blocks, Buffer.alloc(1024)]);
}

/** Four files like MNIST's, with `count` images to train on and to validate. */
export function writeMnist(folder: string, count = 40): void {
  const files = {
    "train-images-idx3-ubyte": idxImages(count, 28, 28),
    "train-labels-idx1-ubyte": idxLabels(count),
    "t10k-images-idx3-ubyte": idxImages(count, 28, 28),
    "t10k-labels-idx1-ubyte": idxLabels(count),
  };
  for (const [name, content] of Object.entries(files)) writeFile(`${folder}/${name}`, content);
}

/** Writes a file and the folders that it is in. */
export function writeFile(path: string, content: Uint8Array): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, content);
}

/** Bytes without an obvious period. */
function patterned(at: number): number {
  return (at * 7 + (at >> 5)) % 256;
}

function bytes(length: number, value: (at: number) => number): Uint8Array {
  return Uint8Array.from({ length }, (_, at) => value(at));
}
