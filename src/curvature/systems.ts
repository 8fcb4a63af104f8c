/** Many small damped systems, one after another, on the host. */
import { breathe } from "../breathe.ts";
import type { RefreshOutcome } from "./block.ts";
import { type DampedSystem, LARGEST_SYNCHRONOUS_ORDER, solveDamped } from "./factorize.ts";

/** How long the event loop may wait while many systems are solved, in milliseconds. */
const BREATH_INTERVAL = 12;

/**
 * Solves `count` systems of one order; with little work at once, else with a breath every few milliseconds. Ends at the
 * first failure.
 *
 * @param systemOf the k-th system; its arrays may be reused for the next
 * @param solved told of every system that was solved
 * @returns the worst of the outcomes
 */
export function solveSystems(
  count: number,
  systemOf: (k: number) => DampedSystem,
  solved: (k: number, outcome: RefreshOutcome) => void,
): RefreshOutcome | Promise<RefreshOutcome> {
  const first = systemOf(0);
  const together = count * first.order ** 3 <= LARGEST_SYNCHRONOUS_ORDER ** 3;
  return together ? solveAtOnce(count, systemOf, solved) : solveBreathing(count, systemOf, solved);
}

function solveAtOnce(
  count: number,
  systemOf: (k: number) => DampedSystem,
  solved: (k: number, outcome: RefreshOutcome) => void,
): RefreshOutcome {
  let worst: RefreshOutcome | undefined;
  for (let k = 0; k < count; k++) {
    const outcome = solveDamped(systemOf(k)) as RefreshOutcome;
    if (outcome.failure !== undefined) return outcome;
    solved(k, outcome);
    worst = worse(worst, outcome);
  }
  return worst!;
}

async function solveBreathing(
  count: number,
  systemOf: (k: number) => DampedSystem,
  solved: (k: number, outcome: RefreshOutcome) => void,
): Promise<RefreshOutcome> {
  let worst: RefreshOutcome | undefined;
  let since = performance.now();
  for (let k = 0; k < count; k++) {
    const outcome = await solveDamped(systemOf(k));
    if (outcome.failure !== undefined) return outcome;
    solved(k, outcome);
    worst = worse(worst, outcome);
    if (performance.now() - since < BREATH_INTERVAL) continue;
    await breathe();
    since = performance.now();
  }
  return worst!;
}

function worse(a: RefreshOutcome | undefined, b: RefreshOutcome): RefreshOutcome {
  return a !== undefined && a.retries >= b.retries ? a : b;
}
