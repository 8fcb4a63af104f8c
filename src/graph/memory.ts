/** How much memory a traced computation needs, by its shapes alone. */
import { bytesPerElement } from "../tensor.ts";
import type { NamedOutputs } from "./onnx.ts";
import { optimize } from "./optimize.ts";
import { constantData, inputName, topologicalOrder } from "./symbolic.ts";

/** Bytes of the largest tensor that is computed on the way to the outputs; inputs and constants are not. */
export function largestTensor(outputs: NamedOutputs): number {
  const computed = topologicalOrder(optimize(Object.values(outputs))).filter(
    (node) => inputName(node) === undefined && constantData(node) === undefined,
  );
  return Math.max(0, ...computed.map(({ size, dtype }) => size * bytesPerElement(dtype)));
}
