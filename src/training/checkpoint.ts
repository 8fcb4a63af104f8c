/** Checkpoints: everything that decides the next bit, as one safetensors file or as the bytes of one. */
import { UsageError } from "../errors.ts";
import type { Method, MethodMemory } from "../optimizers/optimizer.ts";
import type { RandomState } from "../random.ts";
import { formatShape, type NamedTensors, sameShape, type Tensor } from "../tensor.ts";
import { bytesInMemory, decodeSafetensors, encodeSafetensors, type Safetensors } from "./safetensors.ts";
import { readSafetensors, writeSafetensors } from "./safetensors-file.ts";

/** Where training stands. */
export interface Progress {
  /** Epochs finished. */
  readonly epoch: number;
  /** Batches taken of the epoch under way. */
  readonly batch: number;
  /** Steps taken. */
  readonly step: number;
  /** Seconds of training, compilation and evaluation left out. */
  readonly seconds: number;
}

/** What a checkpoint belongs to; compared with the trainer that resumes it. */
export interface Identity {
  readonly model: string;
  readonly inputShape: readonly number[];
  readonly likelihood: string;
  readonly dtype: string;
  readonly optimizer: string;
  readonly seed: number;
}

interface Saved {
  readonly format: "natgrad checkpoint 1";
  readonly identity: Identity;
  readonly progress: Progress;
  /** Rows of a batch; an epoch under way can only go on with the same. */
  readonly batchSize: number;
  readonly random: RandomState;
  readonly method: Readonly<Record<string, unknown>>;
}

const FORMAT = "natgrad checkpoint 1";
const PARAMETER = "parameter/";

export type CheckpointContents = Pick<Saved, "identity" | "progress" | "batchSize" | "random">;

/** A checkpoint: the path of its file, or its bytes. */
export type CheckpointSource = string | Uint8Array;

/** Writes a checkpoint atomically. */
export async function writeCheckpoint(
  path: string,
  method: Method,
  contents: CheckpointContents,
): Promise<void> {
  const { tensors, metadata } = gather(method, contents);
  await writeSafetensors(path, tensors, metadata);
}

/** The bytes that {@link writeCheckpoint} would write. */
export function encodeCheckpoint(method: Method, contents: CheckpointContents): Uint8Array {
  const { tensors, metadata } = gather(method, contents);
  const pieces = encodeSafetensors(tensors, metadata);
  const bytes = new Uint8Array(pieces.reduce((total, { length }) => total + length, 0));
  let end = 0;
  for (const piece of pieces) {
    bytes.set(piece, end);
    end += piece.length;
  }
  return bytes;
}

/**
 * Reads a checkpoint into a method.
 *
 * @throws UsageError when the file is missing, is no checkpoint of natgrad, or belongs to another model
 */
export async function readCheckpoint(
  source: CheckpointSource,
  method: Method,
  identity: Identity,
  { batchSize }: { readonly batchSize: number },
): Promise<Pick<CheckpointContents, "progress" | "random">> {
  const name = typeof source === "string" ? source : "the data given";
  const { tensors, metadata } =
    typeof source === "string"
      ? await readSafetensors(source)
      : await decodeSafetensors(bytesInMemory(source, name));
  const saved = parse(name, metadata.natgrad);
  checkIdentity(name, saved.identity, identity);
  if (saved.progress.batch > 0 && saved.batchSize !== batchSize) {
    throw new UsageError(
      `${name} was saved within an epoch of batches of ${saved.batchSize}, not ${batchSize} (resume with the same batch size)`,
    );
  }
  const state = [...method.state.specs].map(([key, { shape }]) => {
    return [key, find(name, tensors, fileName(key), shape)] as const;
  });
  recall(name, method, { tensors, values: saved.method });
  for (const [key, { data }] of state) method.state.current[key].set(data); // once nothing can fail any more
  return { progress: saved.progress, random: saved.random };
}

/**
 * Parameters go by their own names (`0.weight`), as other tools expect them; state by `velocity/0.weight`, curvature by
 * `curvature/…`.
 */
function gather(method: Method, contents: CheckpointContents): Safetensors {
  const { tensors, values } = method.remember();
  const state = [...method.state.snapshot()].map(([name, value]) => [fileName(name), value] as const);
  const saved: Saved = { format: FORMAT, ...contents, method: values };
  return { tensors: new Map([...state, ...tensors]), metadata: { natgrad: JSON.stringify(saved) } };
}

function recall(path: string, method: Method, memory: MethodMemory): void {
  try {
    method.recall(memory);
  } catch (error) {
    if (error instanceof UsageError) throw new UsageError(`${path} does not fit: ${error.message}`);
    throw error;
  }
}

function fileName(state: string): string {
  return state.startsWith(PARAMETER) ? state.slice(PARAMETER.length) : state;
}

function parse(path: string, json: string | undefined): Saved {
  try {
    const saved = JSON.parse(json ?? "null") as Saved | null;
    if (saved?.format === FORMAT) return saved;
  } catch {
    // no JSON, so not ours either
  }
  throw new UsageError(`${path} is not a checkpoint of natgrad`);
}

function checkIdentity(path: string, saved: Identity, own: Identity): void {
  for (const key of ["model", "inputShape", "likelihood", "dtype", "optimizer", "seed"] as const) {
    if (String(saved[key]) !== String(own[key])) {
      throw new UsageError(
        `${path} is a checkpoint of another run: its ${key} is ${saved[key]}, not ${own[key]}`,
      );
    }
  }
}

function find(path: string, tensors: NamedTensors, name: string, shape: readonly number[]): Tensor {
  const tensor = tensors.get(name);
  if (!tensor) throw new UsageError(`${path} has no tensor ${name}`);
  if (!sameShape(tensor.shape, shape)) {
    throw new UsageError(
      `${path}: ${name} is ${formatShape(tensor.shape)}, the model's is ${formatShape(shape)}`,
    );
  }
  return tensor;
}
