/** Parameters and running statistics by their own names, as users read and write them. */
import { UsageError } from "../errors.ts";
import type { DoubleBuffer } from "../optimizers/program/double-buffer.ts";
import {
  formatShape,
  type NamedTensors,
  type NamedTensorsLike,
  sameShape,
  toNamedTensors,
} from "../tensor.ts";

/** Which of the state's tensors are meant, and what a user calls them. */
export interface NamedPart {
  /** `"parameter"`, for messages. */
  readonly kind: string;
  /** By the user's names. */
  readonly specs: ReadonlyMap<string, { readonly shape: readonly number[] }>;
  /** The state's name of a tensor. */
  nameOf(name: string): string;
}

/** Copies of the current tensors. */
export function readNamed({ current }: DoubleBuffer, { specs, nameOf }: NamedPart): NamedTensors {
  return new Map(
    [...specs].map(([name, { shape }]) => [name, { shape, data: current[nameOf(name)].slice() }] as const),
  );
}

/**
 * Replaces some or all of the current tensors; all are checked before the first is written.
 *
 * @throws UsageError for an unknown name, a wrong shape or a number that is not finite
 */
export function writeNamed({ current }: DoubleBuffer, part: NamedPart, named: NamedTensorsLike): void {
  for (const [name, { data }] of checkNamed(part, named)) current[part.nameOf(name)].set(data);
}

/** @throws UsageError for an unknown name, a wrong shape or a number that is not finite */
export function checkNamed(
  { kind, specs }: Pick<NamedPart, "kind" | "specs">,
  named: NamedTensorsLike,
): NamedTensors {
  const values = toNamedTensors(named);
  for (const [name, { shape, data }] of values) {
    const spec = specs.get(name);
    if (!spec) {
      const known = [...specs.keys()].join(", ") || "none";
      throw new UsageError(`unknown ${kind} ${name} (the model has ${known})`);
    }
    if (!sameShape(spec.shape, shape)) {
      throw new UsageError(
        `invalid ${name}: shape ${formatShape(shape)} (must be ${formatShape(spec.shape)})`,
      );
    }
    if (!data.every(Number.isFinite))
      throw new UsageError(`invalid ${name}: it holds a number that is not finite`);
  }
  return values;
}
