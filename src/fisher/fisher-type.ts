/** Which Fisher matrix: whose targets the per-sample gradients are taken at. */
import { requireOption } from "../errors.ts";

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
  const { type, samples = 1 } = typeof option === "string" ? { type: option } : option;
  requireOption(names.includes(type), "fisher", type, names.join(" | "));
  requireOption(Number.isInteger(samples) && samples > 0, "fisher samples", samples, "a positive integer");
  return { type, draws: type === "monte-carlo" ? samples : 0 };
}
