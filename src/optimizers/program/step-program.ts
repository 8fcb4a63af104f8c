/** A compiled program tied to double buffers and to fixed arrays. */

import { MemoryError } from "../../errors.ts";
import type { InPlacePair, NamedOutputs } from "../../graph/index.ts";
import { formatBytes } from "../../memory.ts";
import { compile, type Program } from "../../runtime/program.ts";
import type { Arrays, Binding } from "../../runtime/session.ts";
import type { Problem } from "../optimizer.ts";
import type { DoubleBuffer } from "./double-buffer.ts";

/** Prefix of outputs that go to the side of the buffer that is not current. */
export const NEXT = "next/";
/** Prefix of inputs that are read from that side. */
export const PROPOSED = "proposed/";

/**
 * Runs a program on whichever sides of the buffers are current. Inputs are found by name among the buffers' tensors and
 * the fixed arrays, outputs likewise, where `next/x` is the proposed value of the tensor `x`.
 */
export class StepProgram {
  readonly #program: Program;
  readonly #buffers: readonly DoubleBuffer[];
  readonly #arrays: Arrays;
  /** By the buffers' sides, a bit each. */
  readonly #bindings: (Binding | undefined)[] = [];

  constructor(program: Program, buffers: readonly DoubleBuffer[], arrays: Arrays) {
    this.#program = program;
    this.#buffers = buffers;
    this.#arrays = arrays;
  }

  /**
   * @param hostBytes what the host takes in the same step beside the buffers and arrays
   * @throws MemoryError with the estimate when buffers, arrays and intermediate results would take more than the limit
   */
  static async compile(
    { runtime, memoryLimit, onMemory }: Pick<Problem, "runtime" | "memoryLimit" | "onMemory">,
    outputs: NamedOutputs,
    buffers: readonly DoubleBuffer[],
    arrays: Arrays,
    {
      inPlace = [],
      hostBytes = 0,
    }: { readonly inPlace?: readonly InPlacePair[]; readonly hostBytes?: number } = {},
  ): Promise<StepProgram> {
    const fixed = hostBytes + bytesOf(arrays) + buffers.reduce((total, { bytes }) => total + bytes, 0);
    const program = await compile(runtime, outputs, inPlace, ({ workingBytes = 0 }) => {
      const bytes = fixed + workingBytes;
      onMemory?.(bytes);
      if (bytes <= memoryLimit) return;
      throw new MemoryError(`a step takes ${formatBytes(bytes)}, the limit is ${formatBytes(memoryLimit)}`);
    });
    return new StepProgram(program, buffers, arrays);
  }

  run(): void | Promise<void> {
    let sides = 0;
    for (const { front } of this.#buffers) sides = 2 * sides + front;
    const binding = (this.#bindings[sides] ??= this.#bind());
    return binding.run();
  }

  #bind(): Binding {
    const current = Object.assign({}, ...this.#buffers.map((buffer) => buffer.current));
    const proposed: Arrays = Object.assign({}, ...this.#buffers.map((buffer) => buffer.proposed));
    const prefixed = (prefix: string) =>
      Object.fromEntries(Object.entries(proposed).map(([name, array]) => [prefix + name, array]));
    const feeds = { ...this.#arrays, ...current, ...prefixed(PROPOSED) };
    const fetches = { ...this.#arrays, ...prefixed(NEXT) };
    return this.#program.bind(feeds, fetches);
  }

  dispose(): void {
    for (const binding of this.#bindings) binding?.dispose();
    this.#program.dispose();
  }
}

/** Several names may stand for one array. */
function bytesOf(arrays: Arrays): number {
  return [...new Set(Object.values(arrays))].reduce((total, { byteLength }) => total + byteLength, 0);
}
