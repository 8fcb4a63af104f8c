/**
 * Lowered models by what was traced. Trainers that differ in learning rate, damping, seed or weights alone trace the same
 * computations, and rewriting and encoding one takes several times as long as telling that it is known.
 */
import { computationKey } from "./keys.ts";
import { type LoweringOptions, lowerToOnnx, type NamedOutputs } from "./onnx.ts";
import type { OnnxModel } from "./onnx-model.ts";

/** Bytes of models and keys that are kept, and of one model that is worth keeping. */
const KEPT = 16 * 2 ** 20;
const LARGEST = 2 ** 20;

/** The one that was used least recently first. */
const models = new Map<string, OnnxModel>();
let bytes = 0;

/** {@link lowerToOnnx}, or what it gave for the same computation under the same options. The model must not be changed. */
export function lowered(outputs: NamedOutputs, options: LoweringOptions = {}): OnnxModel {
  const computation = computationKey(outputs);
  if (computation === undefined) return lowerToOnnx(outputs, options);
  const { missing = [], inPlace = [] } = options;
  const key = `${[...missing]};${inPlace.map((pair) => pair.join())};${computation}`;
  const known = models.get(key);
  const model = known ?? lowerToOnnx(outputs, options);
  if (known !== undefined) models.delete(key);
  else if (size(key, model) <= LARGEST) bytes += size(key, model);
  else return model;
  models.set(key, model);
  for (const [oldest, other] of models) {
    if (bytes <= KEPT) break;
    models.delete(oldest);
    bytes -= size(oldest, other);
  }
  return model;
}

function size(key: string, model: OnnxModel): number {
  return model.bytes.length + 2 * key.length;
}
