/** How a command ends badly: one line on stderr and an exit code. */
import { CommanderError } from "commander";
import { UsageError } from "../errors.ts";

/** 0 is success; a stop by a signal is 128 plus its number, as shells have it. */
export const exitCodes = { failed: 1, usage: 2, interrupted: 130, terminated: 143 } as const;

/** Training was stopped by a signal and what was done is saved; there is nothing left to say. */
export class Interrupted extends Error {
  readonly signal: "SIGINT" | "SIGTERM";

  constructor(signal: "SIGINT" | "SIGTERM") {
    super(`stopped by ${signal}`);
    this.signal = signal;
  }

  get exitCode(): number {
    return this.signal === "SIGINT" ? exitCodes.interrupted : exitCodes.terminated;
  }
}

/**
 * Says on stderr what went wrong, in exactly one line; `NATGRAD_DEBUG=1` adds where.
 *
 * @returns the exit code
 */
export function reportFailure(error: unknown): number {
  if (error instanceof Interrupted) return error.exitCode;
  if (error instanceof CommanderError) {
    if (error.exitCode === 0) return 0;
    process.stderr.write(`natgrad: ${oneLine(error.message.replace(/^error: /, ""))}\n`);
    return exitCodes.usage;
  }
  const message = error instanceof Error ? error.message || error.name : String(error);
  process.stderr.write(`natgrad: ${oneLine(message)}\n`);
  if (process.env.NATGRAD_DEBUG && error instanceof Error) process.stderr.write(`${error.stack}\n`);
  return error instanceof UsageError ? exitCodes.usage : exitCodes.failed;
}

function oneLine(text: string): string {
  return text.trim().replace(/\s*\n\s*/g, " ");
}
