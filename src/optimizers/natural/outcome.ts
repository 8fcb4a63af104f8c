/** What refreshes of several blocks come to, and what is said of a step. */
import type { RefreshOutcome } from "../../curvature/block.ts";
import { short } from "../step-rules/step-control.ts";

/** The worst of the blocks' outcomes. */
export function combine(outcomes: readonly RefreshOutcome[]): RefreshOutcome {
  return {
    damping: Math.max(...outcomes.map(({ damping }) => damping)),
    retries: Math.max(...outcomes.map(({ retries }) => retries)),
    note: outcomes.find(({ note }) => note !== undefined)?.note,
    failure: outcomes.find(({ failure }) => failure !== undefined)?.failure,
  };
}

export const NOT_FINITE = "rejected: the update is not finite";

/** A step's status in words. */
export function judge(
  loss: number,
  norm: number,
  { failure, retries, damping, note }: RefreshOutcome,
  asked: number,
): string {
  if (!Number.isFinite(loss)) return `rejected: the loss is ${loss} at the current parameters`;
  if (failure !== undefined) return `rejected: ${failure}`;
  if (!Number.isFinite(norm)) return NOT_FINITE;
  if (retries > 0)
    return `damping raised from ${short(asked)} to ${short(damping)}: a block was not positive definite`;
  return note ?? "ok";
}
