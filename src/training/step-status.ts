/** What the user should know of a step that was rejected. */
import type { Batch, StepStatistics } from "../optimizers/optimizer.ts";
import { sizeOf } from "../tensor.ts";

/** The status of a rejected step, with the input that is to blame, if one is. */
export function explain({ status, loss }: StepStatistics, { inputs }: Batch): string {
  const index = inputs.data.findIndex((value) => !Number.isFinite(value));
  if (index < 0) {
    return Number.isFinite(loss) ? status : `${status} (a smaller learning rate or more damping may help)`;
  }
  const row = Math.floor(index / sizeOf(inputs.shape.slice(1)));
  return `rejected: the inputs hold ${inputs.data[index]} (sample ${row})`;
}
