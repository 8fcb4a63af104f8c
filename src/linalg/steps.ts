/**
 * One algorithm, two ways to drive it. Every algorithm of this folder is a generator that yields between pieces of work
 * of a few milliseconds, and yields the calls into LAPACK it wants made. {@link finish} drives it to the end at once;
 * {@link cooperate} lets the event loop breathe and makes long native calls on another thread. Both take the same
 * steps in the same order and so return the same bits.
 */
import { breathe } from "../breathe.ts";

/** A call into a native library, not yet made. */
export interface NativeCall {
  /** Floating-point operations, roughly. */
  readonly work: number;
  /** Makes the call here and now. */
  run(): void;
  /** Makes the call on another thread. */
  start(): Promise<void>;
}

/** An algorithm that returns a `Result`; `undefined` is a place to breathe. */
export type Steps<Result> = Generator<NativeCall | undefined, Result, void>;

/** How long the event loop may wait before an asynchronous algorithm lets it breathe, in milliseconds. */
const BREATH_INTERVAL = 12;
/** A native call with less work than this (about two milliseconds) is made at once, for a thread costs more. */
const WORTH_A_THREAD = 2e7;

/** Drives an algorithm to its end without a pause. */
export function finish<Result>(steps: Steps<Result>): Result {
  for (;;) {
    const step = steps.next();
    if (step.done) return step.value;
    step.value?.run();
  }
}

/** Drives an algorithm to its end, giving the event loop its turn in between; short work is done at once. */
export async function cooperate<Result>(steps: Steps<Result>): Promise<Result> {
  let since = performance.now();
  for (;;) {
    const step = steps.next();
    if (step.done) return step.value;
    if (step.value === undefined) {
      if (performance.now() - since < BREATH_INTERVAL) continue;
      await breathe();
    } else if (step.value.work < WORTH_A_THREAD) {
      step.value.run();
      continue;
    } else {
      await step.value.start();
    }
    since = performance.now();
  }
}

/** Calls `body(from, to)` for slabs of the rows 0 … `rows` of about a million elements each, with a breath between. */
export function* overRows(
  rows: number,
  columns: number,
  body: (from: number, to: number) => void,
): Steps<void> {
  const slab = Math.max(1, Math.floor(1e6 / Math.max(1, columns)));
  for (let from = 0; from < rows; from += slab) {
    if (from > 0) yield undefined;
    body(from, Math.min(rows, from + slab));
  }
}
