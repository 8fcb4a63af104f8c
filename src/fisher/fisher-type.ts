/** Which Fisher matrix: whose targets the per-sample gradients are taken at. */
import { requireKnown, requireOption } from "../errors.ts";

export type FisherName = "empirical" | "improved-empirical" | "exact" | "monte-carlo";

/** A name, or a name with the number of targets drawn per sample (Monte-Carlo only; default 1). */
export type FisherOption = FisherName | { readonly type: FisherName; readonly samples?: number };

export interface FisherType {
  readonly type: FisherName;
  /** Targets drawn per sample; 0 unless Monte-Carlo. */
  readonly draws: number;
}

const names: readonly FisherName[] = ["empirical", "improved-empirical", "exact", "monte-carlo"];

/** @throws UsageError for an unknown type or a number of draws that is not a positive integer */
export function parseFisher(option: FisherOption): FisherType {
  const isObject = typeof option === "object" && option !== null;
  const { type, samples = 1 } = isObject ? option : { type: option };
  const shown = isObject && type === undefined ? option : type;
  requireOption(names.includes(type), "fisher", shown, names.join(" | "));
  if (isObject) requireKnown(option, ["type", "samples"] satisfies (keyof typeof option)[], "fisher");
  requireOption(Number.isInteger(samples) && samples > 0, "fisher samples", samples, "a positive integer");
  return { type, draws: type === "monte-carlo" ? samples : 0 };
}
