/** What a model's tensors are before training. */
import type { BuiltModel } from "../nn/index.ts";
import { Random } from "../random.ts";
import { type NamedTensors, sizeOf } from "../tensor.ts";

/** Initial values of a model's parameters, each from its own stream: those that a trainer of this seed begins with. */
export function initialValues(model: BuiltModel, seed: number): NamedTensors {
  const random = new Random(seed).fork("parameters");
  return new Map(
    [...model.parameters].map(([name, { shape, initialize }]) => {
      return [name, { shape, data: initialize(random.fork(name)) }] as const;
    }),
  );
}

/** Running statistics as they begin. */
export function initialBuffers(model: BuiltModel): NamedTensors {
  return new Map(
    [...model.buffers].map(([name, { shape, initial }]) => {
      return [name, { shape, data: new Float64Array(sizeOf(shape)).fill(initial) }] as const;
    }),
  );
}
