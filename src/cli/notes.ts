/** What a run had to say on its way, in a few lines for the terminal; the report has it epoch by epoch. */
import type { RunRecord } from "../training/run-folder.ts";

/** Most notes of one run. */
const MOST = 2;

/** The notices that most epochs have: `lbfgs, 18 of 20 epochs: small batches: …`. */
export function notesOf({ name, epochs }: RunRecord): string[] {
  const counts = new Map<string, number>();
  for (const { notices } of epochs) {
    for (const notice of notices) counts.set(notice, (counts.get(notice) ?? 0) + 1);
  }
  const trained = epochs.filter(({ epoch }) => epoch > 0).length;
  const often = [...counts].filter(([, count]) => count > trained / 4).sort(([, a], [, b]) => b - a);
  return often.slice(0, MOST).map(([notice, count]) => `${name}, ${count} of ${trained} epochs: ${notice}`);
}
