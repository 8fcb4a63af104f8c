/** A compiled program tied to double buffers and to fixed arrays. */
import type { InPlacePair, NamedOutputs } from "../../graph/index.ts";
import { compile, type Program } from "../../runtime/program.ts";
import type { Arrays, Binding, Runtime } from "../../runtime/session.ts";
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

  static async compile(
    runtime: Runtime,
    outputs: NamedOutputs,
    buffers: readonly DoubleBuffer[],
    arrays: Arrays,
    inPlace: readonly InPlacePair[] = [],
  ): Promise<StepProgram> {
    return new StepProgram(await compile(runtime, outputs, inPlace), buffers, arrays);
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
