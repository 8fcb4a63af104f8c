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
  /** Memory of the block's slots and of the factorization. */
  readonly memoryBytes: number;
  /** Estimated peak of what its statistics take in between, patches and the like, which the next layer's then take. */
  readonly workingBytes?: number;
  /** Anything the user should know: a fallback, an approximation. */
  readonly note?: string;
}
