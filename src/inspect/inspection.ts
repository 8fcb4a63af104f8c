/** What an inspection finds: numbers, for the page and for `inspect.json`. */

/** The eigenvalues of the Fisher matrix of all parameters, or of one layer's block. */
export interface Spectrum {
  /** A layer's name, or `"all"`. */
  readonly name: string;
  /** P, the order of the matrix. */
  readonly parameters: number;
  /** μ, descending: the largest min(M, P), where M is the number of score rows; the others are 0. */
  readonly eigenvalues: readonly number[];
  /** Eigenvalues that are more than rounding. */
  readonly rank: number;
  readonly trace: number;
  /** Σ μ/(μ + λ): the directions that the batch says more about than the damping does. */
  readonly effectiveDimension: number;
  /** Of F + λI: (μ_max + λ)/(μ_min + λ). */
  readonly condition: number;
}

/** A direction d beside the exact one d* = (F + λI)⁻¹g; inner products ⟨x, y⟩ = xᵀ(F + λI)y where they are of the metric. */
export interface DirectionComparison {
  readonly name: string;
  /** dᵀd* / (‖d‖‖d*‖). */
  readonly cosine: number;
  /** ⟨d, d*⟩ / √(⟨d, d⟩⟨d*, d*⟩); its square is the share of the exact direction's decrease that the best multiple of d has. */
  readonly metricCosine: number;
  /** ‖d‖ / ‖d*‖. */
  readonly lengthRatio: number;
  /** What the quadratic model says the loss falls by at θ − d: gᵀd − ½⟨d, d⟩. */
  readonly decrease: number;
  /** gᵀd / ⟨d, d⟩, the multiple of d that is best in the model. */
  readonly bestMultiple: number;
  /** The model's decrease there. */
  readonly bestDecrease: number;
  /** The λ that the method solved with. */
  readonly damping?: number;
  /** What sets it apart: another Fisher matrix, a truncated solve. */
  readonly note?: string;
}

/** Absolute values of the leading part of a matrix, in squares that are averaged over. */
export interface HeatMap {
  /** Squares along a side. */
  readonly size: number;
  /** (size, size) row-major; means of absolute values. */
  readonly values: Float64Array;
}

/** One inverse that methods imply for a layer. */
export interface ApproximateInverse {
  /** Methods that imply it, equal to rounding. */
  readonly names: readonly string[];
  /** ‖X − E‖ / ‖E‖ in the Frobenius norm, over the part that is shown, E the exact inverse. */
  readonly error: number;
  readonly map: HeatMap;
}

export interface LayerInspection {
  readonly name: string;
  /** O. */
  readonly units: number;
  /** F̄, numbers that lead into each unit, the bias's with them. */
  readonly width: number;
  /** O·F̄. */
  readonly parameters: number;
  /** Order of the leading part of the inverses that was computed; all of them where it is `parameters`. */
  readonly window: number;
  /** Parameters along the side of one square of the heat maps. */
  readonly averaged: number;
  readonly exact: HeatMap;
  /** Methods whose inverse is the exact one, to rounding. */
  readonly same: readonly string[];
  readonly approximations: readonly ApproximateInverse[];
}

export interface Inspection {
  /** Where the run stood. */
  readonly epoch: number;
  readonly step: number;
  /** Rows of the batch, N. */
  readonly samples: number;
  /** Score rows, M. */
  readonly rows: number;
  readonly fisher: string;
  readonly damping: number;
  readonly loss: number;
  readonly gradientNorm: number;
  /** All parameters first, then layer by layer. */
  readonly spectra: readonly Spectrum[];
  /** The exact direction's decrease of the quadratic model. */
  readonly exactDecrease: number;
  /** The nearest first. */
  readonly directions: readonly DirectionComparison[];
  readonly layers: readonly LayerInspection[];
  /** What is not shown and why, a line each. */
  readonly leftOut: readonly string[];
}

/** What of an inspection goes into `inspect.json`: all but the pictures. */
export function inspectionNumbers({ layers, ...rest }: Inspection): Record<string, unknown> {
  const numbers = layers.map(({ exact: _, approximations, ...layer }) => ({
    ...layer,
    approximations: approximations.map(({ names, error }) => ({ names, error })),
  }));
  return { format: "natgrad inspection 1", ...rest, layers: numbers };
}
