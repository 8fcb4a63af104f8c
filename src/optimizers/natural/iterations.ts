/** The programs of a block that is solved by iterations, on a double buffer of its own. */
import type { CurvatureBlock, Iterations, SlotArrays, SlotSymbols } from "../../curvature/block.ts";
import { input, type NamedOutputs } from "../../graph/index.ts";
import type { TypedArray } from "../../tensor.ts";
import type { Problem } from "../optimizer.ts";
import { DoubleBuffer } from "../program/double-buffer.ts";
import { NEXT, StepProgram } from "../program/step-program.ts";

export class CompiledIterations implements Iterations {
  readonly #buffer: DoubleBuffer;
  readonly #start: StepProgram;
  readonly #next: StepProgram;

  private constructor(buffer: DoubleBuffer, start: StepProgram, next: StepProgram) {
    this.#buffer = buffer;
    this.#start = start;
    this.#next = next;
  }

  /**
   * @param slots the block's slots as nodes
   * @param arrays what these are inputs of
   * @param hostBytes what the host takes in the same step, the iterates included
   */
  static async compile(
    problem: Problem,
    { iterative }: CurvatureBlock,
    slots: SlotSymbols,
    arrays: Readonly<Record<string, TypedArray>>,
    hostBytes: number,
  ): Promise<CompiledIterations> {
    const { iterates, start, next } = iterative!;
    const buffer = new DoubleBuffer(new Map(Object.entries(iterates)));
    const nodes = Object.fromEntries(
      Object.entries(iterates).map(([name, { shape, dtype }]) => [name, input(name, shape, dtype)]),
    );
    const options = { hostBytes: Math.max(0, hostBytes - buffer.bytes) };
    const compile = (outputs: SlotSymbols) =>
      StepProgram.compile(problem, asNext(outputs), [buffer], arrays, options);
    const [first, following] = await Promise.all([compile(start(slots)), compile(next(nodes, slots))]);
    return new CompiledIterations(buffer, first, following);
  }

  start(): void | Promise<void> {
    return this.#start.run();
  }

  next(): void | Promise<void> {
    return this.#next.run();
  }

  accept(): void {
    this.#buffer.accept();
  }

  get current(): SlotArrays {
    return this.#buffer.current;
  }

  get proposed(): SlotArrays {
    return this.#buffer.proposed;
  }

  dispose(): void {
    this.#start.dispose();
    this.#next.dispose();
  }
}

function asNext(outputs: SlotSymbols): NamedOutputs {
  return Object.fromEntries(Object.entries(outputs).map(([name, node]) => [NEXT + name, node]));
}
