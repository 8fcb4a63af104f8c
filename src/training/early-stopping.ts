/**
 * Early stopping [Prechelt 1998]: training ends once the validation loss has not been lower than its least value for some
 * epochs, and the model goes back to that epoch. All of it follows from the records, so a resumed run stops where an
 * uninterrupted one does.
 */
import type { EpochRecord } from "./run-folder.ts";

/** The record with the least validation loss, the earliest of equals; none when no validation loss is finite. */
export function bestRecord(records: readonly EpochRecord[]): EpochRecord | undefined {
  return records
    .filter(({ validationLoss }) => Number.isFinite(validationLoss))
    .reduce<EpochRecord | undefined>(
      (best, record) => (best && best.validationLoss! <= record.validationLoss! ? best : record),
      undefined,
    );
}

/** Whether `patience` records have followed the best one. */
export function isExhausted(records: readonly EpochRecord[], patience: number): boolean {
  const best = bestRecord(records);
  return best !== undefined && records.length - 1 - records.indexOf(best) >= patience;
}
