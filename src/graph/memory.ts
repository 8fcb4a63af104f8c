/**
 * How much memory a traced computation takes besides its inputs and outputs, by its shapes alone.
 *
 * ONNX Runtime frees a result after the last node that reads it, so the order in which it runs them decides (`run-order.ts`).
 *
 * Reshapes share memory with their operand, a few activations overwrite it, and results of one shape follow each other in one place. Results live in an
 * arena, which takes more than they do (`arena.ts`), the more so in the second run, whose requests meet the pieces of the first.
 * What kernels take inside, packed panels and the like, is left out; so are constants, which are part of the model.
 */
import { bytesPerElement } from "../tensor.ts";
import { ArenaModel, type Piece } from "./arena.ts";
import type { NamedOutputs } from "./onnx.ts";
import { expand, rewrite } from "./rewrite.ts";
import { deepestFirst } from "./run-order.ts";
import { constantData, inputName, type SymbolicTensor, topologicalOrder } from "./symbolic.ts";

/** Bytes of the largest tensor that is computed on the way to the outputs; inputs and constants are not. */
export function largestTensor(outputs: NamedOutputs): number {
  const computed = topologicalOrder(expand(Object.values(outputs))).filter((node) => !isGiven(node));
  return Math.max(0, ...computed.map(bytesOf));
}

/** Bytes that an arena takes for the intermediate results of a computation as it is traced. */
export function peakBytes(outputs: readonly SymbolicTensor[]): number {
  return workingBytes(rewrite(outputs));
}

/**
 * Bytes that an arena takes for the intermediate results of a computation in the form in which it is lowered.
 *
 * @param copied results that lie in the arena, too, for ONNX Runtime copies them to outputs
 */
export function workingBytes(
  results: readonly SymbolicTensor[],
  copied: ReadonlySet<SymbolicTensor> = new Set(),
): number {
  const arena = new ArenaModel();
  const order = executionOrder(deepestFirst(results));
  const bound = results.map(storage).filter((node) => !copied.has(node));
  const buffers = planBuffers(order, new Set(bound));
  const all = order.reduce((total, node) => total + bytesOf(node), 0);
  for (let run = 0; run < (all > SMALL ? RUNS : 1); run++) runIn(arena, order.length, buffers);
  return arena.taken;
}

/** Runs after which an arena has all that it will take. */
const RUNS = 3;
/** Bytes of all results under which nobody minds what further runs would waste. */
const SMALL = 2 ** 24;

/** Memory for one result after the other. */
interface Buffer {
  readonly bytes: number;
  /** Nodes, by their number in the order: the first that writes it, the last that reads it. */
  readonly from: number;
  to: number;
}

/** Operations whose kernels may write over what they read. */
const IN_PLACE: ReadonlySet<string> = new Set(["relu", "sigmoid", "tanh"]);

/**
 * Which results share memory, as ONNX Runtime plans it before the first run: a result takes over the memory of one that is dead by then
 * and of its very shape, the latest first. That memory then is not free in between, however long that is.
 *
 * @param bound whose memory is not the arena's
 */
function planBuffers(order: readonly SymbolicTensor[], bound: ReadonlySet<SymbolicTensor>): Buffer[] {
  const readers = new Map<SymbolicTensor, number>();
  for (const node of order) {
    for (const operand of operands(node)) readers.set(operand, (readers.get(operand) ?? 0) + 1);
  }
  const buffers: Buffer[] = [];
  const used = new Map<SymbolicTensor, Buffer>();
  const free = new Map<string, Buffer[]>();
  const freeOf = (node: SymbolicTensor) => {
    const key = `${node.dtype} ${node.shape.join()}`;
    if (!free.has(key)) free.set(key, []);
    return free.get(key)!;
  };
  order.forEach((node, k) => {
    const dying = operands(node).filter((operand) => {
      const left = readers.get(operand)! - 1;
      readers.set(operand, left);
      return left === 0 && used.has(operand);
    });
    let overwritten: SymbolicTensor | undefined;
    if (!bound.has(node) && !isGiven(node)) {
      if (IN_PLACE.has(node.operation.name)) overwritten = dying[0];
      const shared = overwritten ? used.get(overwritten) : freeOf(node).pop();
      const buffer = shared ?? { bytes: bytesOf(node), from: k, to: k };
      if (!shared) buffers.push(buffer);
      used.set(node, buffer);
    }
    for (const operand of dying) {
      const buffer = used.get(operand)!;
      buffer.to = k;
      if (operand !== overwritten) freeOf(operand).push(buffer);
    }
  });
  return buffers;
}

/** Takes and releases memory as one run of so many nodes does. */
function runIn(arena: ArenaModel, count: number, buffers: readonly Buffer[]): void {
  const begins: Buffer[][] = Array.from({ length: count }, () => []);
  const ends: Buffer[][] = Array.from({ length: count }, () => []);
  for (const buffer of buffers) {
    begins[buffer.from].push(buffer);
    ends[buffer.to].push(buffer);
  }
  const pieces = new Map<Buffer, Piece>();
  for (let k = 0; k < count; k++) {
    for (const buffer of begins[k]) pieces.set(buffer, arena.allocate(buffer.bytes));
    for (const buffer of ends[k]) arena.release(pieces.get(buffer)!);
  }
}

/** The nodes that take memory of their own, in the order in which they run. */
function executionOrder(results: readonly SymbolicTensor[]): SymbolicTensor[] {
  const emitted = new Map(topologicalOrder(results).map((node, k) => [node, k] as const));
  const byEmission = (a: SymbolicTensor, b: SymbolicTensor) => emitted.get(a)! - emitted.get(b)!;
  const order: SymbolicTensor[] = [];
  const seen = new Set<SymbolicTensor>();
  const stack = results.map((node) => ({ node, done: false }));
  while (stack.length > 0) {
    const { node, done } = stack.pop()!;
    if (done) order.push(node);
    if (done || seen.has(node)) continue;
    seen.add(node);
    stack.push({ node, done: true });
    for (const operand of [...node.inputs].sort(byEmission)) stack.push({ node: operand, done: false });
  }
  return order.filter((node) => node === storage(node));
}

/** The node whose memory a node's value is in. */
export function storage(node: SymbolicTensor): SymbolicTensor {
  let current = node;
  while (current.operation.name === "reshape" || current.operation.name === "flatten")
    current = current.inputs[0];
  return current;
}

/** What a node reads, each once. */
function operands({ inputs }: SymbolicTensor): SymbolicTensor[] {
  return [...new Set(inputs.map(storage))];
}

/** Whether a node is an input or a constant. */
export function isGiven(node: SymbolicTensor): boolean {
  return inputName(node) !== undefined || constantData(node) !== undefined;
}

function bytesOf({ size, dtype }: SymbolicTensor): number {
  return size * bytesPerElement(dtype);
}
