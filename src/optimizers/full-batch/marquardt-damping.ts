/** How the damping of Levenberg-Marquardt follows from how its steps fared. */

/** λ, and the factor ν that the next refusal raises it by. */
export interface MarquardtDamping {
  readonly damping: number;
  readonly growth: number;
}

export interface DampingRule {
  /** ν of the first refusal. */
  readonly growth: number;
  /** After a step that lowered the loss. @param gainRatio ρ, NaN where the model predicts no gain */
  accepted(state: MarquardtDamping, gainRatio: number): MarquardtDamping;
  /** After a step that did not. */
  refused(state: MarquardtDamping): MarquardtDamping;
}

export type AdaptationName = "gain-ratio" | "delayed-gratification";

/** Bounds of λ. */
const [SMALLEST, LARGEST] = [1e-15, 1e15];

export const dampingRules: Readonly<Record<AdaptationName, DampingRule>> = {
  /** [Nielsen 1999, Damping parameter in Marquardt's method; Madsen, Nielsen & Tingleff 2004, algorithm 3.16]. */
  "gain-ratio": {
    growth: 2,
    accepted({ damping }, gainRatio) {
      const factor = Math.max(1 / 3, 1 - (2 * gainRatio - 1) ** 3);
      return { damping: bounded(damping * (Number.isNaN(factor) ? 1 : factor)), growth: 2 };
    },
    refused: ({ damping, growth }) => ({ damping: bounded(damping * growth), growth: 2 * growth }),
  },
  /** Raised by less than it is lowered, so that steps stay near the bottom of a canyon [Transtrum & Sethna 2012]. */
  "delayed-gratification": {
    growth: 2,
    accepted: ({ damping }) => ({ damping: bounded(damping / 3), growth: 2 }),
    refused: ({ damping }) => ({ damping: bounded(damping * 2), growth: 2 }),
  },
};

function bounded(damping: number): number {
  return Math.min(LARGEST, Math.max(SMALLEST, damping));
}
