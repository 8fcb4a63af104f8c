/**
 * A contender's side of the benchmark, in its own process: it reports once who it is and the losses of its first steps, then
 * waits for lines on stdin, each a number of seconds, runs for about as long and answers with what it did. peers/pytorch.py
 * speaks the same protocol.
 */
import { createInterface } from "node:readline";
import type { Phases } from "./phases.ts";
import type { StepProfile } from "./profile.ts";

/** The first line of a contender. */
export interface Introduction {
  /** Name and version of the engine, threads, whatever decides its speed. */
  readonly description: string;
  /** Losses of the first steps, each before its update. */
  readonly losses: readonly number[];
  /** Kernels of a step without a refresh, only where structures are compared. */
  readonly profile?: StepProfile;
}

/** The answer to a line. */
export interface Burst {
  readonly steps: number;
  /** Of all steps together; where they were weighed, of a whole period. */
  readonly seconds: number;
  /** Largest resident memory of the process so far. */
  readonly peakBytes: number;
  readonly weighed?: Weighed;
  /** Only where structures are compared. */
  readonly phases?: Phases;
}

/** Means by which steps with a refresh and steps without one were weighed, in seconds. */
export interface Weighed {
  readonly refresh: number;
  readonly stale: number;
}

/** What a contender tells beside its speed. */
export interface Telling {
  /** Steps between two refreshes that the answers are about, where fewer are run. */
  readonly refreshEvery: number;
  readonly profile: StepProfile;
  readonly clock: { restart(): void; read(): Phases };
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
  { profile, clock, refreshEvery = period }: Partial<Telling> = {},
): Promise<void> {
  const losses: number[] = [];
  while (losses.length < COMPARED_STEPS || losses.length % period !== 0) losses.push(await step());
  send({ description, losses: losses.slice(0, COMPARED_STEPS), profile } satisfies Introduction);
  for await (const line of createInterface({ input: process.stdin })) send(await burst(Number(line)));

  async function burst(limit: number): Promise<Burst> {
    clock?.restart();
    const start = performance.now();
    let [before, refresh] = [0, 0];
    for (let steps = 1; ; steps++) {
      const loss = await step();
      if (!Number.isFinite(loss)) throw new Error(`the loss is ${loss}`);
      const seconds = (performance.now() - start) / 1000;
      if (steps % period === 1 % period) refresh += seconds - before;
      before = seconds;
      if (seconds < limit || steps % period !== 0) continue;
      const peakBytes = 1024 * process.resourceUsage().maxRSS;
      if (period === refreshEvery) return { steps, seconds, peakBytes, phases: clock?.read() };
      const periods = steps / period;
      const means = { refresh: refresh / periods, stale: (seconds - refresh) / (steps - periods) };
      const total = means.refresh + (refreshEvery - 1) * means.stale;
      return { steps: refreshEvery, seconds: total, peakBytes, weighed: means };
    }
  }
}

function send(message: object): void {
  process.stdout.write(`${JSON.stringify(message)}\n`);
}
