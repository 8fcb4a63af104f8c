/**
 * The results file: JSON Lines, the plan first, then a line for each combination of task, network and method, appended when it is
 * done. What is in the file is not done again.
 */
import { appendFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { UsageError } from "../../src/errors.ts";
import type { Options, Plan } from "./plan.ts";

/** One training with the settings found. */
export interface Training {
  readonly seed: number;
  readonly steps: number;
  /** Seconds in steps alone: no batches put together, no evaluation, no compilation. */
  readonly seconds: number;
  /** Losses at the end; null when it diverged. */
  readonly trainLoss: number | null;
  readonly heldOutLoss: number | null;
  readonly metric: { readonly name: string; readonly value: number } | null;
  readonly rejected: number;
  /** [step, loss over all training rows], at regular intervals. */
  readonly curve: readonly (readonly [number, number | null])[];
}

/** What became of one method on one task with one network. */
export interface Outcome {
  readonly task: string;
  readonly network: string;
  readonly method: string;
  /** Regression or classification. */
  readonly kind: string;
  /** Settings with the lowest validation loss; none when every trial diverged. */
  readonly options?: Options;
  readonly trials: number;
  readonly divergedTrials: number;
  /** Trials that ended within 1.5 times the least validation loss. */
  readonly nearTrials: number;
  /** Steps of a training that is not cut. */
  readonly plannedSteps: number;
  readonly trainings: readonly Training[];
  /** Why there is nothing to show. */
  readonly failure?: string;
}

export interface Results {
  readonly plan: Plan;
  readonly machine: string;
  readonly outcomes: readonly Outcome[];
}

const FORMAT = "natgrad methods 1";

/**
 * Opens a file of results, which is made when it is not there.
 *
 * @throws UsageError when it holds results of another plan
 */
export function openResults(path: string, plan: Plan, machine: string): Results {
  if (!existsSync(path)) {
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, `${JSON.stringify({ format: FORMAT, plan, machine })}\n`);
  }
  const results = readResults(path);
  if (JSON.stringify(results.plan) !== JSON.stringify(plan)) {
    throw new UsageError(`${path} holds results of another plan (remove it, or name another with --results)`);
  }
  return results;
}

/** @throws UsageError when there is no such file, or it holds something else */
export function readResults(path: string): Results {
  if (!existsSync(path)) throw new UsageError(`there is no ${path} yet (npm run bench:methods makes it)`);
  const text = readFileSync(path, "utf8");
  const lines = text
    .slice(0, text.lastIndexOf("\n") + 1)
    .split("\n")
    .filter(Boolean);
  const [header, ...outcomes] = lines.map((line) => JSON.parse(line));
  if (header?.format !== FORMAT) throw new UsageError(`${path} holds no results of this benchmark`);
  // What a killed process left unfinished is cut off, so that the next line begins a line.
  if (!text.endsWith("\n")) writeFileSync(path, `${lines.join("\n")}\n`);
  return { plan: header.plan, machine: header.machine, outcomes };
}

export function appendOutcome(path: string, outcome: Outcome): void {
  appendFileSync(path, `${JSON.stringify(outcome, fiveDigits)}\n`);
}

/** Losses and seconds are not known better than that, and JSON has no infinities. */
function fiveDigits(_key: string, value: unknown): unknown {
  if (typeof value !== "number") return value;
  return Number.isFinite(value) ? +value.toPrecision(5) : null;
}
