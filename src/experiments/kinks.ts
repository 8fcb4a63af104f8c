/**
 * Rectifiers at their kinks: which units are open at which training points, and how many of these pairs change sides in a step.
 *
 * | symbol            | variable   | shape                                              |
 * | ----------------- | ---------- | -------------------------------------------------- |
 * | δ_l ≠ 0, l < L    | the result of {@link openUnits} | 1 where open, Σ_l M_l · N, layer by layer |
 */
import type { Tensor } from "../tensor.ts";
import { type EvaluationOptions, evaluateJacobian, type FiniteNetwork } from "../theory/finite.ts";

/** Of the last of two or more steps; shares of all pairs of a hidden unit and a training point. */
export interface KinkCrossings {
  /** Pairs that changed sides. */
  readonly changed: number;
  /** Pairs that so undid a change of the step before: at the most as many. */
  readonly returned: number;
}

/**
 * Whether each hidden unit is open at each point: the derivative behind a rectifier is zero exactly where it is closed.
 *
 * @param inputs (N, M_0) @throws UsageError where a layer with parameters is not dense
 */
export async function openUnits(
  network: FiniteNetwork,
  inputs: Tensor,
  options: EvaluationOptions = {},
): Promise<Uint8Array> {
  const traced = await evaluateJacobian(
    network,
    inputs,
    ({ scores: { layers } }) =>
      Object.fromEntries(layers.slice(0, -1).map(({ deltas }, l) => [`${l}`, deltas])),
    options,
  );
  const deltas = Object.keys(traced).map((_, l) => traced[`${l}`].data);
  const open = new Uint8Array(deltas.reduce((count, { length }) => count + length, 0));
  let at = 0;
  for (const data of deltas) for (const delta of data) open[at++] = Number(delta !== 0);
  return open;
}

/** From the sides before the last two steps and after each; none with fewer than two. */
export function kinkCrossings(sides: readonly Uint8Array[]): KinkCrossings | undefined {
  if (sides.length < 3) return undefined;
  const [first, before, last] = sides.slice(-3);
  let [changed, returned] = [0, 0];
  for (let k = 0; k < last.length; k++) {
    if (last[k] === before[k]) continue;
    changed++;
    if (last[k] === first[k]) returned++;
  }
  return { changed: changed / last.length, returned: returned / last.length };
}
