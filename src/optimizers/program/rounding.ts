/** What rounding alone can do to a loss. */
import type { FloatDType } from "../../tensor.ts";
import type { Problem } from "../optimizer.ts";

/** Units in the last place by which a mean loss may be off. */
const UNITS = 8;

/** The distance of 1 to the next larger number. */
export function machineEpsilon(dtype: FloatDType): number {
  return dtype === "float64" ? Number.EPSILON : 2 ** -23;
}

/**
 * How far two losses may be apart that are equal but for rounding. A log-probability near 0 is the logarithm of a sum near
 * 1 and has that sum's error; squared errors have none but their own.
 */
export function lossRounding(
  loss: number,
  { dtype, likelihood }: Pick<Problem, "dtype" | "likelihood">,
): number {
  const size = likelihood.name === "gaussian" ? Math.abs(loss) : Math.max(1, Math.abs(loss));
  return UNITS * machineEpsilon(dtype) * size;
}
