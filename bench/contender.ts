/** A contender as the benchmark sees it: a process that runs a burst of steps when told to. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import type { Burst, Introduction } from "./serve.ts";

/** How a contender is started; `[command, ...args, problem]` is its command line. */
export interface ContenderDefinition {
  /** `natgrad`, `natgrad without LAPACK`, `PyTorch, 2 threads`, … */
  readonly name: string;
  readonly engine: "natgrad" | "natgrad without LAPACK" | "natgrad's SGD" | "PyTorch" | "TensorFlow.js";
  readonly command: (problem: string) => readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  /** Its losses are those of another method. */
  readonly otherMethod?: true;
}

export class Contender {
  readonly definition: ContenderDefinition;
  readonly introduction: Introduction;
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;

  private constructor(
    definition: ContenderDefinition,
    introduction: Introduction,
    child: ChildProcess,
    lines: AsyncIterator<string>,
  ) {
    this.definition = definition;
    this.introduction = introduction;
    this.#child = child;
    this.#lines = lines;
  }

  /**
   * Starts a fresh process; it has taken its first steps when this returns.
   *
   * @param signal ends the process
   * @throws Error with the last line it printed
   */
  static async start(
    definition: ContenderDefinition,
    problem: string,
    signal?: AbortSignal,
  ): Promise<Contender> {
    const [file, ...args] = definition.command(problem);
    const child = spawn(file, args, { env: { ...process.env, ...definition.environment }, signal });
    let errors = "";
    child.stderr.on("data", (chunk) => {
      errors += chunk;
    });
    child.on("error", (error) => {
      errors += error.message;
    });
    const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    const first = await lines.next();
    if (first.done) {
      if (child.exitCode === null && child.signalCode === null) await once(child, "close");
      throw new Error(errors.trim().split("\n").at(-1) || `it ended with code ${child.exitCode}`);
    }
    return new Contender(definition, JSON.parse(first.value), child, lines);
  }

  /** Runs for about that many seconds; microseconds per step. */
  async run(seconds: number): Promise<number> {
    const burst = await this.burst(seconds);
    return (burst.seconds / burst.steps) * 1e6;
  }

  /** Runs for about that many seconds, and tells all of it. */
  async burst(seconds: number): Promise<Burst> {
    this.#child.stdin!.write(`${seconds}\n`);
    const { value, done } = await this.#lines.next();
    if (done) throw new Error(`${this.definition.name} ended in the middle of a measurement`);
    return JSON.parse(value);
  }

  stop(): void {
    this.#child.kill();
  }
}
