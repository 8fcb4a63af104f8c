/**
 * A contender's side of the benchmark, in its own process: it reports once who it is and the losses of its first steps, then
 * waits for lines on stdin, each a number of seconds, runs for about as long and answers with what it did. peers/pytorch.py
 * speaks the same protocol.
 */
import { createInterface } from "node:readline";

/** The first line of a contender. */
export interface Introduction {
  /** Name and version of the engine, threads, whatever decides its speed. */
  readonly description: string;
  /** Losses of the first steps, each before its update. */
  readonly losses: readonly number[];
  /** Only where structures are compared. */
  readonly costs?: StepCosts;
}

/** What a step with a refresh and one without cost, the host's operations not counted. */
export interface StepCosts {
  readonly refresh: { readonly flops: number; readonly seconds: number };
  readonly stale: { readonly flops: number; readonly seconds: number };
}

/** The answer to a line. */
export interface Burst {
  readonly steps: number;
  readonly seconds: number;
}

/** Steps whose losses are compared between contenders. */
const COMPARED_STEPS = 5;

/**
 * Serves until stdin ends.
 *
 * @param step takes one step and returns its loss
 * @param period steps are taken in multiples of this number, counted from the very first
 */
export async function serve(
  description: string,
  step: () => number | Promise<number>,
  period: number,
  costs?: StepCosts,
): Promise<void> {
  const losses: number[] = [];
  while (losses.length < COMPARED_STEPS || losses.length % period !== 0) losses.push(await step());
  send({ description, losses: losses.slice(0, COMPARED_STEPS), costs } satisfies Introduction);
  for await (const line of createInterface({ input: process.stdin })) send(await burst(Number(line)));

  async function burst(limit: number): Promise<Burst> {
    const start = performance.now();
    for (let steps = 1; ; steps++) {
      const loss = await step();
      if (!Number.isFinite(loss)) throw new Error(`the loss is ${loss}`);
      const seconds = (performance.now() - start) / 1000;
      if (seconds >= limit && steps % period === 0) return { steps, seconds };
    }
  }
}

function send(message: object): void {
  process.stdout.write(`${JSON.stringify(message)}\n`);
}
