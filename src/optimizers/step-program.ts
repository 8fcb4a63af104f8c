/** A compiled program tied to a double buffer and to fixed arrays. */
import type { NamedOutputs } from "../graph/index.ts";
import { compile, type Program } from "../runtime/program.ts";
import type { Arrays, Binding, Runtime } from "../runtime/session.ts";
import type { DoubleBuffer, Side } from "./double-buffer.ts";

/** Prefix of outputs that go to the side of the buffer that is not current. */
export const NEXT = "next/";
/** Prefix of inputs that are read from that side. */
export const PROPOSED = "proposed/";

/**
 * Runs a program on whichever side of the buffer is current. Inputs are found by name among the buffer's tensors and
 * the fixed arrays, outputs likewise, where `next/x` is the proposed value of the tensor `x`.
 */
export class StepProgram {
  readonly #program: Program;
  readonly #state: DoubleBuffer;
  readonly #arrays: Arrays;
  readonly #bindings: [Binding | undefined, Binding | undefined] = [undefined, undefined];

  constructor(program: Program, state: DoubleBuffer, arrays: Arrays) {
    this.#program = program;
    this.#state = state;
    this.#arrays = arrays;
  }

  static async compile(
    runtime: Runtime,
    outputs: NamedOutputs,
    state: DoubleBuffer,
    arrays: Arrays,
  ): Promise<StepProgram> {
    return new StepProgram(await compile(runtime, outputs), state, arrays);
  }

  run(): void | Promise<void> {
    const side = this.#state.front;
    const binding = (this.#bindings[side] ??= this.#bind(side));
    return binding.run();
  }

  #bind(side: Side): Binding {
    const current = this.#state.side(side);
    const proposed = this.#state.side(side === 0 ? 1 : 0);
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
