/**
 * How much memory a traced computation takes besides its inputs and outputs, by its shapes alone.
 *
 * ONNX Runtime frees a result after the last node that reads it, so the order in which it runs them decides (`run-order.ts`).
 *
 * Reshapes share memory with their operand, and elementwise results overwrite an operand that nobody reads any more. Results live in an
 * arena, which takes more than they do (`arena.ts`), the more so in the second run, whose requests meet the pieces of the first.
 * What kernels take inside, packed panels and the like, is left out; so are constants, which are part of the model.
 */
import { bytesPerElement } from "../tensor.ts";
import { ArenaModel, type Piece } from "./arena.ts";
import type { NamedOutputs } from "./onnx.ts";
import { optimize } from "./optimize.ts";
import { rewrite } from "./rewrite.ts";
import { deepestFirst } from "./run-order.ts";
import { constantData, inputName, type SymbolicTensor, topologicalOrder } from "./symbolic.ts";

/** Bytes of the largest tensor that is computed on the way to the outputs; inputs and constants are not. */
export function largestTensor(outputs: NamedOutputs): number {
  const computed = topologicalOrder(optimize(Object.values(outputs))).filter((node) => !isGiven(node));
  return Math.max(0, ...computed.map(bytesOf));
}

/** Bytes that an arena takes for the intermediate results of a computation as it is traced. */
export function peakBytes(outputs: readonly SymbolicTensor[]): number {
  return workingBytes(rewrite(outputs));
}

/** Bytes that an arena takes for the intermediate results of a computation in the form in which it is lowered. */
export function workingBytes(results: readonly SymbolicTensor[]): number {
  const arena = new ArenaModel();
  const order = executionOrder(deepestFirst(results));
  const bound = new Set(results.map(storage));
  const all = order.reduce((total, node) => total + bytesOf(node), 0);
  for (let run = 0; run < (all > SMALL ? RUNS : 1); run++) runIn(arena, order, bound);
  return arena.taken;
}

/** Runs after which an arena has all that it will take. */
const RUNS = 3;
/** Bytes of all results under which nobody minds what further runs would waste. */
const SMALL = 2 ** 24;

/** @param bound whose memory is not the arena's */
function runIn(
  arena: ArenaModel,
  order: readonly SymbolicTensor[],
  bound: ReadonlySet<SymbolicTensor>,
): void {
  const readers = new Map<SymbolicTensor, number>();
  for (const node of order) {
    for (const operand of operands(node)) readers.set(operand, (readers.get(operand) ?? 0) + 1);
  }
  const pieces = new Map<SymbolicTensor, Piece>();
  for (const node of order) {
    const dying = operands(node).filter((operand) => {
      const left = readers.get(operand)! - 1;
      readers.set(operand, left);
      return left === 0;
    });
    if (!bound.has(node) && !isGiven(node)) {
      const overwritten = node.operation.elementwise
        ? dying.find((operand) => pieces.has(operand) && bytesOf(operand) === bytesOf(node))
        : undefined;
      pieces.set(node, overwritten ? pieces.get(overwritten)! : arena.allocate(bytesOf(node)));
      if (overwritten) pieces.delete(overwritten);
    }
    for (const operand of dying) {
      const piece = pieces.get(operand);
      if (piece) arena.release(piece);
      pieces.delete(operand);
    }
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
function storage(node: SymbolicTensor): SymbolicTensor {
  let current = node;
  while (current.operation.name === "reshape") current = current.inputs[0];
  return current;
}

/** What a node reads, each once. */
function operands({ inputs }: SymbolicTensor): SymbolicTensor[] {
  return [...new Set(inputs.map(storage))];
}

function isGiven(node: SymbolicTensor): boolean {
  return inputName(node) !== undefined || constantData(node) !== undefined;
}

function bytesOf({ size, dtype }: SymbolicTensor): number {
  return size * bytesPerElement(dtype);
}
