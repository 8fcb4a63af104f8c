/** Rows of the curvature report: how each parameter's curvature is approximated, and at what price. */

export interface CurvatureRow {
  /** Full names of the parameters. */
  readonly parameters: readonly string[];
  /** `"exact"`, `"block-diagonal"`, … */
  readonly structure: string;
  /** Which linear system is solved, in words. */
  readonly solver: string;
  /** Order of that system. */
  readonly dimension: number;
  /** Memory of the block's slots, and of a factorization that has memory of its own. */
  readonly memoryBytes: number;
  /** Estimated peak of what its statistics and its refresh take in between, patches and matrices in float64, which the next layer's then take. */
  readonly workingBytes?: number;
  /** Anything the user should know: a fallback, an approximation. */
  readonly note?: string;
}
