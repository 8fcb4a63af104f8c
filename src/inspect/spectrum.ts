/** Figures of a spectrum. */
import type { Decomposition } from "./decomposition.ts";
import type { Spectrum } from "./inspection.ts";

/**
 * @param parameters P, the order of the Fisher matrix
 * @param rows M: an eigenvalue counts as zero where it is no more than max(M, P) roundings of the largest
 */
export function describeSpectrum(
  name: string,
  { values, order }: Pick<Decomposition, "values" | "order">,
  parameters: number,
  rows: number,
  damping: number,
): Spectrum {
  const eigenvalues = [...values].reverse().map((value) => Math.max(0, value));
  const [largest] = eigenvalues;
  const smallest = order < parameters ? 0 : eigenvalues[order - 1];
  const rounding = Math.max(rows, parameters) * Number.EPSILON * largest;
  const sum = (terms: readonly number[]) => terms.reduce((total, term) => total + term, 0);
  return {
    ...{ name, parameters, eigenvalues },
    rank: eigenvalues.filter((value) => value > rounding).length,
    trace: sum(eigenvalues),
    effectiveDimension: sum(eigenvalues.map((value) => value / (value + damping))),
    condition: (largest + damping) / (smallest + damping),
  };
}
