/**
 * Which results may be written where an operand lies.
 *
 * A runtime that is given the same memory for an input and an output knows nothing of it: it runs the operations in any order
 * that their operands allow, and the first one to write is the end of the input. So every other reader of the input must come
 * before the writer, which it does for certain if the writer depends on it, and the writer, if it is a reader too, must read each
 * number of the input before it writes that number: elementwise operations do, and a product does with the matrix that it is
 * added to.
 */
import { sameShape } from "../tensor.ts";
import { gemmAttributes } from "./fuse.ts";
import type { InPlacePair } from "./onnx-model.ts";
import { inputName, type SymbolicTensor, topologicalOrder } from "./symbolic.ts";

/**
 * Checks that outputs can overwrite inputs.
 *
 * @throws Error naming the first pair that cannot
 */
export function checkInPlace(
  outputs: ReadonlyMap<string, SymbolicTensor>,
  pairs: readonly InPlacePair[],
): void {
  if (pairs.length === 0) return;
  const order = topologicalOrder([...outputs.values()]);
  for (const [output, name] of pairs) {
    const writer = outputs.get(output);
    const overwritten = order.find((node) => inputName(node) === name);
    if (!writer || !overwritten) throw new Error(`${output} and ${name} are not an output and an input`);
    const readers = order.filter(({ inputs }) => inputs.includes(overwritten));
    const before = new Set(topologicalOrder([writer]));
    const inTime = readers.every((reader) => before.has(reader));
    const inOrder = !readers.includes(writer) || readsInOrder(writer, overwritten);
    if (!inTime || !inOrder || [...outputs.values()].includes(overwritten)) {
      throw new Error(`${output} cannot overwrite ${name}: something else may read it later`);
    }
  }
}

/** Whether an operation reads each number of an operand before it writes the result's number of that place. */
function readsInOrder(writer: SymbolicTensor, operand: SymbolicTensor): boolean {
  if (!sameShape(writer.shape, operand.shape) || writer.dtype !== operand.dtype) return false;
  if (!gemmAttributes(writer)) return writer.operation.elementwise === true;
  return !writer.inputs.slice(0, 2).includes(operand);
}
